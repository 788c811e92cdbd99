"""How a person chooses what is removed: texture put back, a mask, a sheet of previews, a page."""
