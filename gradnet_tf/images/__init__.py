"""Reads and writes photographs without losing bit depth, alpha or metadata."""

#: Default limit on megapixels; larger pictures are refused, because headers can lie.
MAX_MEGAPIXELS = 200.0
