"""Loading denoisers and running them on image files and folders."""
