"""What noise a picture has, measured from the picture alone."""
