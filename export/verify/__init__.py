"""Compares what was written with the Keras model, and measures it."""
