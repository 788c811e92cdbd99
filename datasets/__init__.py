"""Finds, decodes and checks images, and feeds training. Not related to the package of that name."""
