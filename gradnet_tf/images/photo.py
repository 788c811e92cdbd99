"""A photograph and its file: pixels to work on, and all that has to be in the file again.

The sets of images for training and scoring are read elsewhere
(`gradnet_tf.images.image_files`): they are 8-bit, opaque and need no
metadata, and their decoder must never change. Here the depth, the alpha
channel, the profile and the tags matter more.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from gradnet_tf.utils.errors import UserError


@dataclasses.dataclass(frozen=True)
class Photo:
    """A decoded photograph.

    Attributes:
        pixels: (H, W, 1) grey or (H, W, 3) RGB; uint8, uint16 or float, floats with
            the nominal range [0, 1]. As stored: an orientation tag does not turn them.
        alpha: (H, W) of the same dtype, or `None`.
        format: "png", "jpeg", "tiff", "webp", "avif", "bmp" or "pnm".
        encoded: the file it was read from.
        facts: what the format's own module wants to know when it writes.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None
    format: str
    encoded: bytes
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def array(self) -> np.ndarray:
        """Pixels and alpha as one array, (H, W, 1, 2, 3 or 4)."""
        if self.alpha is None:
            return self.pixels
        return np.concatenate([self.pixels, self.alpha[..., np.newaxis]], axis=2)

    def with_pixels(self, pixels: np.ndarray) -> "Photo":
        """Returns the photograph with other pixels, shaped like its own and of its dtype."""
        if pixels.shape != self.pixels.shape or pixels.dtype != self.pixels.dtype:
            raise ValueError(
                f"`pixels` must be {self.pixels.dtype} {self.pixels.shape}. "
                f"Received: {pixels.dtype} {pixels.shape}"
            )
        return dataclasses.replace(self, pixels=pixels)


def split_alpha(array: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Returns (pixels, alpha) of (H, W) or (H, W, 1 to 4); alpha is the 2nd or 4th channel."""
    if array.ndim == 2:
        return array[..., np.newaxis], None
    colours = array.shape[2] - 1 + array.shape[2] % 2
    return array[..., :colours], None if array.shape[2] % 2 else array[..., -1]


def require_size(width: int, height: int, max_megapixels: float) -> None:
    """Raises `UserError` for a picture that is empty or larger than allowed."""
    if width < 1 or height < 1:
        raise UserError(f"has {width}×{height} pixels; expected at least 1×1")
    if width * height > max_megapixels * 1e6:
        raise UserError(
            f"has {width}×{height} pixels, or {width * height / 1e6:.4g} megapixels; "
            f"expected at most {max_megapixels:g} (see --max-megapixels)"
        )


def is_dark(pixels: np.ndarray) -> bool:
    """Whether 16-bit pixels use an eighth of their range or less, as 12 bits in a file of 16 do."""
    return pixels.dtype == np.uint16 and 0 < int(pixels.max()) <= 2**13
