"""A photograph and its file: pixels to work on, and all that has to be in the file again.

The sets of images for training and scoring are read elsewhere
(`gradnet_tf.images.image_files`): they are 8-bit, opaque and need no
metadata, and their decoder must never change. Here the depth, the alpha
channel, the profile and the tags matter more.
"""

import contextlib
import dataclasses
import logging
import threading
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from PIL import Image

from gradnet_tf.images.image_files import silent_opencv
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


def require_floats_in_range(pixels: np.ndarray) -> None:
    """Raises `UserError` for float pixels that no scale of ours fits; integers always fit."""
    if pixels.dtype.kind != "f":
        return
    strange = int(pixels.size - np.count_nonzero(np.isfinite(pixels)))
    if strange:
        raise UserError(f"has {strange} values that are NaN or infinite; expected finite floats")
    low, high = float(pixels.min()), float(pixels.max())
    # Noise leaves [0, 1] by some of its width. Other scales cannot be told from a bright picture.
    if low < -1.0 or high > 2.0:
        raise UserError(
            f"has float values from {low:.4g} to {high:.4g}; expected [0, 1]: scale them first"
        )


def is_dark(pixels: np.ndarray) -> bool:
    """Whether 16-bit pixels use an eighth of their range or less, as 12 bits in a file of 16 do."""
    return pixels.dtype == np.uint16 and 0 < int(pixels.max()) <= 2**13


@contextlib.contextmanager
def quiet_decoders() -> Iterator[None]:
    """Keeps the decoders' own warnings off the screen, and Pillow's limit out of the way of ours.

    What cannot be read raises; what a decoder merely finds odd in the
    metadata is no news to the person whose picture is being denoised. What is
    changed belongs to the whole process: of several threads the first one in
    changes it, and the last one out changes it back.
    """
    with _lock:
        _inside.append(None)
        if len(_inside) == 1:
            _changed.enter_context(_quiet())
    try:
        yield
    finally:
        with _lock:
            _inside.pop()
            if not _inside:
                _changed.close()


_lock = threading.Lock()
_inside: list[None] = []
_changed = contextlib.ExitStack()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    logs = [logging.getLogger(name) for name in ("tifffile", "PIL")]
    levels, limit = [log.level for log in logs], Image.MAX_IMAGE_PIXELS
    for log in logs:
        log.setLevel(logging.CRITICAL + 1)
    Image.MAX_IMAGE_PIXELS = None
    try:
        with silent_opencv(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for log, level in zip(logs, levels, strict=True):
            log.setLevel(level)
        Image.MAX_IMAGE_PIXELS = limit
