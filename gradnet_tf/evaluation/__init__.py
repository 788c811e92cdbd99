"""Scores denoisers on sets of images, and prints the scores."""
