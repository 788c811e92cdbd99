"""Makes training batches from image sets."""
