"""Programs for checks only: stand-ins of TF Serving, other processors and runtimes."""
