"""Noise models: pure functions of an image, random draws and parameters, and how they compose.

`gaussian` works on every backend; the others work on NumPy arrays, one image at a time.
`gradnet_tf.degradations.compose.parse_degradation` parses the value of `--degradation`.
"""

from gradnet_tf.degradations.gaussian import add_gaussian_noise, sigma_to_unit, unit_to_sigma

__all__ = ["add_gaussian_noise", "sigma_to_unit", "unit_to_sigma"]
