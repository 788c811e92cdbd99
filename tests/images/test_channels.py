"""Colors behind transparent pixels."""

import numpy as np
import pytest

from gradnet_tf.images.channels import fill_hidden


def picture_and_hole(height: int = 37, width: int = 52):
    draw = np.random.default_rng(3)
    picture = draw.integers(60, 200, (height, width, 3)).astype(np.uint8)
    y, x = np.mgrid[:height, :width]
    return picture, np.hypot(y - 15, x - 20) < 13


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_the_result_does_not_depend_on_hidden_colors_and_keeps_visible_ones(dtype):
    picture, visible = picture_and_hole()
    results = []
    for behind in (0, 255, (255, 0, 0)):
        shown = picture.copy()
        shown[~visible] = behind
        shown = shown.astype(dtype) * (257 if dtype == np.uint16 else 1)
        results.append(fill_hidden(shown, visible))
        np.testing.assert_array_equal(results[-1][visible], shown[visible])
        assert results[-1].dtype == dtype and results[-1].shape == shown.shape
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_holes_take_the_colors_around_them():
    picture, visible = picture_and_hole()
    filled = fill_hidden(picture, visible).astype(float)
    near = filled[~visible & (np.hypot(*(np.mgrid[:37, :52] - [[[15]], [[20]]])) < 20)]
    np.testing.assert_allclose(near.mean(0), picture[visible].mean(0), atol=8)
    # The noise goes on, too.
    assert near.std() > 0.5 * picture[visible].std()
    # Two halves of different colors: far from the border each side has its own.
    halves = np.zeros((64, 64, 1), np.uint8)
    halves[:, 40:] = 240
    hole = np.ones((64, 64), bool)
    hole[20:44, 4:30] = False
    hole[20:44, 50:60] = False
    filled = fill_hidden(np.where(hole[..., None], halves, 99).astype(np.uint8), hole)
    assert (filled[20:44, 4:20] <= 2).mean() > 0.95
    assert (filled[20:44, 54:60] >= 238).mean() > 0.95


def test_a_slope_continues_into_the_hole():
    slope = np.tile(np.arange(0, 120, 2, dtype=np.float32)[:, None, None], (1, 40, 1)) / 255
    visible = np.ones((60, 40), bool)
    visible[30:] = False
    filled = fill_hidden(slope, visible)
    np.testing.assert_allclose(filled[30:40], slope[30:40], atol=9 / 255)


def test_gray_stays_gray_and_one_channel_is_taken():
    picture, visible = picture_and_hole()
    gray = np.repeat(picture[..., :1], 3, axis=-1)
    filled = fill_hidden(gray, visible)
    np.testing.assert_array_equal(filled[..., :1].repeat(3, -1), filled)
    np.testing.assert_array_equal(fill_hidden(gray[..., :1], visible), filled[..., :1])


def test_nan_behind_transparent_pixels_does_not_spread():
    picture, visible = picture_and_hole()
    shown = np.where(visible[..., None], picture / 255, np.nan).astype(np.float32)
    filled = fill_hidden(shown, visible)
    assert np.isfinite(filled).all()
    expected = fill_hidden((picture / 255).astype(np.float32), visible)
    np.testing.assert_allclose(filled, expected, atol=1e-6)


def test_one_visible_pixel_fills_everything():
    visible = np.zeros((5, 7), bool)
    visible[4, 6] = True
    picture = np.zeros((5, 7, 3), np.uint8)
    picture[4, 6] = (10, 20, 30)
    np.testing.assert_array_equal(
        fill_hidden(picture, visible), np.broadcast_to(picture[4, 6], (5, 7, 3))
    )
