"""The photograph's noise against its formulas: moments on flat fields, part by part."""

import cv2
import numpy as np
import pytest

from gradnet_tf.degradations.camera import Response
from gradnet_tf.degradations.compose import parse_degradation
from gradnet_tf.degradations.draws import Draws
from gradnet_tf.degradations.photograph import (
    PROFILES,
    CameraSettings,
    demosaic_bilinear,
    noise_profile,
    photograph,
)

_GRAY = np.full((200, 240, 3), 0.4, np.float32)


def _noise(seed=0, clean=_GRAY, **settings) -> np.ndarray:
    return (photograph(clean, Draws((3, seed)), CameraSettings(**settings)) - clean).astype(float)


def _correlation(values, lag, axis) -> float:
    first = np.take(values, range(values.shape[axis] - lag), axis)
    second = np.take(values, range(lag, values.shape[axis]), axis)
    return float((first * second).mean() / (values**2).mean())


def test_profiles_are_the_table_at_its_rows_and_grow_between_and_beyond():
    for iso, a, b in PROFILES:
        assert noise_profile(iso) == pytest.approx((a, b))
    isos = (50, 100, 200, 3200, 12800, 51200, 200000)
    values = np.array([noise_profile(iso) for iso in isos])
    assert (np.diff(values, axis=0) > 0).all()


def test_cameras_spread_about_the_median_and_their_parameters_are_correlated():
    drawn = np.log([noise_profile(1600, Draws((1, k))) for k in range(2000)])
    median = np.log(noise_profile(1600))
    np.testing.assert_allclose(np.median(drawn, axis=0), median, atol=0.1)
    np.testing.assert_allclose(drawn.std(axis=0), (0.8, 1.2), rtol=0.06)
    assert np.corrcoef(drawn.T)[0, 1] == pytest.approx(0.5, abs=0.06)


def test_everything_off_returns_the_image():
    clean = np.random.default_rng(0).random((30, 41, 3), np.float32)
    np.testing.assert_array_equal(photograph(clean, Draws((0, 0)), CameraSettings()), clean)


@pytest.mark.parametrize("level", [0.1, 0.4, 0.8])
def test_linear_raw_has_the_variance_of_the_profile(level):
    clean = np.full((200, 240, 3), level, np.float32)
    noise = _noise(clean=clean, shot=1e-3, read=1e-4)
    assert noise.var() == pytest.approx(1e-3 * level + 1e-4, rel=0.03)
    assert abs(noise.mean()) < 1e-3


def test_a_stop_of_push_doubles_shot_and_quadruples_read_variance():
    assert _noise(shot=1e-3, push=1).var() == pytest.approx(2e-3 * 0.4, rel=0.03)
    assert _noise(read=1e-4, push=1).var() == pytest.approx(4e-4, rel=0.03)


def test_white_balance_strengthens_red_and_blue():
    # The sensor gets less red light, by the gain g: variance g² · a · x / g = g · a · x.
    variances = _noise(shot=1e-3, balance=1).var(axis=(0, 1))
    np.testing.assert_allclose(variances, 4e-4 * np.array([2.0, 1.0, 1.6]), rtol=0.05)


def test_color_matrix_mixes_channels_with_its_squares():
    variances = _noise(read=1e-4, matrix=1).var(axis=(0, 1))
    rows = [1.7**2 + 0.55**2 + 0.15**2, 0.2**2 + 1.45**2 + 0.25**2, 0.6**2 + 1.6**2]
    np.testing.assert_allclose(variances, 1e-4 * np.array(rows), rtol=0.05)


def test_tone_curve_amplifies_by_its_slope():
    response = Response(2.2, 0.0)
    light = 0.4**2.2
    slope = 0.4 / (2.2 * light)
    measured = _noise(shot=1e-5, response=response).std()
    assert measured == pytest.approx(slope * np.sqrt(1e-5 * light), rel=0.03)


def test_row_noise_is_alike_along_rows_only():
    noise = _noise(read=1e-4, row=1.0, clean=_GRAY[..., :1])[..., 0]
    assert noise.var() == pytest.approx(2e-4, rel=0.15)
    assert noise.mean(axis=1).std() == pytest.approx(1e-2, rel=0.2)
    assert noise.mean(axis=0).std() < 2e-3


def test_bits_round_the_raw_values():
    noise = _noise(read=1e-4, bits=8)
    steps = (noise + 0.4) * 255
    np.testing.assert_allclose(steps, np.rint(steps), atol=0.01)


def test_bilinear_demosaicking_matches_a_plain_loop_and_keeps_what_was_measured():
    raw = np.random.default_rng(1).random((9, 8), np.float32)
    for pattern, (row, column) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
        result = demosaic_bilinear(raw, pattern)
        for y in range(1, 8):
            for x in range(1, 7):
                at_red = (y - row) % 2 == 0 and (x - column) % 2 == 0
                at_blue = (y - row) % 2 == 1 and (x - column) % 2 == 1
                cross = np.mean([raw[y - 1, x], raw[y + 1, x], raw[y, x - 1], raw[y, x + 1]])
                corners = raw[y - 1 : y + 2 : 2, x - 1 : x + 2 : 2].mean()
                if at_red or at_blue:
                    expected = [raw[y, x], cross, corners]
                    expected = expected if at_red else expected[::-1]
                    np.testing.assert_allclose(result[y, x], expected, rtol=1e-5)
                else:
                    assert result[y, x, 1] == raw[y, x]
    gray = demosaic_bilinear(np.full((6, 6), 0.3, np.float32), 2)
    np.testing.assert_allclose(gray, 0.3, rtol=1e-6)


