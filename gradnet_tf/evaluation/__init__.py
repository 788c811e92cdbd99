"""Scores denoisers on image sets and prints the scores."""
