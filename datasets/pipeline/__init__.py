"""From sets of images to training batches."""
