"""What the property-based tests share: how many examples, and the pictures they are tried on.

The examples are the same in every run. More of them, a hundred times as many, say:
  GRADNET_EXAMPLES=100 python -m pytest tests/denoiser tests/images -k properties
"""

import os

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

FLOATS = (np.float16, np.float32, np.float64)
DTYPES = (np.uint8, np.uint16, *FLOATS)
CONTENTS = ("noise", "constant", "extremes", "tiny", "ramp", "beyond")


def examples(number):
    """Settings of a test that tries so many examples, the same in every run."""
    return settings(
        max_examples=number * int(os.environ.get("GRADNET_EXAMPLES", "1")),
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


def fill(shape, dtype, content, seed):
    """An array of one kind of content; floats are finite and, but for "beyond", in [0, 1]."""
    random = np.random.default_rng(seed)
    kind = np.dtype(dtype).kind
    top = 1.0 if kind == "f" else float(np.iinfo(dtype).max)
    if content == "constant":
        values = np.full(shape, random.random())
    elif content == "extremes":
        values = random.integers(0, 2, shape).astype(float)
    elif content == "tiny":  # Subnormal floats, the lowest bits of integers.
        if kind == "f":
            return (random.integers(0, 4, shape) * np.finfo(dtype).smallest_subnormal).astype(dtype)
        values = random.integers(0, 3, shape) / top
    elif content == "ramp":
        values = np.linspace(0, 1, max(1, int(np.prod(shape)))).reshape(shape)
    else:
        values = random.random(shape)
    if content == "beyond" and kind == "f":  # As noise leaves [0, 1], and a good deal further.
        values = (values - 0.5) * 30
    return (values * top).astype(dtype)


@st.composite
def pictures(draw, most=17, dtypes=DTYPES, contents=CONTENTS, batches=True, channels=(1, 2, 3, 4)):
    """Arrays as `Denoiser` takes them: (H, W), (H, W, C) or (N, H, W, C)."""
    shape = (draw(st.integers(1, most)), draw(st.integers(1, most)))
    form = draw(st.sampled_from(("plane", "picture", "batch") if batches else ("plane", "picture")))
    if form != "plane":
        shape = (*shape, draw(st.sampled_from(channels)))
    if form == "batch":
        shape = (draw(st.integers(1, 3)), *shape)
    dtype, content = draw(st.sampled_from(dtypes)), draw(st.sampled_from(contents))
    return fill(shape, dtype, content, draw(st.integers(0, 2**32 - 1)))


def has_alpha(image):
    return image.ndim > 2 and image.shape[-1] in (2, 4)


def colours(image):
    """The picture without its alpha channel."""
    return image[..., :-1] if has_alpha(image) else image
