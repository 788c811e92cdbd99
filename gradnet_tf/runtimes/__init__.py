"""Runs networks: Keras, LiteRT, SavedModels and the classical denoisers, behind one interface."""
