"""Turns the results of an evaluation into tables, pictures and one HTML page."""
