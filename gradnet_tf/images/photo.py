"""A photograph: its pixels, and everything that has to be written back to its file.

Images for training and evaluation are read by `gradnet_tf.images.image_files` instead: they are
8-bit and opaque, need no metadata, and their decoder must never change. For photographs, the bit
depth, the alpha channel, the color profile and the tags matter more.
"""

import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from gradnet_tf.utils.errors import UserError

#: What is said of a manifest that names the hash of the old pixels.
CREDENTIALS = "the content credentials (C2PA), which were signed for the old pixels"

# Where XMP points at a manifest: an attribute or an element, dcterms:provenance.
_PROVENANCE = re.compile(
    rb"""\s+[A-Za-z_][\w.-]{0,40}:provenance\s{0,9}=\s{0,9}("[^"]*"|'[^']*')"""
    rb"""|<([A-Za-z_][\w.-]{0,40}:provenance)\b[^<>]*(/>|>[^<]*</\2\s{0,9}>)"""
)


@dataclasses.dataclass(frozen=True)
class Photo:
    """A decoded photograph.

    Attributes:
        array: (H, W, C), C = 1 gray, 2 gray and alpha, 3 RGB, 4 RGB and alpha; uint8,
            uint16 or float, floats with the nominal range [0, 1]. As stored in the file: an
            orientation tag is not applied.
        format: "png", "jpeg", "tiff", "webp", "avif", "bmp" or "pnm".
        encoded: the content of the input file.
        metadata: data that the format's module needs to write the photograph again.
        notes: what is wrong with the file although its pixels are in order, one line each.
        lost: what else is in the file and is not written again, because it is bound to the old
            pixels or to offsets in the old file. One noun phrase each.
    """

    array: np.ndarray
    format: str
    encoded: bytes
    metadata: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()

    @property
    def pixels(self) -> np.ndarray:
        """The channels that are denoised: (H, W, 1) gray or (H, W, 3) RGB."""
        return self.array[..., : color_channels(self.array.shape[2])]

    @property
    def alpha(self) -> np.ndarray | None:
        """The alpha channel, (H, W), or `None`."""
        return None if self.array.shape[2] % 2 else self.array[..., -1]

    @property
    def is_dark(self) -> bool:
        """Whether 16-bit pixels use an eighth of their range or less, as 12-bit data does."""
        return self.array.dtype == np.uint16 and 0 < int(self.pixels.max()) <= 2**13

    def denoised(self, denoise: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """Returns the pixels of `denoise(array)`, which also gets the alpha channel.

        It decides which pixels are visible; the colors behind others must not matter.
        """
        channels = self.pixels.shape[-1]
        return denoise(self.array)[..., :channels]

    def with_pixels(self, pixels: np.ndarray) -> "Photo":
        """Returns the photograph with other pixels, shaped like its own and of its dtype."""
        if pixels.shape != self.pixels.shape or pixels.dtype != self.array.dtype:
            raise ValueError(
                f"`pixels` must be {self.array.dtype} {self.pixels.shape}. "
                f"Received: {pixels.dtype} {pixels.shape}"
            )
        if self.alpha is None:
            return dataclasses.replace(self, array=pixels)
        array = np.concatenate([pixels, self.alpha[..., np.newaxis]], axis=2)
        return dataclasses.replace(self, array=array)


def without_provenance(xmp: bytes) -> bytes:
    """Removes from XMP what points at content credentials; the rest is kept byte for byte."""
    return _PROVENANCE.sub(b"", xmp)


def color_channels(channels: int) -> int:
    """Returns how many of 1 to 4 channels are colors: the 2nd or the 4th one is alpha."""
    return channels - 1 + channels % 2


def require_size(width: int, height: int, max_megapixels: float) -> None:
    """Raises `UserError` if a picture is empty or larger than allowed."""
    if width < 1 or height < 1:
        raise UserError(f"has {width}×{height} pixels; expected at least 1×1")
    if width * height > max_megapixels * 1e6:
        raise UserError(
            f"has {width}×{height} pixels, or {width * height / 1e6:.4g} megapixels; "
            f"expected at most {max_megapixels:g} (see --max-megapixels)"
        )
