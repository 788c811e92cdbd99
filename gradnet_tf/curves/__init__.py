"""Reads and draws the curves of training runs: `python -m gradnet_tf.curves.plot`."""
