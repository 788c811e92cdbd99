"""Readers of the sets of images, one module for each layout of files."""
