"""The command line: the entry point sets the environment; importing the library never does."""
