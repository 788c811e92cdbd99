"""Stores decoded images in shards and reads them."""
