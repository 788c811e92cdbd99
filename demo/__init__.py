"""What shows the project at work; `make` runs it."""
