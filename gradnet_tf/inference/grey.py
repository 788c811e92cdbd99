"""Grey pictures go through grey weights where those ship beside the colour ones."""

import numpy as np

from gradnet_tf import weights
from gradnet_tf.console import note


def grey_partner(denoiser):
    """Loads the grey weights that ship beside a denoiser's colour weights, and says so.

    A grey picture replicated for a colour network has the same noise in all
    three channels, which no colour network here was trained on.

    Args:
        denoiser: with `name` and `source`.

    Returns:
        A `Denoiser`; `None` where this one is not made of weights that ship
        (`source["kind"]`), or those have no partner.
    """
    name = weights.gray_partner(denoiser.name, denoiser.source)
    if name is None:
        return None
    from gradnet_tf.inference.load import load_denoiser

    runtime = denoiser.source.get("runtime") or "keras"
    partner = load_denoiser(name, runtime=runtime)
    note(f"grey pictures go through {name}, the grey weights of {denoiser.name}")
    return partner


def is_grey(colours: np.ndarray) -> bool:
    """Whether a picture (H, W, C) has one colour channel, or three that are equal everywhere."""
    if colours.shape[-1] == 1:
        return True
    # The first row tells nearly always, and spares the look at all of a large picture.
    return all(
        np.array_equal(part[..., :1], part[..., channel : channel + 1])
        for part in (colours[:1], colours)
        for channel in (1, 2)
    )
