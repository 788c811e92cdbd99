"""Writes SavedModels."""
