"""Exports denoisers as SavedModel and TFLite files, each judged before the command says done."""
