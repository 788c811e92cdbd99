"""Choices that decibels decide."""
