"""The results table and the curve over the noise level."""
