"""What holds for photographs of every shape, depth and mode: what is written is read again."""

import numpy as np
import photo_samples as files
import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import DTYPES, examples, fill

from gradnet_tf.images.photo_files import decode_photo, encode_photo
from gradnet_tf.utils.errors import UserError

FLOATS = (np.float16, np.float32, np.float64)
#: Format to the dtypes and channels that it holds without loss.
HOLDS = {
    "png": (DTYPES[:2], (1, 2, 3, 4)),
    "tiff": (DTYPES, (1, 2, 3, 4)),
    "tiff deflate": (DTYPES, (1, 2, 3, 4)),
    "webp": (DTYPES[:1], (3, 4)),
    "bmp": (DTYPES[:1], (1, 3)),
    "ppm": (DTYPES[:2], (1, 3)),
}
COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}


def written(kind, array):
    """An array as a file by another hand than the project's."""
    channels = array.shape[2]
    if kind == "png":
        return files.raw_png(array, COLOUR_TYPES[channels], array.itemsize * 8)
    if kind.startswith("tiff"):
        alpha = {"extrasamples": ["unassalpha"]} if channels in (2, 4) else {}
        plain = array[..., 0] if channels == 1 else array
        options = {"compression": "zlib"} if "deflate" in kind else {}
        return files.by_tifffile(plain, **alpha, **options)
    flat = array[..., 0] if channels == 1 else array
    if kind == "webp":
        return files.by_pillow(flat, "WEBP", lossless=True, exact=True)
    return files.by_opencv(flat, f".{kind}" if channels == 3 or kind == "bmp" else ".pgm")


@st.composite
def stored(draw):
    """(kind, array, another array of the same shape)."""
    kind = draw(st.sampled_from(sorted(HOLDS)))
    dtypes, channels = HOLDS[kind]
    shape = (draw(st.integers(1, 33)), draw(st.integers(1, 33)), draw(st.sampled_from(channels)))
    dtype, seed = draw(st.sampled_from(dtypes)), draw(st.integers(0, 2**32 - 1))
    content = draw(st.sampled_from(("noise", "constant", "extremes", "tiny", "ramp")))
    return kind, fill(shape, dtype, content, seed), fill(shape, dtype, "noise", seed ^ 1)


@examples(150)
@given(case=stored())
def test_what_loses_nothing_comes_back_bit_for_bit(case):
    kind, array, other = case
    photo = decode_photo(written(kind, array), kind)
    assert photo.array.dtype == array.dtype
    # A WebP whose alpha is opaque throughout may say so by having none.
    if photo.array.shape != array.shape:
        assert kind == "webp" and (array[..., -1] == 255).all()
        array, other = array[..., :3], other[..., :3]
    assert photo.array.tobytes() == array.tobytes()
    pixels = np.ascontiguousarray(other[..., : photo.pixels.shape[2]])
    for wanted in (photo.pixels, pixels):
        again = decode_photo(encode_photo(photo.with_pixels(wanted)), kind)
        assert again.pixels.tobytes() == wanted.tobytes()
        assert again.format == photo.format and again.pixels.dtype == photo.pixels.dtype
        assert (again.alpha is None) == (photo.alpha is None)
        if photo.alpha is not None:
            assert again.alpha.tobytes() == photo.alpha.tobytes()


@examples(40)
@given(
    format=st.sampled_from(["JPEG", "AVIF", "WEBP"]),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    channels=st.sampled_from([1, 3, 4]),
    quality=st.one_of(st.none(), st.integers(1, 100)),
    seed=st.integers(0, 2**32 - 1),
)
def test_what_loses_keeps_shape_and_mode(format, height, width, channels, quality, seed):
    channels = min(channels, 3) if format == "JPEG" else channels
    array = fill((height, width, channels), np.uint8, "noise", seed)
    data = files.by_pillow(array[..., 0] if channels == 1 else array, format)
    photo = decode_photo(data, format)
    again = decode_photo(encode_photo(photo, quality), format)
    assert again.array.shape == photo.array.shape and again.array.shape[:2] == (height, width)
    assert again.array.dtype == np.uint8


@examples(150)
@given(data=st.binary(max_size=200), start=st.sampled_from(sorted(HOLDS)), cut=st.integers(0, 80))
def test_bytes_are_a_photograph_or_one_line(data, start, cut):
    head = written(start, fill((4, 5, 3), np.uint8, "noise", 0))
    try:
        photo = decode_photo(head[:cut] + data, "x", max_megapixels=1)
    except UserError as error:
        assert str(error).startswith("x ") and len(str(error).splitlines()) == 1
    else:
        encode_photo(photo)


@examples(40)
@given(array=st.builds(fill, st.just((6, 5, 3)), st.sampled_from(FLOATS), st.just("noise"),
                       st.integers(0, 99)), place=st.integers(0, 89),
       value=st.sampled_from([np.nan, np.inf, -np.inf]))  # fmt: skip
def test_a_float_that_is_not_finite_is_refused(array, place, value):
    array.reshape(-1)[place] = value
    with pytest.raises(UserError, match="1 values that are NaN or infinite"):
        decode_photo(files.by_tifffile(array), "x")
