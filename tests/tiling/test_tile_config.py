"""Tile sizes and amounts of memory as people write them."""

import pytest

from gradnet_tf.tiling.tile_config import TileConfig, parse_memory, parse_tile
from gradnet_tf.utils.errors import UserError


@pytest.mark.parametrize(
    ("text", "value"), [("2GB", 2e9), ("1.5 GiB", 1.5 * 2**30), ("800m", 8e8), ("4096 B", 4096)]
)
def test_amounts_of_memory_are_read(text, value):
    assert parse_memory(text) == value


@pytest.mark.parametrize("text", ["", "two", "-1GB", "0", "1500", "2 parsecs", "1e9", "nan"])
def test_what_is_not_an_amount_of_memory_is_refused(text):
    with pytest.raises(UserError, match="`max_memory` must be an amount"):
        parse_memory(text)


def test_tile_sizes_are_read():
    assert [parse_tile(text) for text in ("auto", " Whole", "256")] == ["auto", "whole", 256]
    for text in ("", "0", "15", "-64", "1.5", "big", "٣٢x"):
        with pytest.raises(UserError, match="`tile` must be auto, whole or a side of at least 16"):
            parse_tile(text)


def test_a_configuration_checks_itself():
    for wrong in ("tall", 8, 0, True, 20.5, None):
        with pytest.raises(UserError, match="`tile` must be auto, whole or a side"):
            TileConfig(wrong)
    with pytest.raises(UserError, match="`max_memory` must be a positive number of bytes"):
        TileConfig("auto", 0)
