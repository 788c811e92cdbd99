"""How large photographs are, before they are decoded: for the time left, and for memory."""

import os
import time
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from gradnet_tf.images.photo import quiet_decoders

#: Megapixels of a megabyte of file, where no header tells any: between JPEG and PNG.
_MEGAPIXELS_PER_MB = 1.0


def megapixels_of(path: str | os.PathLike) -> float | None:
    """Returns the megapixels that a file's header claims, `None` where it tells none."""
    try:
        with quiet_decoders(), Image.open(path) as image:
            return image.size[0] * image.size[1] / 1e6
    except Exception:
        return None  # Whatever is wrong with it is said when it is read.


def estimate_megapixels(
    paths: Sequence[Path], sizes: Sequence[int], seconds: float = 1.0
) -> list[float]:
    """Returns the megapixels of each file: from headers for a while, the rest by their bytes.

    Args:
        paths: the files.
        sizes: their sizes in bytes.
        seconds: for how long headers are read: a folder may hold very many, far away.
    """
    end = time.monotonic() + seconds
    found: list[float | None] = []
    for path in paths:
        if time.monotonic() > end:
            break
        found.append(megapixels_of(path))
    known = [(pixels, size) for pixels, size in zip(found, sizes, strict=False) if pixels and size]
    # The middle one: a file of some bytes may claim any number of pixels.
    rates = sorted(pixels / size for pixels, size in known)
    rate = rates[len(rates) // 2] if rates else _MEGAPIXELS_PER_MB / 1e6
    found += [None] * (len(paths) - len(found))
    return [
        size * rate if pixels is None else pixels for pixels, size in zip(found, sizes, strict=True)
    ]
