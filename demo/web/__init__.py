"""The browser demo: builds and serves the static page."""
