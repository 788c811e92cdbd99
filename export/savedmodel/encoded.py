"""The SavedModel's signature `encoded`: image files in, image files out.

The decoded pixels equal those of `gradnet_tf.images.image_files` bit for bit: JPEG uses the
accurate integer DCT, because TensorFlow's default is up to ten levels off. The images of a request
are processed one by one, so they may differ in size, and the largest one determines the memory.

The graph checks PNG and JPEG files before it decodes them: a file of a few kB can declare any size,
or contain text that decompresses to gigabytes.
"""

from collections.abc import Callable

import tensorflow as tf

from export.savedmodel.limits import Limits, require

_PNG_START, _JPEG_START = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
#: Length of a PNG's signature and header chunk.
_PNG_HEADER = 33
#: Each may decompress to 8 MB while a PNG's header is read.
_MAX_PACKED_CHUNKS = 16
#: Each is a pass of the decoder over the whole picture; progressive files have about ten.
_MAX_SCANS = 100


def is_png(data: tf.Tensor) -> tf.Tensor:
    """Whether a file (scalar string) is a PNG."""
    return tf.strings.substr(data, 0, len(_PNG_START)) == _PNG_START


def is_16_bit(data: tf.Tensor) -> tf.Tensor:
    """Whether a checked file (scalar string) is a PNG with 16 bits per channel."""
    return is_png(data) & (tf.strings.substr(data, 24, 1) == b"\x10")


