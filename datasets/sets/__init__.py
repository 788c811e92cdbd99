"""Image sets and their readers, one module for each file layout."""
