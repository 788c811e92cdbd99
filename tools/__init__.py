"""Programs that only serve checking: stand-ins of TF Serving, other processors and runtimes."""
