"""What is known of each set of images, as data."""
