"""Pictures of every shape and dtype, strengths by axis, and the mean over eight flips."""

import numpy as np
import pytest
from tiny_run import tiny_model

from gradnet_tf.denoiser import Denoiser, Strength, self_ensemble
from gradnet_tf.runtimes.keras_runtime import KerasRunner
from gradnet_tf.tiling.tile_config import TileConfig
from gradnet_tf.utils.errors import UserError


@pytest.fixture(scope="module")
def denoiser():
    return Denoiser(KerasRunner(tiny_model()), "tiny")


def picture(*shape, dtype=np.uint8):
    values = np.random.default_rng(3).random(shape)
    top = 1 if np.dtype(dtype).kind == "f" else np.iinfo(dtype).max
    return (values * top).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float16, np.float32, np.float64])
@pytest.mark.parametrize(
    "shape", [(11, 9), (11, 9, 1), (11, 9, 2), (11, 9, 3), (11, 9, 4), (2, 11, 9, 3), (1, 1, 3)]
)
def test_shape_and_dtype_stay_and_alpha_is_untouched(denoiser, shape, dtype):
    image = picture(*shape, dtype=dtype)
    before = image.copy()
    found = denoiser(image)
    assert found.shape == shape and found.dtype == dtype
    np.testing.assert_array_equal(image, before)
    colours = 3 if shape[-1] in (3, 4) and len(shape) > 2 else 1
    assert not np.array_equal(found[..., :colours], image[..., :colours])
    if len(shape) > 2 and shape[-1] in (2, 4):
        np.testing.assert_array_equal(found[..., -1], image[..., -1])
    np.testing.assert_array_equal(denoiser(image, strength=0.0), image)


def test_depths_agree(denoiser):
    """16 bits are finer than 8, not something else: 257 levels of one are one of the other."""
    image = picture(17, 13, 3)
    deep = denoiser(image.astype(np.uint16) * 257)
    unit = denoiser(image.astype(np.float32) / 255)
    np.testing.assert_allclose(deep / 65535, unit, atol=1e-5)
    assert np.abs(denoiser(image) - unit * 255).max() <= 0.501
    assert (deep % 257 != 0).any()


def test_a_batch_is_its_pictures(denoiser):
    batch = picture(3, 8, 9, 4)
    for image, found in zip(batch, denoiser(batch), strict=True):
        np.testing.assert_array_equal(found, denoiser(image))


def axes():
    """Orthonormal axes, luma first."""
    found = np.array([[1, 1, 1], [1, -1, 0], [1, 1, -2]], float)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


@pytest.mark.parametrize(("overall", "luma", "chroma"), [(1, 0.25, 1), (0.5, 1, 0), (1, 0, 0.5)])
def test_luma_and_chroma_are_blended_along_orthonormal_axes(denoiser, overall, luma, chroma):
    image = 0.3 + 0.4 * picture(17, 13, 3, dtype=np.float32)
    full = denoiser(image)
    found = denoiser(image, overall, luma=luma, chroma=chroma)
    change, got = (full - image) @ axes().T, (found - image) @ axes().T
    assert np.abs(change).max(axis=(0, 1)).min() > 0.01
    wanted = change * (overall * np.array([luma, chroma, chroma]))
    np.testing.assert_allclose(got, wanted, atol=1e-6)


def test_strengths_of_nothing_return_the_picture(denoiser):
    image = picture(7, 7, 3, dtype=np.float32) * 3 - 1  # Beyond [0, 1] too.
    np.testing.assert_array_equal(denoiser(image, luma=0.0, chroma=0.0), image)
    grey = picture(7, 7)
    np.testing.assert_array_equal(denoiser(grey, luma=0.0), grey)
    assert not np.array_equal(denoiser(grey, chroma=0.0), grey)
    np.testing.assert_array_equal(denoiser(grey, chroma=0.0), denoiser(grey))


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize(
    "strengths", [{"strength": 0.5}, {"luma": 0.3}, {"chroma": 0.2}, {"strength": 0.7, "luma": 0.2}]
)
def test_floats_stay_in_the_unit_interval_between_the_strengths(denoiser, channels, strengths):
    # Black and white pixels, whose denoised colors are blended along turned axes.
    image = np.random.default_rng(0).choice([0.0, 1.0, 0.02, 0.98], (30, 40, channels))
    found = denoiser(image.astype(np.float32), **strengths)
    assert 0.0 <= found.min() and found.max() <= 1.0


