"""Noise models against physics and independent references: variance, correlation, files."""

import cv2
import numpy as np
import pytest

from gradnet_tf.degradations.camera import PATTERNS, Response, camera, demosaic, mosaic
from gradnet_tf.degradations.correlated import add_correlated_noise, correlated_noise
from gradnet_tf.degradations.draws import Draws
from gradnet_tf.degradations.eight_bits import jpeg, round_to_8_bits
from gradnet_tf.degradations.sensor import add_poisson_gaussian_noise, add_signal_dependent_noise
from gradnet_tf.images.image_files import read_image, to_float, to_uint8

_LEVELS = np.array([0.05, 0.2, 0.4, 0.6, 0.8, 1.0], np.float32)


def _variance_line(noisy_of) -> tuple[float, float]:
    """Fits variance against signal over flat fields; returns (slope, intercept)."""
    fields = [np.full((200, 200, 3), level, np.float32) for level in _LEVELS]
    residuals = [noisy_of(field, k).astype(np.float64) - field for k, field in enumerate(fields)]
    for residual in residuals:
        assert abs(residual.mean()) < 5 * residual.std() / np.sqrt(residual.size)
    slope, intercept = np.polyfit(_LEVELS, [r.var() for r in residuals], 1)
    return slope, intercept


@pytest.mark.parametrize("model", [add_poisson_gaussian_noise, add_signal_dependent_noise])
@pytest.mark.parametrize(("shot", "read"), [(0.01, 5.0), (0.002, 20.0), (0.03, 0.0)])
def test_variance_grows_with_the_signal_by_shot_and_starts_at_read_squared(model, shot, read):
    slope, intercept = _variance_line(lambda x, k: model(x, Draws((5, k)), shot, read))
    # A variance of 120,000 draws is known to 0.4%; a line of six is better than 2%.
    assert abs(slope - shot) < 0.02 * (shot + (read / 255) ** 2)
    assert abs(intercept - (read / 255) ** 2) < 0.02 * (shot + (read / 255) ** 2)


def test_shot_noise_is_whole_photons_and_skewed_like_poisson():
    clean = np.full((300, 300, 1), 0.1, np.float32)
    photons = add_poisson_gaussian_noise(clean, Draws((1, 2)), 0.05, 0.0) / 0.05
    np.testing.assert_allclose(photons, np.rint(photons), atol=1e-4)
    skew = np.mean((photons - 2.0) ** 3) / 2.0**1.5
    assert abs(skew - 1 / np.sqrt(2)) < 0.05  # Poisson of mean 2
    black = np.full((4, 4, 1), -0.2, np.float32)
    # What an earlier stage has made negative stays so: its mean must not change.
    np.testing.assert_array_equal(add_poisson_gaussian_noise(black, Draws((1, 2)), 0.05, 0), black)


def test_below_zero_light_has_read_noise_alone():
    dark = np.full((200, 200, 1), -0.2, np.float32)
    noise = add_signal_dependent_noise(dark, Draws((1, 2)), 0.05, 10.0) - dark
    assert noise.std() == pytest.approx(10 / 255, rel=0.02)


@pytest.mark.parametrize("length", [0.8, 1.5, 3.0])
@pytest.mark.parametrize("channels", [1, 3])
def test_correlation_falls_as_documented_and_variance_is_one_everywhere(length, channels):
    fields = [
        correlated_noise((150, 200, channels), Draws((3, k)), length).astype(np.float64)
        for k in range(8)
    ]
    noise = np.stack(fields)
    assert noise.shape == (8, 150, 200, channels)
    # Neighbours repeat each other: so many independent values are in the field.
    count = noise.size / (4 * np.pi * length**2)
    assert abs(noise.var() - 1) < 5 * np.sqrt(2 / count)
    border = noise[:, :3]
    assert abs(border.var() - 1) < 6 * np.sqrt(2 * 4 * np.pi * length**2 / border.size)
    for lag in (1, 2, 3, 5):
        expected = np.exp(-(lag**2) / (4 * length**2))
        assert abs((noise[:, lag:] * noise[:, :-lag]).mean() - expected) < 0.05
        assert abs((noise[:, :, lag:] * noise[:, :, :-lag]).mean() - expected) < 0.05
    if channels == 3:
        assert abs((noise[..., 0] * noise[..., 1]).mean()) < 0.05


