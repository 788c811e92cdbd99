"""Runs networks: Keras, LiteRT, SavedModels and the classical denoisers, behind one interface."""

#: The name of the noise level, a further input of SavedModels and .tflite files that take it.
SIGMA = "sigma"