def check_header(data: tf.Tensor, index: tf.Tensor, limits: Limits) -> tf.Tensor:
    """Checks one file (scalar string) without decoding it; returns its number of pixels, int64.

    `index` is its index in the request, for the messages.

    Raises:
        tf.errors.InvalidArgumentError: when run, for files that are not PNG or JPEG, more than
            `limits.max_pixels`, CMYK, animations, or files made to exhaust a server (see
            `_MAX_PACKED_CHUNKS`, `_MAX_SCANS`).
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
    # Random matches in compressed pixels, once in 4 GB, stay far below the limit.
    packed = _count(data, "zTXt|iTXt|iCCP")
    # Animations are declared before the pixels. In RE2, \C is any byte.
    before_pixels = tf.strings.regex_replace(data, r"IDAT\C*", "")
    # A single frame is a still picture.
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
    # Uses the decoder's header parser, so that both see the same size.
    shape = tf.io.extract_jpeg_shape(data, output_type=tf.int32)
    height, width, channels = tf.unstack(tf.cast(shape, tf.int64))
    numbers = tf.io.decode_raw(data, tf.uint8)
    # The header of a scan is FF DA and its length, 6 + 2 · components, which libjpeg insists on.
    # That tells it from the same two bytes in what may follow the picture: a phone's short film.
    length = numbers[3:]
    scans = tf.math.count_nonzero(
        (numbers[:-3] == 0xFF)
        & (numbers[1:-2] == 0xDA)
        & (numbers[2:-1] == 0)
        & ((length == 8) | (length == 10) | (length == 12) | (length == 14))
    )
    checks = [
        _require_size(width, height, index, limits),
        require(
            (channels == 1) | (channels == 3),
            "image_bytes[{}]: expected a gray or RGB JPEG. Received: {} channels (CMYK).",
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
    # The product of two sides may overflow int64.
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
    """Counts the matches of a four-letter pattern."""
    marked = tf.strings.regex_replace(data, pattern, "")
    return (tf.strings.length(data) - tf.strings.length(marked)) // 4


def denoise_encoded(
    denoise: Callable, image_bytes: tf.Tensor, channels: int, limits: Limits, sigma=None
) -> tf.Tensor:
    """Denoises PNG and JPEG files.

    Args:
        denoise: maps float32 (N, H, W, `channels`) in [0, 1], and (N,) levels if there is `sigma`,
            to the denoised images, clipped to [0, 1].
        image_bytes: string (N,), a PNG or JPEG file each, of any size within `limits`.
        channels: 3 or 1, the channels of the network. With 3, gray is replicated and the result
            averaged; with 1, color is denoised channel by channel.
        limits: limits of a request.
        sigma: float32 (N,), levels on the 0-255 scale, for networks that need them.

    Returns:
        string (N,), PNG files, gray if the input is gray, with the depth and the alpha of the
        input, without metadata.

    Raises:
        tf.errors.InvalidArgumentError: when run; see `check_header`; also for no image, more than
            `limits.max_images` and files that do not decode.
    """
    count = tf.size(image_bytes)
    allowed = require(
        (count > 0) & (count <= limits.max_images),
        f"image_bytes: expected 1 to {limits.max_images} images in a request. Received: {{}}.",
        count,
    )
    with tf.control_dependencies([allowed]):
        indices = tf.range(count)
    # All files of a request are checked before the first image is denoised.
    checked = _map(lambda each: check_header(*each, limits), tf.int64, image_bytes, indices)
    with tf.control_dependencies([checked]):
        image_bytes = tf.identity(image_bytes)
    elements = (image_bytes,) if sigma is None else (image_bytes, sigma)
    return _map(lambda each: _denoise_file(denoise, channels, *each), tf.string, *elements)


def _map(function, dtype, *elements):
    """Calls `function` on each tuple of scalars, sequentially."""
    spec = tf.TensorSpec([], dtype)
    return tf.map_fn(function, elements, fn_output_signature=spec, parallel_iterations=1)


def _denoise_file(denoise, channels, data, *sigma):
    deep = is_16_bit(data)
    pixels = tf.cond(
        deep,
        lambda: tf.cast(tf.io.decode_png(data, channels=0, dtype=tf.uint16), tf.float32) / 65535.0,
        lambda: tf.cast(_decode_8_bit(data), tf.float32) / 255.0,
    )
    # Of 1 to 4 channels the 2nd or 4th is alpha.
    found = tf.shape(pixels)[2]
    colors = found - 1 + found % 2
    color_pixels = pixels[..., :colors]
    run = _in_color if channels == 3 else _in_gray
    denoised = run(denoise, color_pixels, colors, *sigma)
    result = tf.concat([denoised, pixels[..., colors:]], axis=2)
    return tf.cond(
        deep,
        lambda: tf.io.encode_png(tf.cast(tf.round(result * 65535.0), tf.uint16)),
        lambda: tf.io.encode_png(tf.cast(tf.round(result * 255.0), tf.uint8)),
    )


def _decode_8_bit(data):
    return tf.cond(
        is_png(data),
        lambda: tf.io.decode_png(data, channels=0),
        lambda: tf.io.decode_jpeg(data, channels=0, dct_method="INTEGER_ACCURATE"),
    )


def _in_color(denoise, pixels, colors, *sigma):
    """Runs a network of 3 channels on (H, W, 1 or 3)."""
    images = tf.cond(colors == 1, lambda: tf.repeat(pixels, 3, axis=2), lambda: pixels)
    images = tf.ensure_shape(images, (None, None, 3))[tf.newaxis]
    denoised = denoise(images, *[level[tf.newaxis] for level in sigma])[0]
    return tf.cond(
        colors == 1,
        lambda: tf.reduce_mean(denoised, axis=2, keepdims=True),
        lambda: denoised,
    )


def _in_gray(denoise, pixels, colors, *sigma):
    """Runs a network of 1 channel on each channel of (H, W, 1 or 3)."""
    planes = tf.transpose(pixels, (2, 0, 1))

    def one(plane):
        image = plane[tf.newaxis, ..., tf.newaxis]
        return denoise(image, *[level[tf.newaxis] for level in sigma])[0, ..., 0]

    spec = tf.TensorSpec((None, None), tf.float32)
    denoised = tf.map_fn(one, planes, fn_output_signature=spec, parallel_iterations=1)
    return tf.transpose(denoised, (1, 2, 0))
