"""Grey photographs go through grey weights where those ship beside the colour ones."""

from collections.abc import Callable

import numpy as np

from gradnet_tf import weights
from gradnet_tf.inference.denoiser import Denoiser
from gradnet_tf.inference.load import load_denoiser
from gradnet_tf.inference.noise_level import tell


class ByColour:
    """Denoises colour pictures with one model and grey ones with its grey partner.

    A grey picture replicated for a colour network has the same noise in all
    three channels, which no colour network here was trained on.

    Args:
        denoiser: takes colour pictures, and grey ones where it has no partner: where it
            is not made of weights that ship (`source["kind"]`), or those have none.
        load: returns the denoiser of a name; called with the first grey picture.
    """

    def __init__(self, denoiser: Denoiser, load: Callable[[str], Denoiser] = load_denoiser):
        self._colour = denoiser
        self._load = load
        self._grey: Denoiser | None = None

    def __call__(self, image: np.ndarray, **options) -> np.ndarray:
        """Denoises one picture, (H, W) or (H, W, 1 to 4); `options` as for `Denoiser`."""
        is_grey = image.ndim == 2 or image.shape[-1] < 3
        return (self._grey_denoiser() if is_grey else self._colour)(image, **options)

    def _grey_denoiser(self) -> Denoiser:
        if self._grey is None:
            name = weights.gray_partner(self._colour.name, self._colour.source)
            self._grey = self._load(name) if name else self._colour
            if name:
                tell(f"grey pictures go through {name}, the grey weights of {self._colour.name}")
        return self._grey
