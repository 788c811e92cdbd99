"""Writes .tflite files."""
