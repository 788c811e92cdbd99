"""Finds what a name or a path means: weights, runs, exports, files of other projects."""
