"""The subcommands of `python -m datasets`."""
