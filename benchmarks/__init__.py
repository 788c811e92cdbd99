"""Measurements and estimates; each command prints one table."""
