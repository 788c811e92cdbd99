"""The recipe study: what is compared, how it is run, and its report."""