def test_the_self_ensemble_is_the_mean_over_eight_flips(denoiser):
    image = picture(12, 9, 3, dtype=np.float32)
    wanted = []
    for turns in range(4):  # By another way than the code: quarter turns, mirrored or not.
        wanted.append(np.rot90(denoiser(np.rot90(image, turns)), -turns))
        mirrored = denoiser(np.rot90(image[:, ::-1], turns))
        wanted.append(np.rot90(mirrored, -turns)[:, ::-1])
    found = denoiser(image, self_ensemble=True)
    np.testing.assert_allclose(found, np.mean(wanted, axis=0), atol=1e-6)
    assert not np.allclose(found, denoiser(image), atol=1e-4)


def test_the_self_ensemble_undoes_every_turn():
    images = picture(2, 5, 8, 3, dtype=np.float32)
    np.testing.assert_allclose(self_ensemble(lambda turned: turned, images), images, atol=1e-7)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4,), np.uint8),
        np.zeros((4, 4, 5), np.uint8),
        np.zeros((4, 4), np.int32),
        np.zeros((4, 4), bool),
    ],
)
def test_other_arrays_are_refused(denoiser, image):
    with pytest.raises(UserError, match="expected uint8, uint16 or float of shape"):
        denoiser(image)


def test_not_finite_values_are_refused(denoiser):
    with pytest.raises(UserError, match="expected finite floats"):
        denoiser(np.full((4, 4), np.nan, np.float32))


@pytest.mark.parametrize("value", [-17.0, 17.0, float("-inf"), float("inf")])
def test_floats_on_another_scale_are_refused(denoiser, value):
    image = np.full((4, 4), 0.5, np.float32)
    image[1, 2] = value
    with pytest.raises(UserError, match="expected finite floats"):
        denoiser(image)


@pytest.mark.parametrize("name", ["overall", "luma", "chroma"])
@pytest.mark.parametrize("value", [-0.1, 2.1, float("nan")])
def test_a_strength_is_in_its_interval(name, value):
    with pytest.raises(UserError, match=r"expected a number in \[0, [12]\]"):
        Strength(**{name: value})


@pytest.mark.parametrize("name", ["luma", "chroma"])
def test_parts_of_the_noise_are_removed_once(name):
    with pytest.raises(UserError, match=rf"{name}: expected a number in \[0, 1\]"):
        Strength(**{name: 1.1})


def test_an_empty_picture_stays_empty(denoiser):
    assert denoiser(np.zeros((0, 5, 3), np.uint8)).shape == (0, 5, 3)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("shape", [(61, 75), (61, 75, 4), (2, 61, 70, 3)])
@pytest.mark.parametrize(
    "options", [{}, {"luma": 0.4, "chroma": 0.9}, {"self_ensemble": True, "strength": 0.7}]
)
def test_tiles_do_not_show_whatever_is_asked_for(channels, shape, options):
    """Tiles store part by part what one piece stores at once."""
    tiled = Denoiser(KerasRunner(tiny_model(channels=channels)), "tiny")
    image = picture(*shape, dtype=np.uint16)
    calls = []
    found = tiled(
        image, tiles=TileConfig(16), on_tile=lambda *done: calls.append(done), **options
    ).astype(int)
    whole = tiled(image, tiles=TileConfig("whole"), **options).astype(int)
    assert np.abs(found - whole).max() <= 8  # of 65535: another order of float32 sums
    assert np.abs(whole - image).max() > 1000
    height, width = (61, 70) if len(shape) == 4 else shape[:2]
    assert calls[-1] == (height * width, height * width)


def test_brightness_alone_is_denoised_by_a_gray_model_too():
    """Which needs the results of all three channels at once."""
    grey = Denoiser(KerasRunner(tiny_model(channels=1)), "tiny")
    image = picture(20, 24, 3, dtype=np.float32)
    change = grey(image) - image
    found = grey(image, chroma=0.0, tiles=TileConfig(16))
    expected = np.clip(image + change.mean(-1, keepdims=True), 0, 1)
    np.testing.assert_allclose(found, expected, atol=1e-6)
