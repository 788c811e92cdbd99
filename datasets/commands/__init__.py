"""Commands about sets of images, each a subcommand of `python -m datasets`."""
