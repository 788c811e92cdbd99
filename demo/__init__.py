"""Demonstrations of the project, run by `make`."""
