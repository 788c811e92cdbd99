"""PNG chunks that describe one colour type and depth are dropped once the file has another."""

import numpy as np
import photo_samples as files
import pytest

from gradnet_tf.images.photo_files import decode_photo, encode_photo

TEXT = files.chunk(b"tEXt", b"Title\0A cat")


def rewritten(data):
    return encode_photo(decode_photo(data, "a file"))


@pytest.mark.parametrize(
    ("colour_type", "channels", "background", "bits"),
    [
        (0, 1, b"\0\1", b"\5"),
        (2, 3, b"\0\1\0\2\0\3", b"\5\6\5"),
        (4, 2, b"\0\1", b"\5\5"),
        (6, 4, b"\0\1\0\2\0\3", b"\5\6\5\5"),
    ],
)
@pytest.mark.parametrize("depth", [8, 16])
def test_they_are_kept_where_the_mode_stays(colour_type, channels, background, bits, depth):
    array = files.noise(5, 6, channels, dtype=np.uint16 if depth == 16 else np.uint8)
    own = [files.chunk(b"sBIT", bits), files.chunk(b"bKGD", background)]
    written = rewritten(files.raw_png(array, colour_type, depth, *own, TEXT))
    assert own[0] in written and own[1] in written and TEXT in written


def test_they_go_with_a_palette():
    # A palette becomes RGB: an index of a background, and bits of three palette entries, would
    # be read as something else.
    palette = files.chunk(b"PLTE", bytes(range(12)))
    array = np.arange(30, dtype=np.uint8).reshape(5, 6, 1) % 4
    own = [files.chunk(b"sBIT", b"\5\6\5"), palette, files.chunk(b"bKGD", b"\2")]
    written = rewritten(files.raw_png(array, 3, 8, *own, TEXT))
    assert b"bKGD" not in written and b"sBIT" not in written and TEXT in written


def test_they_go_where_a_color_key_becomes_alpha():
    array = files.noise(5, 6, 3)
    key = files.chunk(b"tRNS", b"\0\1\0\2\0\3")
    own = [files.chunk(b"sBIT", b"\5\6\5"), key, files.chunk(b"bKGD", b"\0\1\0\2\0\3")]
    written = rewritten(files.raw_png(array, 2, 8, *own, TEXT))
    assert decode_photo(written, "a file").alpha is not None
    assert b"bKGD" not in written and b"sBIT" not in written and TEXT in written


def test_they_go_where_few_bits_become_eight():
    # Two pixels a byte: values from 0 to 15, and so the background.
    array = np.full((4, 3, 1), 0x5A, np.uint8)
    data = files.raw_png(array, 0, 8, files.chunk(b"bKGD", b"\0\7"), TEXT)
    header = data[8 : 8 + 25]
    # The same bytes under a header of 6×4 pixels of 4 bits.
    changed = files.chunk(b"IHDR", header[8:11] + b"\6" + header[12:16] + b"\4" + header[17:21])
    written = rewritten(data.replace(header, changed))
    assert decode_photo(written, "a file").pixels.shape == (4, 6, 1)
    assert b"bKGD" not in written and TEXT in written
