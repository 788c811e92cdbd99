"""Exports denoisers as SavedModel and TFLite files, each verified against Keras."""
