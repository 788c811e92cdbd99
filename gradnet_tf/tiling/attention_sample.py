"""Which parts of a picture the attention's vectors are taken from."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

CROP_SIDE = 80
#: Pictures up to this size are pooled whole: a few crops of one would not stand for it.
WHOLE_PIXELS = 4 * CROP_SIDE**2
#: Crops of a large picture: one for so many pixels, within limits that bound error and time.
PIXELS_PER_CROP = 2**15
FEWEST, MOST = 32, 128
_CHUNK = 8
_SEED = 0


def sampled_parts(image: np.ndarray, whole_pixels: int = WHOLE_PIXELS) -> Iterator[np.ndarray]:
    """Yields the batches of a picture that stand for the whole of it.

    A picture of up to `whole_pixels` stands for itself. A larger one is
    represented by crops of the side that the networks are trained on: as many
    as have its area, but at most 32, and beyond a megapixel one for
    `PIXELS_PER_CROP` pixels, at most 128. Their places are drawn from a
    generator of a fixed seed and depend on nothing but the picture's size, so
    that the result does not depend on how the picture is cut or on how much
    memory there is.

    Args:
        image: (H, W, C).
        whole_pixels: where crops begin.

    Yields:
        (N, h, w, C), N up to 8, all of one shape.
    """
    height, width = image.shape[:2]
    if height * width <= whole_pixels:
        yield image[None]
        return
    sides = min(CROP_SIDE, height), min(CROP_SIDE, width)
    draw = np.random.default_rng(_SEED)
    count = min(MOST, max(FEWEST, height * width // PIXELS_PER_CROP))
    count = min(count, max(4, height * width // (sides[0] * sides[1])))
    tops = draw.integers(0, height - sides[0] + 1, count)
    lefts = draw.integers(0, width - sides[1] + 1, count)
    for begin in range(0, count, _CHUNK):
        chunk = zip(tops[begin : begin + _CHUNK], lefts[begin : begin + _CHUNK], strict=True)
        yield np.stack([image[t : t + sides[0], x : x + sides[1]] for t, x in chunk])


def attention_vectors(
    image: np.ndarray,
    function: Callable[[np.ndarray], Sequence[np.ndarray]],
    whole_pixels: int = WHOLE_PIXELS,
) -> list[np.ndarray]:
    """Returns a picture's attention vectors, the mean over its sample.

    Args:
        image: (H, W, C) float32.
        function: returns the vectors (N, 1, 1, ·) of a batch.
        whole_pixels: see `sampled_parts`.

    Returns:
        A list of float32 (1, 1, 1, ·).
    """
    batches = [function(part) for part in sampled_parts(image, whole_pixels)]
    stacked = (np.concatenate(vectors) for vectors in zip(*batches, strict=True))
    return [np.mean(v, axis=0, keepdims=True, dtype=np.float64).astype(np.float32) for v in stacked]
