"""Alloys and compounds as problems of campaigns: known sets, landscapes, and what networks believe between rounds."""
