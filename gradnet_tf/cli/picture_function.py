"""From a model's name and the flags to the function that photographs go through."""

import functools
from collections.abc import Callable

import numpy as np

from gradnet_tf.cli.quick_start import quick_start
from gradnet_tf.utils.errors import UserError


def picture_function(
    model: str, sigma: float | None, runtime: str = "auto", **options
) -> Callable[[np.ndarray], np.ndarray]:
    """Loads a model and returns the function from a photograph's pixels to denoised ones.

    For commands alone, see `quick_start`.

    Args:
        model: see `gradnet_tf.loading.load.load_denoiser`.
        sigma: noise level on the 0-255 scale, for a model that takes one.
        runtime: see `load_denoiser`.
        options: further arguments of `Denoiser.__call__`.

    Raises:
        UserError: no such model, or a noise level for a model that takes none.
    """
    from gradnet_tf.loading.load import load_denoiser

    with quick_start():
        denoiser = load_denoiser(model, runtime=runtime)
    if sigma is not None and not denoiser.needs_sigma:
        refuse_sigma(sigma, denoiser.name)
    return functools.partial(denoiser, sigma=sigma, **options)


def refuse_sigma(sigma: float, name: str) -> None:
    """Raises the error for a noise level that the model `name` does not take."""
    raise UserError(f"--sigma={sigma:g}: {name} takes no noise level. Leave the flag out.")
