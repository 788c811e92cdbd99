"""Photographs as people have them: read and written again with nothing lost but noise."""

#: More pixels than this are refused, in millions: a file of some kB may claim any size.
MAX_MEGAPIXELS = 200.0