def test_no_length_is_white_noise():
    white = correlated_noise((50, 60, 3), Draws((0, 0)), 0)
    np.testing.assert_array_equal(white, Draws((0, 0)).normal((50, 60, 3)))


@pytest.mark.parametrize("length", [0, 1.5])
@pytest.mark.parametrize("common", [0.3, 0.7, 1.0])
def test_common_noise_keeps_the_variance_and_correlates_the_channels(length, common):
    clean = np.full((300, 400, 3), 0.5, np.float32)
    noisy = add_correlated_noise(clean, Draws((3, 1)), 25, length, common)
    noise = (noisy - clean).astype(np.float64) * 255
    matrix = np.cov(noise.reshape(-1, 3).T)
    np.testing.assert_allclose(np.diag(matrix), 25**2, rtol=0.05)
    pairs = np.corrcoef(noise.reshape(-1, 3).T)[np.triu_indices(3, 1)]
    np.testing.assert_allclose(pairs, common**2, atol=0.03)
    # The shared field has the correlation between neighbors that the others have.
    neighbors = np.corrcoef(noise[:, 1:].ravel(), noise[:, :-1].ravel())[0, 1]
    assert abs(neighbors - (np.exp(-1 / (4 * length**2)) if length else 0)) < 0.03


def test_common_noise_of_gray_images_and_of_no_share_is_the_plain_one():
    for channels, common in ((1, 0.8), (3, 0.0)):
        shape = (20, 30, channels)
        plain = correlated_noise(shape, Draws((3, 1)), 1.0)
        np.testing.assert_array_equal(correlated_noise(shape, Draws((3, 1)), 1.0, common), plain)


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_is_what_a_file_would_hold(tmp_path, channels):
    image = _photograph()[..., :channels] * np.float32(1.2) - np.float32(0.1)  # leaves [0, 1]
    pixels = to_uint8(image)
    bgr = pixels[..., ::-1] if channels == 3 else pixels
    cv2.imwrite(str(tmp_path / "a.jpg"), bgr, [cv2.IMWRITE_JPEG_QUALITY, 40])
    ours = jpeg(image, 40)
    assert ours.dtype == np.float32 and ours.shape == image.shape
    np.testing.assert_array_equal(ours, to_float(read_image(tmp_path / "a.jpg", channels)))
    errors = [np.mean((jpeg(image, q) - np.clip(image, 0, 1)) ** 2) for q in (10, 50, 95)]
    assert errors[0] > errors[1] > errors[2]


def test_rounding_clips_to_256_levels():
    image = np.array([[[-0.5], [0.5 / 255], [1.5 / 255], [0.3], [2.0]]], np.float32)
    np.testing.assert_allclose(round_to_8_bits(image).ravel() * 255, [0, 0, 2, 76, 255], atol=1e-4)


def _photograph() -> np.ndarray:
    from datasets.sets.catalog import find_dataset

    return to_float(find_dataset("sample", split="test").load(0)[40:200, 60:220])


@pytest.mark.parametrize("pattern", range(4))
def test_mosaic_keeps_one_color_in_the_bayer_order(pattern):
    image = np.random.default_rng(0).random((6, 8, 3), dtype=np.float32)
    row, column = PATTERNS[pattern]
    colours = np.ones((6, 8), int)
    for r in range(6):
        for c in range(8):
            if (r % 2 == row) == (c % 2 == column):
                colours[r, c] = 0 if r % 2 == row else 2
    expected = np.take_along_axis(image, colours[..., None], -1)[..., 0]
    np.testing.assert_array_equal(mosaic(image, pattern), expected)


@pytest.mark.parametrize("pattern", range(4))
def test_demosaicking_keeps_what_was_measured_and_linear_colors(pattern):
    rows, columns = np.mgrid[0:20, 0:24].astype(np.float32)
    ramp = np.stack([0.1 + 0.01 * rows, 0.3 + 0.02 * columns, 0.9 - 0.01 * (rows + columns)], -1)
    raw = mosaic(ramp, pattern)
    guess = demosaic(raw, pattern)
    np.testing.assert_array_equal(mosaic(guess, pattern), raw)
    np.testing.assert_allclose(guess[2:-2, 2:-2], ramp[2:-2, 2:-2], atol=1e-5)
    flat = np.broadcast_to(np.float32([0.2, 0.5, 0.7]), (5, 7, 3))
    np.testing.assert_allclose(demosaic(mosaic(flat, pattern), pattern), flat, atol=1e-6)


