"""Makes shipped weights and their .tflite files from runs."""
