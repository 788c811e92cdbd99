"""Measurements and estimates; each command prints one table."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
