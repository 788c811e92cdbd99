"""Verifies artifacts against the Keras model, and measures them."""
