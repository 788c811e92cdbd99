"""Judges a PNG or JPEG file inside the graph before memory is spent on its pixels.

A file of some kB may claim any size, or hold text that unpacks to gigabytes.
What is refused here never reaches a decoder.
"""

import tensorflow as tf

from export.savedmodel.limits import Limits, require

_PNG_START, _JPEG_START = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
#: Length of a PNG's signature and header chunk.
_PNG_HEADER = 33
#: Each may unpack to 8 MB while a PNG's header is read.
_MAX_PACKED_CHUNKS = 16
#: Each makes the decoder go over the whole picture; progressive files have about ten.
_MAX_SCANS = 100


def is_png(data: tf.Tensor) -> tf.Tensor:
    """Whether a file (scalar string) is a PNG."""
    return tf.strings.substr(data, 0, len(_PNG_START)) == _PNG_START


def is_16_bit(data: tf.Tensor) -> tf.Tensor:
    """Whether a checked file (scalar string) is a PNG with 16 bits per channel."""
    return is_png(data) & (tf.strings.substr(data, 24, 1) == b"\x10")


def check_header(data: tf.Tensor, index: tf.Tensor, limits: Limits) -> tf.Tensor:
    """Checks one file without decoding it.

    Args:
        data: scalar string, the file.
        index: its place in the request, for the messages.
        limits: what is allowed.

    Returns:
        int64 scalar, its pixels, once the file passed.

    Raises:
        tf.errors.InvalidArgumentError: when run, for what is no PNG or JPEG, a picture of
            more than `limits.max_pixels`, CMYK, an animation, or a file made to exhaust a
            server (see `_MAX_PACKED_CHUNKS`, `_MAX_SCANS`).
    """
    png, length = is_png(data), tf.strings.length(data)
    jpeg = tf.strings.substr(data, 0, len(_JPEG_START)) == _JPEG_START
    known = require(
        (png & (length >= _PNG_HEADER)) | jpeg,
        "image_bytes[{}]: expected a PNG or JPEG file. Received: {} bytes of something else.",
        index,
        length,
    )
    with tf.control_dependencies([known]):
        return tf.cond(
            png,
            lambda: _check_png(data, index, limits),
            lambda: _check_jpeg(data, index, limits),
        )


def _check_png(data, index, limits):
    numbers = tf.cast(tf.io.decode_raw(tf.strings.substr(data, 16, 8), tf.uint8), tf.int64)
    places = tf.constant([1 << 24, 1 << 16, 1 << 8, 1], tf.int64)
    width, height = tf.unstack(tf.reduce_sum(tf.reshape(numbers, (2, 4)) * places, axis=1))
    # Chance finds in compressed pixels, once in 4 GB, stay far below the limit.
    packed = _count(data, "zTXt|iTXt|iCCP")
    # An animation says so before its pixels. RE2 reads \C as any byte.
    before_pixels = tf.strings.regex_replace(data, r"IDAT\C*", "")
    # One with a single frame is a still picture.
    moving = tf.strings.regex_replace(before_pixels, r"acTL\x00\x00\x00\x01", "")
    checks = [
        _require_size(width, height, index, limits),
        require(
            packed <= _MAX_PACKED_CHUNKS,
            f"image_bytes[{{}}]: expected a PNG with at most {_MAX_PACKED_CHUNKS} chunks of "
            "compressed text. Received: {}.",
            index,
            packed,
        ),
        require(
            _count(moving, "acTL") == 0,
            "image_bytes[{}]: expected one picture. Received: an animated PNG.",
            index,
        ),
    ]
    with tf.control_dependencies(checks):
        return width * height


def _check_jpeg(data, index, limits):
    # The decoder's own reading of the header, so no file can show two sizes.
    shape = tf.io.extract_jpeg_shape(data, output_type=tf.int32)
    height, width, channels = tf.unstack(tf.cast(shape, tf.int64))
    numbers = tf.io.decode_raw(data, tf.uint8)
    # Within a scan a byte of 255 is followed by 0, so this finds nothing but marks of scans.
    scans = tf.math.count_nonzero((numbers[:-1] == 0xFF) & (numbers[1:] == 0xDA))
    checks = [
        _require_size(width, height, index, limits),
        require(
            (channels == 1) | (channels == 3),
            "image_bytes[{}]: expected a grey or RGB JPEG. Received: {} channels (CMYK).",
            index,
            channels,
        ),
        require(
            scans <= _MAX_SCANS,
            f"image_bytes[{{}}]: expected a JPEG of at most {_MAX_SCANS} scans. Received: {{}}.",
            index,
            scans,
        ),
    ]
    with tf.control_dependencies(checks):
        return width * height


def _require_size(width, height, index, limits):
    # The product of two sides of a header may be more than an int64 holds.
    most = limits.max_pixels
    allowed = (width > 0) & (height > 0) & (width <= most) & (height <= most)
    allowed &= width * height <= most
    return require(
        allowed,
        f"image_bytes[{{}}]: expected 1 to {limits.max_pixels} pixels. Received: {{}} x {{}} "
        "(width x height).",
        index,
        width,
        height,
    )


def _count(data, pattern):
    """How often a pattern of four letters occurs in a string."""
    marked = tf.strings.regex_replace(data, pattern, "")
    return (tf.strings.length(data) - tf.strings.length(marked)) // 4
