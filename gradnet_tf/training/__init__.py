"""Training: one loop over a small engine interface."""