def test_demosaicking_beats_opencvs_bilinear_on_a_photograph():
    clean = _photograph()
    raw = mosaic(clean, 0)
    inner = np.s_[4:-4, 4:-4]
    # OpenCV names a pattern by its second row's pixels: its BG is red first.
    bilinear = to_float(cv2.cvtColor(to_uint8(raw), cv2.COLOR_BayerBG2RGB))

    def psnr(image):
        return -10 * np.log10(np.mean((image - clean)[inner] ** 2))

    assert psnr(bilinear) > 30  # the same colours in the same places
    assert psnr(demosaic(raw, 0)) > psnr(bilinear) + 1


@pytest.mark.parametrize(("gamma", "contrast"), [(1, 0), (2.2, 0), (1.8, 0.5), (2.4, 0.9)])
def test_response_is_monotone_and_its_inverse_inverts_it(gamma, contrast):
    response = Response(gamma, contrast)
    levels = to_float(np.arange(256, dtype=np.uint8))
    light = response.to_light(levels)
    assert light[0] == 0 and abs(light[-1] - 1) < 1e-6 and (np.diff(light) > 0).all()
    np.testing.assert_allclose(response.to_image(light), levels, atol=2e-4)
    if contrast == 0:
        np.testing.assert_allclose(light, levels**gamma, rtol=1e-5)


def test_camera_without_noise_is_nearly_the_identity():
    clean = _photograph()
    response = Response(2.2, 0.3)
    same = camera(clean, Draws((0, 0)), response, 0, 0, None, 0)
    np.testing.assert_allclose(same, clean, atol=1e-4)
    guessed = camera(clean, Draws((0, 0)), response, 0, 0, 1, 0)
    assert 1e-8 < np.mean((guessed - clean) ** 2) < 10**-3.2
    filed = camera(clean, Draws((0, 0)), response, 0, 0, None, 100)
    assert np.abs(filed - clean).mean() < 0.01


def test_camera_noise_is_linear_in_the_light_and_meets_the_mosaic():
    linear = Response(1, 0)

    # Far from 0 and 1, where a sensor saturates.
    def noisy(field, k):
        return camera(0.2 + 0.6 * field, Draws((9, k)), linear, 0.002, 2.0, None, 0) - (
            0.2 + 0.6 * field - field
        )

    slope, intercept = _variance_line(noisy)
    expected = 0.002 * 0.2 + (2 / 255) ** 2
    assert abs(slope - 0.6 * 0.002) < 0.02 * (0.002 + expected)
    assert abs(intercept - expected) < 0.02 * (0.002 + expected)
    field = np.full((200, 200, 3), 0.5, np.float32)

    def correlation(pattern):
        noise = camera(field, Draws((9, 9)), linear, 0.002, 2.0, pattern, 0)[..., 0] - 0.5
        return np.mean(noise[:, 1:] * noise[:, :-1]) / noise.var()

    assert abs(correlation(None)) < 0.03
    assert correlation(0) > 0.15  # demosaicking spreads each pixel's noise


def test_noise_in_the_dark_is_stronger_after_the_response():
    def deviation(level):
        field = np.full((100, 100, 3), level, np.float32)
        return camera(field, Draws((1, 1)), Response(2.2, 0), 0, 2.0, None, 0).std()

    assert deviation(0.2) > 2 * deviation(0.8)


@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 5, 3), (7, 9, 1), (3, 3, 3)])
def test_camera_takes_any_size_and_gray(shape):
    image = np.random.default_rng(0).random(shape, dtype=np.float32)
    result = camera(image, Draws((0, 0)), Response(2.0, 0.2), 0.01, 5, 2, 80)
    assert result.shape == shape and result.dtype == np.float32
    assert result.min() >= 0 and result.max() <= 1


def test_shot_noise_too_weak_to_see_is_none():
    clean = np.linspace(0, 1, 48, dtype=np.float32).reshape(4, 4, 3)
    found = add_poisson_gaussian_noise(clean, Draws((1, 2)), 1e-20, 0.0)
    np.testing.assert_array_equal(found, clean)
