"""Runs networks: Keras, LiteRT, SavedModels and the classical denoisers, behind one interface."""

#: What `--runtime` may be.
RUNTIMES = ("auto", "keras", "litert")
