"""Pictures of a report: the crop, the error map, its scale, encoding and the panel."""

import cv2
import numpy as np
import pytest

from gradnet_tf.reporting import figures
from gradnet_tf.reporting.figures import Box, Panel


def textured(height=120, width=200, channels=3):
    """Flat grey with a block of noise at rows 30-60, columns 120-150."""
    image = np.full((height, width, channels), 128, np.uint8)
    noise = np.random.default_rng(1).integers(0, 256, (30, 30, channels))
    image[30:60, 120:150] = noise
    return image


def test_the_crop_finds_the_texture():
    box = figures.busiest_box(textured(), 40)
    assert (box.height, box.width) == (40, 40)
    assert box.top <= 30 and box.top + 40 >= 60
    assert box.left <= 120 and box.left + 40 >= 150


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 50), (96, 96), (97, 40)])
def test_the_crop_fits_into_any_image(height, width):
    image = np.random.default_rng(2).integers(0, 256, (height, width, 1), dtype=np.uint8)
    box = figures.busiest_box(image)
    assert box.cut(image).shape == (min(height, 96), min(width, 96), 1)


def test_error_is_the_mean_over_the_channels_in_gray_levels():
    clean = np.zeros((2, 2, 3), np.uint8)
    denoised = clean.copy()
    denoised[0, 0] = (30, 0, 60)
    error = figures.absolute_error(clean, denoised)
    np.testing.assert_array_equal(error, [[30, 0], [0, 0]])
    np.testing.assert_array_equal(figures.absolute_error(denoised, clean), error)


def test_error_map_runs_from_black_to_bright_and_saturates():
    colours = figures.error_map(np.array([[0.0, 10.0, 20.0, 500.0]]), 20).astype(int)
    brightness = colours.sum(axis=-1)[0]
    assert brightness[0] < 30
    assert brightness[0] < brightness[1] < brightness[2] == brightness[3]
    # RGB order: the middle of the scale is red, not blue.
    assert colours[0, 1, 0] > colours[0, 1, 2]
    bar = figures.scale_bar()
    np.testing.assert_array_equal(bar[0, -1], colours[0, -1])
    np.testing.assert_array_equal(bar[0, 0], colours[0, 0])


@pytest.mark.parametrize(("level", "scale"), [(0, 5), (5, 5), (6, 10), (25, 30), (255, 255)])
def test_error_scale_is_the_smallest_that_holds_the_errors(level, scale):
    assert figures.error_scale([np.zeros((4, 4)), np.full((4, 4), float(level))]) == scale


def test_error_scale_of_nothing_is_defined():
    assert figures.error_scale([]) == 5


@pytest.mark.parametrize("channels", [1, 3])
def test_png_is_exact_and_jpeg_close_in_the_right_channel_order(channels):
    image = np.zeros((16, 16, channels), np.uint8)
    image[..., 0] = 200
    png = cv2.imdecode(np.frombuffer(figures.encode(image, ".png"), np.uint8), -1)
    expected = image[..., 0] if channels == 1 else image[..., ::-1]
    np.testing.assert_array_equal(png, expected)
    jpeg = cv2.imdecode(np.frombuffer(figures.encode(image, ".jpg"), np.uint8), -1)
    np.testing.assert_allclose(jpeg.astype(int), expected.astype(int), atol=4)


def test_fit_shrinks_large_images_alone():
    image = textured(channels=1)
    same, factor = figures.fit(image, 200)
    assert same is image and factor == 1.0
    small, factor = figures.fit(image, 50)
    assert small.shape == (30, 50, 1) and factor == 0.25


@pytest.mark.parametrize("channels", [1, 3])
def test_side_by_side_shows_every_panel_and_the_zoomed_crop(channels):
    dark = textured(channels=channels)
    bright = np.full_like(dark, 250)
    box = Box(30, 120, 30, 30)
    panels = [Panel("a", "σ dark", dark, "20.17 dB"), Panel("b", "bright", bright)]
    picture = figures.side_by_side(panels, box, "a title", cell=100)
    assert picture.dtype == np.uint8 and picture.shape[-1] == 3
    assert picture.shape[1] == 8 + 100 + 8 + 100 + 8
    # The zoomed crop of the first panel is its noise, whose spread nothing else has.
    zoomed = picture[-24 - 8 - 100 : -24 - 8, 8:108]
    source = figures.as_rgb(box.cut(dark))
    expected = cv2.resize(source, (100, 100), interpolation=cv2.INTER_NEAREST)
    np.testing.assert_array_equal(zoomed, expected)
    assert (picture[-24 - 8 - 100 : -24 - 8, 116:216] == 250).all()
    # The frame marks the crop in the whole image.
    assert (picture == figures.FRAME).all(axis=-1).any()


def test_a_tall_image_makes_no_endless_panel():
    tall = np.zeros((1500, 20, 3), np.uint8)
    box = figures.busiest_box(tall)
    picture = figures.side_by_side([Panel("a", "tall", tall)], box, cell=320)
    assert picture.shape[0] < 5500
