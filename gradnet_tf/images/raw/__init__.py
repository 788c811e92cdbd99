"""Raw files of cameras."""
