"""The `gradnet` command."""
