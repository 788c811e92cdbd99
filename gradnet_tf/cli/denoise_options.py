"""How `gradnet denoise` treats files."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from gradnet_tf.images import MAX_MEGAPIXELS

#: Takes colour pixels, returns them denoised; the number format stays.
Denoise = Callable[[np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class FileOptions:
    """How files are treated.

    Attributes:
        changes_nothing: the strength is 0: files are copied byte for byte once they have
            been read, since encoding a JPEG again would not give its pixels back.
        quality: of JPEG and lossy WebP and AVIF; see `encode_photo`.
        overwrite: denoises again what has a result already, instead of skipping it.
        max_megapixels: larger pictures fail.
        jobs: files on their way at once: one in the network, the others read or written.
        waiting_memory: bytes for the pictures on their way; by default a quarter of the
            machine's memory. One is always let in, however large.
        settings: what decides the results, kept beside them; see `EarlierResults`.
    """

    changes_nothing: bool = False
    quality: int | None = None
    overwrite: bool = False
    max_megapixels: float = MAX_MEGAPIXELS
    jobs: int = 1
    waiting_memory: float | None = None
    settings: Mapping[str, Any] | None = None


DEFAULTS = FileOptions()
