"""Image sets and training input. Not related to the PyPI package of the same name."""
