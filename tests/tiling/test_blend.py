"""Overlapping tiles that are blended."""

import numpy as np
import pytest

from gradnet_tf.tiling.blend import blend_tiles
from gradnet_tf.tiling.tile_config import TileConfig
from gradnet_tf.tiling.tiler import PixelFormat
from gradnet_tf.utils.errors import UserError

RNG = np.random.default_rng(2)


@pytest.mark.parametrize("shape", [(1, 1, 3), (32, 32, 3), (33, 70, 1), (100, 61, 3), (20, 90, 3)])
@pytest.mark.parametrize("overlap", [0, 4, 16])
def test_what_is_the_same_in_all_tiles_is_exact(shape, overlap):
    image = RNG.random(shape, np.float32)
    sizes, done = set(), []

    def function(tile):
        sizes.add(tile.shape)
        return 0.5 * tile + 0.1

    found = blend_tiles(
        function, image, 32, overlap, on_tile=lambda part, total: done.append((part, total))
    )
    np.testing.assert_allclose(found, 0.5 * image + 0.1, atol=1e-6)
    assert sizes == {(1, 32, 32, shape[2])}
    assert done[-1] == (shape[0] * shape[1],) * 2


def test_tiles_that_differ_are_blended_linearly():
    numbers = iter([0.0, 1.0])
    image = np.zeros((32, 48, 1), np.float32)
    found = blend_tiles(lambda tile: tile + np.float32(next(numbers)), image, 32, 16)
    np.testing.assert_allclose(found[0, :16, 0], 0)
    np.testing.assert_allclose(found[0, 32:, 0], 1)
    np.testing.assert_allclose(found[:, 16:32, 0], np.tile((np.arange(16) + 1) / 17, (32, 1)))


def test_pixels_are_read_and_stored_part_by_part():
    image = RNG.integers(0, 256, (300, 70, 4), np.uint8)
    pixels = PixelFormat(
        read=lambda part: part[..., :3].astype(np.float32) / 255,
        store=lambda values, part: np.concatenate(
            [np.rint(values * 255).astype(np.uint8), part[..., 3:]], -1
        ),
    )
    np.testing.assert_array_equal(blend_tiles(lambda tile: tile, image, 64, 8, pixels), image)


def test_only_files_of_unknown_margin_take_an_overlap():
    with pytest.raises(UserError, match="`overlap` is for .tflite files of one size"):
        TileConfig(overlap=16).refuse_overlap()
    with pytest.raises(UserError, match="`overlap` must be 0 or more"):
        TileConfig(overlap=-1)
