"""Reads and plots the curves of training runs: `python -m gradnet_tf.curves.plot`."""
