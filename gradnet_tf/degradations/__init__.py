"""Noise models: pure functions of an image, random draws and parameters, and how they compose.

`gaussian` is arithmetic that every backend takes; the others are for NumPy, one image at a time.
`parse_degradation` of `gradnet_tf.degradations.compose` reads what `--degradation` takes.
"""

from gradnet_tf.degradations.gaussian import add_gaussian_noise, sigma_to_unit, unit_to_sigma

__all__ = ["add_gaussian_noise", "sigma_to_unit", "unit_to_sigma"]
