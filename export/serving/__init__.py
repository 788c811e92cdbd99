"""TF Serving: its configuration files, clients, and a stand-in to try them against."""
