"""The browser demo: builds the static page, serves it on this machine."""
