"""Image files in, image files out: what the SavedModel's signature `encoded` computes.

The pixels equal those of `gradnet_tf.images.image_files` bit for bit: JPEG
goes through the accurate integer DCT, where TensorFlow's default is up to ten
levels away. Images of a request run one after the other, so that they may
differ in size and memory is that of the largest.
"""

from collections.abc import Callable

import tensorflow as tf

from export.savedmodel.image_header import check_header, is_16_bit, is_png
from export.savedmodel.limits import Limits, require


def denoise_encoded(
    denoise: Callable, image_bytes: tf.Tensor, channels: int, limits: Limits, sigma=None
) -> tf.Tensor:
    """Denoises PNG and JPEG files.

    Args:
        denoise: maps float32 (N, H, W, `channels`) in [0, 1], and (N,) levels with `sigma`,
            to the denoised images, clipped to [0, 1].
        image_bytes: string (N,), a PNG or JPEG file each, of any size within `limits`.
        channels: 3 or 1, what the network takes. Grey is replicated for 3 and the result
            averaged; colour goes through 1 channel by channel.
        limits: what is allowed.
        sigma: float32 (N,), levels on the 0-255 scale, for a network that takes them.

    Returns:
        string (N,), PNG files: grey where the input is grey, 16 bits where the input has
        16, with the input's alpha as it was. Metadata is not kept.

    Raises:
        tf.errors.InvalidArgumentError: when run; see `check_header`; also for no image at
            all, more than `limits.max_images` and files that do not decode.
    """
    count = tf.size(image_bytes)
    allowed = require(
        (count > 0) & (count <= limits.max_images),
        f"image_bytes: expected 1 to {limits.max_images} images in a request. Received: {{}}.",
        count,
    )
    with tf.control_dependencies([allowed]):
        indices = tf.range(count)
    # All of a request is judged before the first image is denoised.
    judged = _map(lambda each: check_header(*each, limits), tf.int64, image_bytes, indices)
    with tf.control_dependencies([judged]):
        image_bytes = tf.identity(image_bytes)
    elements = (image_bytes,) if sigma is None else (image_bytes, sigma)
    return _map(lambda each: _denoise_file(denoise, channels, *each), tf.string, *elements)


def _map(function, dtype, *elements):
    """Calls `function` on one tuple of scalars after the other."""
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
    colours = found - 1 + found % 2
    colour_pixels = pixels[..., :colours]
    run = _in_colour if channels == 3 else _in_grey
    denoised = run(denoise, colour_pixels, colours, *sigma)
    result = tf.concat([denoised, pixels[..., colours:]], axis=2)
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


def _in_colour(denoise, pixels, colours, *sigma):
    """Runs a network of 3 channels on (H, W, 1 or 3)."""
    images = tf.cond(colours == 1, lambda: tf.repeat(pixels, 3, axis=2), lambda: pixels)
    images = tf.ensure_shape(images, (None, None, 3))[tf.newaxis]
    denoised = denoise(images, *[level[tf.newaxis] for level in sigma])[0]
    return tf.cond(
        colours == 1,
        lambda: tf.reduce_mean(denoised, axis=2, keepdims=True),
        lambda: denoised,
    )


def _in_grey(denoise, pixels, colours, *sigma):
    """Runs a network of 1 channel on each channel of (H, W, 1 or 3)."""
    planes = tf.transpose(pixels, (2, 0, 1))

    def one(plane):
        image = plane[tf.newaxis, ..., tf.newaxis]
        return denoise(image, *[level[tf.newaxis] for level in sigma])[0, ..., 0]

    spec = tf.TensorSpec((None, None), tf.float32)
    denoised = tf.map_fn(one, planes, fn_output_signature=spec, parallel_iterations=1)
    return tf.transpose(denoised, (1, 2, 0))
