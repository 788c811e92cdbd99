"""The training step, on TensorFlow and on JAX."""
