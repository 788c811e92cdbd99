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

from gradnet_tf.images import MAX_MEGAPIXELS
from gradnet_tf.images.channels import fill_hidden
from gradnet_tf.utils.errors import UserError

#: Note for a manifest that contains the hash of the old pixels.
CREDENTIALS = "the content credentials (C2PA), which were signed for the old pixels"

#: Of `Photo.remaining_noise`: side of its blocks, about how many are measured, the largest range
#: of values in a flat one, the part that is smoothest, and the level below which nobody sees noise;
#: levels of 255.
_BLOCK, _MOST_BLOCKS, _FLAT, _SMOOTHEST, _VISIBLE_LEVEL = 8, 2**14, 1.001, 0.2, 2.5

# Where XMP points at a manifest: an attribute or an element, dcterms:provenance. A run of blanks is
# tried from its beginning only; from each of its bytes, a million of them would take hours.
_PROVENANCE = re.compile(
    rb"""(?<!\s)\s+[A-Za-z_][\w.-]{0,40}:provenance\s{0,9}=\s{0,9}("[^"]*"|'[^']*')"""
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
        is_opaque: whether the last channel, which would be alpha, is something else: a selection
            or infrared light, which hides no pixel and is kept.
    """

    array: np.ndarray
    format: str
    encoded: bytes
    metadata: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    is_opaque: bool = False

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
        return denoise(self.pixels if self.is_opaque else self.array)[..., :channels]

    def visible(self, pixels: np.ndarray) -> np.ndarray:
        """Returns the part of pixels, shaped like `self.pixels`, that holds all visible ones.

        To measure: what is behind transparent pixels is replaced by what is around them.
        """
        shown = None if self.is_opaque or self.alpha is None else self.alpha > 0
        if shown is None or shown.all() or not shown.any():
            return pixels
        part = tuple(
            slice(int(places.min()), int(places.max()) + 1) for places in np.nonzero(shown)
        )
        return fill_hidden(pixels[part], shown[part])

    def remaining_noise(self, pixels: np.ndarray) -> tuple[float, float] | None:
        """Returns the noise levels before and after if most of the noise remains in `pixels`.

        Measured in the smoothest fifth of the blocks that are visible and not flat: elsewhere,
        texture counts as noise. In pictures that are textured everywhere it still does.

        Args:
            pixels: the denoised pixels.

        Returns:
            Both levels on the 0-255 scale; `None` if less than half remains, or if there is little.
        """
        height, width = (side // _BLOCK for side in pixels.shape[:2])
        if not height * width:
            return None
        step = max(1, height * width // _MOST_BLOCKS)
        scale = 255.0 if pixels.dtype.kind == "f" else 255.0 / np.iinfo(pixels.dtype).max
        energies, moving = [], None
        for picture in (self.pixels, pixels):
            rows = picture[: height * _BLOCK, : width * _BLOCK].reshape(height, _BLOCK, -1)[::step]
            # (rows of blocks, 8, blocks, 8 · C), in an order in which NumPy's loops are long.
            blocks = rows.reshape(len(rows), _BLOCK, width, -1).swapaxes(1, 2)
            blocks = np.multiply(blocks, np.float32(scale), dtype=np.float32)
            if moving is None:
                columns = blocks.reshape(*blocks.shape[:2], _BLOCK * _BLOCK, -1)
                moving = np.ptp(columns, axis=2).max(-1) > _FLAT
                if self.alpha is not None and not self.is_opaque:
                    hidden = (self.alpha == 0)[: height * _BLOCK, : width * _BLOCK]
                    hidden = hidden.reshape(height, _BLOCK, width, _BLOCK)[::step]
                    moving &= ~hidden.any(axis=(1, 3))
            blocks = blocks.reshape(*blocks.shape[:3], _BLOCK, -1)
            upper, lower = blocks[:, :, ::2], blocks[:, :, 1::2]
            # The diagonal details of a Haar transform keep the σ of white noise.
            details = (upper[:, :, :, ::2] - upper[:, :, :, 1::2]) / 2
            details -= (lower[:, :, :, ::2] - lower[:, :, :, 1::2]) / 2
            energies.append(np.square(details).mean(axis=(2, 3, 4))[moving])
        if not moving.any():
            return None
        before, after = (
            float(np.sqrt(each[each <= np.quantile(each, _SMOOTHEST)].mean())) for each in energies
        )
        return (before, after) if before >= _VISIBLE_LEVEL and after > before / 2 else None

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


def require_size(width: int, height: int, max_megapixels: float | None = None) -> None:
    """Raises `UserError` if a picture is empty or larger than allowed.

    Args:
        width: in pixels.
        height: in pixels.
        max_megapixels: the limit that somebody may choose; `None`: `MAX_MEGAPIXELS`.
    """
    limit = MAX_MEGAPIXELS if max_megapixels is None else max_megapixels
    if width < 1 or height < 1:
        raise UserError(f"has {width}×{height} pixels; expected at least 1×1")
    if width * height > limit * 1e6:
        raise UserError(
            f"has {width}×{height} pixels, or {width * height / 1e6:.4g} megapixels; expected at "
            f"most {limit:g}" + (" (see --max-megapixels)" if max_megapixels is not None else "")
        )
