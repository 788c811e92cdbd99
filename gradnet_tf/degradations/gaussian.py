"""White Gaussian noise, and the scale of noise levels.

Plain arithmetic that works on NumPy arrays and on TensorFlow and JAX tensors.
"""


def sigma_to_unit(sigma):
    """Converts a noise level from the 0-255 scale to the [0, 1] scale of tensors.

    This is the only place where σ is divided by 255.
    """
    return sigma / 255.0


def unit_to_sigma(deviation):
    """Converts a standard deviation on the [0, 1] scale to a noise level on the 0-255 scale."""
    return deviation * 255.0


def add_gaussian_noise(clean, unit_noise, sigma):
    """Adds white Gaussian noise: `clean + (σ / 255) · unit_noise`, never clipped.

    Args:
        clean: image or batch, float, nominal range [0, 1].
        unit_noise: draws from N(0, 1), shaped like `clean`.
        sigma: standard deviation on the 0-255 scale; a number or an array that
            broadcasts against `clean`. 0 returns the clean values.

    Returns:
        The noisy image, same shape; values may leave [0, 1].
    """
    return clean + sigma_to_unit(sigma) * unit_noise