def test_a_mosaic_makes_noise_coarse_and_a_full_sensor_does_not():
    assert abs(_correlation(_noise(read=1e-4), 1, 1)) < 0.02
    red = _noise(read=1e-4, pattern=0, bilinear=True)[..., 0]
    # One red pixel in four, bilinear: weights (1, ½) in each direction, correlation 2/3 at lag 1.
    assert _correlation(red, 1, 1) == pytest.approx(2 / 3, abs=0.03)
    assert _correlation(red, 1, 0) == pytest.approx(2 / 3, abs=0.03)


def test_shrinking_a_larger_sensor_weakens_the_noise():
    whole, half = _noise(read=1e-4), _noise(read=1e-4, size=0.5)
    assert half.shape == whole.shape
    assert half.std() == pytest.approx(whole.std() / 2, rel=0.03)


def test_smoothing_chroma_spares_luma_and_smoothing_luma_spares_chroma():
    luma = np.array([0.299, 0.587, 0.114])
    plain = _noise(read=1e-4)
    chroma = _noise(read=1e-4, chroma=2.0)
    np.testing.assert_allclose(chroma @ luma, plain @ luma, atol=1e-6)
    difference = chroma - (chroma @ luma)[..., None]
    # A Gaussian blur of standard deviation s leaves 1 / (4 π s²) of white noise's variance.
    before = plain - (plain @ luma)[..., None]
    assert difference.var() / before.var() == pytest.approx(1 / (16 * np.pi), rel=0.1)
    smooth = _noise(read=1e-4, smoothing=0.7, reach=1.5)
    assert (smooth @ luma).std() < 0.6 * (plain @ luma).std()
    impulse = np.zeros((1, 31), np.float32)
    impulse[0, 15] = 1
    column = cv2.GaussianBlur(impulse, (0, 0), 1.5)[0]
    plane = 0.3 * np.outer(impulse[0], impulse[0]) + 0.7 * np.outer(column, column)
    expected = (plane[:, :-2] * plane[:, 2:]).sum() / (plane**2).sum()
    assert _correlation(smooth @ luma, 2, 1) == pytest.approx(expected, abs=0.02)
    np.testing.assert_allclose(smooth - (smooth @ luma)[..., None], before, atol=1e-6)


def test_sharpening_strengthens_luma_noise():
    luma = np.array([0.299, 0.587, 0.114])
    plain, sharp = _noise(read=1e-4) @ luma, _noise(read=1e-4, sharpen=1.0) @ luma
    assert 1.5 < sharp.std() / plain.std() < 2


def test_only_the_noise_is_smoothed_and_demosaicked():
    clean = np.random.default_rng(2).random((40, 40, 3), np.float32)
    settings = CameraSettings(
        pattern=1, size=0.7, smoothing=0.8, chroma=3.0, sharpen=1.0, matrix=1.0, balance=1.0
    )
    np.testing.assert_allclose(photograph(clean, Draws((0, 1)), settings), clean, atol=1e-6)


def test_clipped_white_stays_white_and_results_lie_in_the_range():
    white = np.ones((32, 32, 3), np.float32)
    noise = photograph(white, Draws((0, 2)), CameraSettings(shot=1e-2, read=1e-2))
    assert noise.min() >= 0
    assert noise.max() == 1
    assert noise.mean() > 0.9


@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 5, 3), (7, 9, 1), (64, 48, 3)])
def test_the_stage_takes_any_size_and_gray_and_draws_a_camera_for_each_image(shape):
    clean = np.full(shape, 0.3, np.float32)
    stage = parse_degradation("photograph")
    first, again, other = (stage.apply(clean, Draws((1, k), fast=True)) for k in (4, 4, 5))
    assert first.shape == shape
    assert first.dtype == np.float32
    np.testing.assert_array_equal(first, again)
    assert 0 <= first.min() <= first.max() <= 1
    if shape[0] > 5:
        assert not np.array_equal(first, other)


@pytest.mark.parametrize(
    "change",
    ["iso=100", "push=0", "row=2", "bits=8", "mosaic=0", "bilinear=1", "balance=0", "matrix=0",
     "gamma=1", "contrast=0.9", "size=0.5", "smoothing=1", "reach=5", "chroma=0", "sharpen=2",
     "quality=30"],
)  # fmt: skip
def test_every_parameter_of_the_stage_changes_the_result(change):
    fixed = {
        "iso": "6400", "push": "1", "row": "0.5", "bits": "12", "mosaic": "1", "bilinear": "0",
        "balance": "1", "matrix": "1", "gamma": "2.2", "contrast": "0.2", "size": "0.8",
        "smoothing": "0.5", "reach": "1", "chroma": "1", "sharpen": "0.5", "quality": "95",
    }  # fmt: skip
    name, value = change.split("=")

    def result(settings):
        text = ",".join(f"{key}={one}" for key, one in settings.items())
        clean = np.tile(np.linspace(0.05, 0.9, 64, dtype=np.float32)[:, None, None], (1, 64, 3))
        return parse_degradation(f"photograph({text})").apply(clean, Draws((9, 9)))

    assert not np.array_equal(result(fixed), result({**fixed, name: value}))
