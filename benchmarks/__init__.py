"""Measurements and estimates of speed; each command prints one table."""
