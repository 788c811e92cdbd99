"""Configuration files and clients of TF Serving."""
