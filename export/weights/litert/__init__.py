"""`python -m export.weights.litert`: makes the shipped .tflite files."""
