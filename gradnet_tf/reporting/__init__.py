"""Writes the results of an evaluation as tables, pictures and an HTML page."""
