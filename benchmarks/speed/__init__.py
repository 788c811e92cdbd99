"""How fast things are: commands, training, exported files."""
