"""`python -m export.weights.litert`: the .tflite files that ship beside the weights."""
