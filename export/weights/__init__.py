"""Weights that ship, and their .tflite files, made from runs."""
