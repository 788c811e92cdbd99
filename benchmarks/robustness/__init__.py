"""What happens to bad files, killed runs and batches of files."""
