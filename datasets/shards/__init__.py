"""Images decoded once into files, and the service that reads them."""
