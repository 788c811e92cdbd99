"""Commands about sets of images, each `python -m datasets.commands.NAME`."""
