"""The noise of one picture, on pictures whose noise is known."""

import json
import time

import cv2
import numpy as np
import pytest

from gradnet_tf import analyse_noise
from gradnet_tf.degradations.correlated import add_correlated_noise
from gradnet_tf.degradations.draws import Draws
from gradnet_tf.degradations.sensor import add_poisson_gaussian_noise
from gradnet_tf.images.image_files import to_uint8
from gradnet_tf.utils.errors import UserError


def scene(height=384, width=448, channels=3):
    """A clean picture: slopes of color, edges, and texture in one corner."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    colors = [0.5 + 0.35 * np.sin(x / 90 + k) * np.cos(y / (70 + 20 * k)) for k in range(channels)]
    picture = np.stack(colors, -1)
    for k in range(6):
        cv2.circle(picture, (60 + 70 * k, 80 + 40 * (k % 3)), 24, (0.2 + 0.1 * k,) * channels, -1)
    generator = np.random.default_rng(5)
    fine = cv2.GaussianBlur(generator.standard_normal((120, 150)).astype(np.float32), (0, 0), 0.8)
    picture[-120:, -150:] += 0.15 * fine[..., np.newaxis]
    return np.clip(picture, 0.02, 0.98).astype(np.float32)


CLEAN = scene()


def draws(number=1):
    return Draws((19, number))


@pytest.mark.parametrize("sigma", [3, 5, 15, 25, 50])
@pytest.mark.parametrize("channels", [1, 3])
def test_white_noise_is_found(sigma, channels):
    found = analyse_noise(add_correlated_noise(scene(channels=channels), draws(), sigma, 0))
    assert found.sigma == pytest.approx(sigma, rel=0.1)
    assert found.length < 0.45
    assert found.evenness > 0.85
    assert (found.chroma_share is None) == (channels == 1)
    if channels == 3:
        assert found.chroma_share == pytest.approx(2 / 3, abs=0.05)


@pytest.mark.parametrize("length", [0.5, 1, 2, 3])
def test_the_grain_is_found(length):
    found = analyse_noise(add_correlated_noise(CLEAN, draws(), 15, length))
    assert found.length == pytest.approx(length, rel=0.2)
    expected = np.exp(-1 / (4 * length**2))
    if length >= 1:  # a shorter kernel has a few pixels
        assert found.correlation[1] == pytest.approx(expected, abs=0.12)


@pytest.mark.parametrize(("shot", "read"), [(0.004, 1), (0.01, 3), (0.04, 3)])
def test_shot_noise_is_found(shot, read):
    found = analyse_noise(add_poisson_gaussian_noise(CLEAN, draws(), shot, read))
    assert found.slope == pytest.approx(shot, rel=0.2)
    wanted = np.sqrt(shot * 0.5 + (read / 255) ** 2) * 255
    assert float(found.sigma_at(0.5)) == pytest.approx(wanted, rel=0.1)


def test_noise_alike_in_all_channels_has_no_color():
    gray = np.repeat(draws().normal((*CLEAN.shape[:2], 1)), 3, -1)
    found = analyse_noise(CLEAN + gray * np.float32(15 / 255))
    assert found.chroma_share < 0.05
    assert found.sigma == pytest.approx(15, rel=0.1)


def test_a_clean_picture_has_little():
    assert analyse_noise(to_uint8(CLEAN)).sigma < 1


def test_eight_and_sixteen_bits_and_alpha_agree_with_floats():
    noisy = np.clip(add_correlated_noise(CLEAN, draws(), 10, 0), 0, 1)
    wanted = analyse_noise(noisy).sigma
    assert analyse_noise(to_uint8(noisy)).sigma == pytest.approx(wanted, rel=0.02)
    deep = np.rint(noisy * 65535).astype(np.uint16)
    assert analyse_noise(deep).sigma == pytest.approx(wanted, rel=0.02)
    alpha = np.random.default_rng(0).integers(0, 256, (*CLEAN.shape[:2], 1), np.uint8)
    with_alpha = np.concatenate([to_uint8(noisy), alpha], -1)
    assert analyse_noise(with_alpha) == analyse_noise(to_uint8(noisy))
    gray = to_uint8(noisy)[..., :1]
    assert analyse_noise(np.repeat(gray, 3, -1)) == analyse_noise(gray[..., 0])


@pytest.mark.parametrize("shape", [(1, 1, 3), (63, 500, 1), (500, 63, 3)])
def test_small_pictures_tell_nothing(shape):
    found = analyse_noise(np.random.default_rng(0).random(shape, np.float32))
    assert found.blocks == 0 and found.sigma == 0


@pytest.mark.parametrize("shape", [(64, 64, 3), (64, 90, 1), (100, 71, 3)])
def test_pictures_of_a_few_blocks_are_measured(shape):
    noise = draws().normal(shape) * np.float32(20 / 255)
    assert analyse_noise(0.5 + noise).sigma == pytest.approx(20, rel=0.2)


@pytest.mark.parametrize("value", [0, 128, 255])
def test_one_color_is_no_noise(value):
    found = analyse_noise(np.full((200, 200, 3), value, np.uint8))
    assert found.sigma < 0.5
    json.dumps(found.to_json(), allow_nan=False)


def test_everything_is_json():
    noisy = add_correlated_noise(CLEAN, draws(), 10, 1)
    read = json.loads(json.dumps(analyse_noise(noisy).to_json(), allow_nan=False))
    assert read["length"] == pytest.approx(1, rel=0.2)
    assert len(read["correlation"]) == 9


@pytest.mark.parametrize("wrong", [np.zeros((2, 3, 3, 3)), np.zeros((90, 90, 5), np.uint8)])
def test_other_shapes_are_refused(wrong):
    with pytest.raises(UserError, match="image: expected"):
        analyse_noise(wrong)


def test_other_dtypes_are_refused():
    with pytest.raises(UserError, match="expected uint8, uint16 or float. Received: int32"):
        analyse_noise(np.zeros((90, 90), np.int32))


def test_twelve_megapixels_take_a_second_of_computation():
    noisy = to_uint8(add_correlated_noise(scene(), draws(), 12, 0))
    large = np.tile(noisy, (8, 9, 1))[:3000, :4000]
    analyse_noise(large[:100, :100])
    start = time.process_time()
    found = analyse_noise(large)
    assert time.process_time() - start < 2
    assert found.sigma == pytest.approx(12, rel=0.1)
