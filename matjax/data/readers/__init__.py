"""Readers: one file per format, each turning a path into `Record`s; `assemble` makes them a `Dataset`."""
