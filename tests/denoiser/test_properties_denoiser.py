"""What holds for every picture: shapes, dtypes, alpha, ranges, strengths, tiles."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import FLOATS, colours, examples, fill, has_alpha, pictures

from gradnet_tf.degradations.noise_level import estimate_sigma
from gradnet_tf.denoiser import Strength, load_denoiser
from gradnet_tf.tiling.tile_config import TileConfig, parse_memory, parse_tile
from gradnet_tf.tiling.tiler import PixelFormat, map_tiles, spans, windows
from gradnet_tf.utils.errors import UserError

UNIT = st.floats(0, 1, width=32)


@pytest.fixture(scope="module")
def denoiser():
    return load_denoiser("gradnet_tiny_color_blind")


@examples(60)
@given(image=pictures(), strength=st.one_of(st.just(1.0), UNIT))
def test_every_picture_comes_back_as_it_is_but_for_noise(denoiser, image, strength):
    before = image.copy()
    found = denoiser(image, strength=strength)
    assert found.shape == image.shape and found.dtype == image.dtype
    assert image.tobytes() == before.tobytes() and not np.shares_memory(found, image)
    assert np.isfinite(found).all()
    if has_alpha(image):
        assert found[..., -1].tobytes() == image[..., -1].tobytes()
    if image.dtype.kind == "f" and strength == 1:
        assert colours(found).min() >= 0 and colours(found).max() <= 1
    elif image.dtype.kind == "f":  # Between the picture and [0, 1].
        assert colours(found).min() >= min(0, colours(image).min()) - 1e-3
        assert colours(found).max() <= max(1, colours(image).max()) + 1e-2


@examples(100)
@given(
    image=pictures(),
    strengths=st.sampled_from(
        [{"strength": 0.0}, {"luma": 0.0, "chroma": 0.0}, {"strength": -0.0}]
    ),
)
def test_strength_0_is_the_picture_bit_for_bit(denoiser, image, strengths):
    assert denoiser(image, **strengths).tobytes() == image.tobytes()


@examples(25)
@given(image=pictures(dtypes=FLOATS), seed=st.integers(0, 999), data=st.data())
def test_one_value_that_no_network_bears_is_refused(denoiser, image, seed, data):
    place = data.draw(st.integers(0, colours(image).size - 1))
    where = np.unravel_index(place, colours(image).shape)
    # The greatest become NaN in a network, and pictures on the 0-255 scale white.
    most = float(np.finfo(image.dtype).max)
    values = [np.nan, np.inf, -np.inf, most, -most, 128.0]
    image[where] = data.draw(st.sampled_from(values))
    with pytest.raises(UserError, match="finite"):
        denoiser(image)


@examples(20)
@given(
    image=pictures(most=70, batches=False),
    sides=st.lists(st.integers(16, 80), min_size=2, max_size=2, unique=True),
)
def test_two_sizes_of_tiles_agree(denoiser, image, sides):
    first, second = (denoiser(image, tiles=TileConfig(side)) for side in sides)
    whole = denoiser(image, tiles=TileConfig("whole"))
    for found in (first, second):
        np.testing.assert_allclose(found.astype(float), whole.astype(float), **_near(image.dtype))


def _near(dtype):
    # Sums of floats differ in their last bits, and integers are rounded.
    if dtype.kind == "u":
        return {"rtol": 0, "atol": 1}
    return {"rtol": 0, "atol": 1e-3 if dtype == np.float16 else 2e-6}


@examples(300)
@given(
    length=st.integers(1, 400),
    tile=st.integers(16, 200),
    halo=st.integers(0, 70),
    block=st.sampled_from([1, 2, 4, 8]),
)
def test_spans_cover_an_axis_exactly_once(length, tile, halo, block):
    found = spans(length, tile, halo, block)
    assert [p for span in found for p in range(span.first, span.last)] == list(range(length))
    for span in found:
        assert 0 <= span.start <= span.first < span.last <= span.stop <= length
        assert span.start % block == 0
        assert span.start == 0 or span.first - span.start >= halo
        assert span.stop == length or span.stop - span.last >= halo


@examples(60)
@given(
    image=pictures(most=60, batches=False).filter(lambda image: image.ndim == 3),
    tile=st.integers(16, 64),
    halo=st.integers(0, 20),
    block=st.sampled_from([1, 2, 4]),
)
def test_tiles_of_what_changes_nothing_are_the_picture(image, tile, halo, block):
    done = []
    keep = PixelFormat(lambda part: part.astype(np.float32), lambda _, part: part)
    cut = windows(image.shape[:2], tile, halo, block)
    found = map_tiles(lambda part: part, image, cut, keep, lambda *counts: done.append(counts))
    assert found.tobytes() == image.tobytes() and found.dtype == image.dtype
    total = image.shape[0] * image.shape[1]
    assert done[-1] == (total, total) and sorted(done) == done


@examples(150)
@given(
    seed=st.integers(0, 2**32 - 1),
    channels=st.sampled_from([1, 3]),
    overall=UNIT,
    luma=UNIT,
    chroma=UNIT,
)
def test_the_algebra_of_strengths(seed, channels, overall, luma, chroma):
    noisy, clean = (fill((5, 4, channels), np.float32, "noise", seed + n) for n in (0, 1))
    blended = Strength(overall, luma, chroma).blend(noisy, clean)
    near = {"rtol": 0, "atol": 2e-6}
    # What changes nothing changes nothing at any strength.
    np.testing.assert_allclose(Strength(overall, luma, chroma).blend(noisy, noisy), noisy, **near)
    assert Strength(0.0, luma, chroma).blend(noisy, clean).tobytes() == noisy.tobytes()
    assert Strength().blend(noisy, clean).tobytes() == clean.tobytes()
    # `overall` multiplies both; brightness follows luma alone, the rest chroma alone.
    product = Strength(1.0, overall * luma, overall * chroma).blend(noisy, clean)
    np.testing.assert_allclose(blended, product, **near)
    change, full = blended - noisy, clean - noisy
    grey, full_grey = (part.mean(axis=-1, keepdims=True) for part in (change, full))
    np.testing.assert_allclose(grey, np.float32(overall * luma) * full_grey, **near)
    if channels == 3:
        rest = np.float32(overall * chroma) * (full - full_grey)
        np.testing.assert_allclose(change - grey, rest, **near)
    # Less is between: from the picture on, the change grows along one line.
    half = Strength(overall / 2, luma, chroma).blend(noisy, clean)
    np.testing.assert_allclose(half - noisy, change / 2, **near)


AMOUNTS = st.builds(
    "{}{}{}{}".format,
    st.builds(lambda digit, count: digit * count, st.sampled_from("0159٣"), st.integers(0, 400)),
    st.sampled_from(("", ".", ".5", ".0", " ", "\x1f")),
    st.sampled_from(("", "k", "MB", "GiB", "TB", "ib", "B", "x")),
    st.sampled_from(("", " ", "\n", "\x1f")),
)


@examples(400)
@given(text=st.one_of(st.text(max_size=12), AMOUNTS))
def test_amounts_of_memory_and_sides_are_read_or_refused(text):
    for parse in (parse_memory, parse_tile):
        try:
            value = parse(text)
        except UserError as error:
            assert 1 <= len(str(error).splitlines()) <= 3
        else:
            assert value in ("auto", "whole") or (isinstance(value, int) and value > 0)


@examples(100)
@given(
    image=pictures(dtypes=(np.float32,), batches=False, channels=(1, 3)), power=st.integers(0, 6)
)
def test_an_estimated_noise_level_is_a_scale(image, power):
    image = image if image.ndim == 3 else image[..., np.newaxis]
    sigma = estimate_sigma(image)
    assert np.isfinite(sigma) and sigma >= 0
    factor = np.float32(2.0**-power)
    smaller = estimate_sigma(image * factor)
    assert smaller == pytest.approx(sigma * factor, rel=1e-5, abs=1e-30)
    assert estimate_sigma(np.full_like(image, 0.3)) == 0
    assert estimate_sigma(-image) == sigma
    if image.shape[0] % 2 == 0:
        assert estimate_sigma(image[::-1]) == pytest.approx(sigma, rel=1e-4, abs=1e-4)
