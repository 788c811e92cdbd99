"""What one request may ask of a SavedModel; what exceeds it answers INVALID_ARGUMENT."""

import dataclasses

import tensorflow as tf

from gradnet_tf.utils.errors import UserError

#: Working memory in bytes that the default of `max_pixels` allows for a request.
MEMORY = 8e9
#: No default above this, whatever the memory: 4096 × 4096.
MOST_PIXELS = 2**24
#: What `--max_pixels` takes: the export's own checks need the least.
RANGE = (2**18, 2**28)


@dataclasses.dataclass(frozen=True)
class Limits:
    """Bounds that the graph itself keeps.

    Attributes:
        max_pixels: of `encoded`: pixels of each image; of the other signatures: N·H·W of a
            request, because all of its images are in memory at once.
        max_images: images of one request.
    """

    max_pixels: int = MOST_PIXELS
    max_images: int = 64


def limits_for(model, max_pixels: int | None = None) -> Limits:
    """Returns the limits for a network; by default as many pixels as `MEMORY` is enough for.

    Args:
        model: one of our Keras models.
        max_pixels: overrides the default.

    Raises:
        UserError: `max_pixels` is outside `RANGE`.
    """
    low, high = RANGE
    if max_pixels is not None and not low <= max_pixels <= high:
        raise UserError(
            f"--max_pixels: expected a number from {low} to {high}. Received: {max_pixels}."
        )
    if max_pixels is None:
        max_pixels = int(min(MOST_PIXELS, MEMORY / model.bytes_per_pixel))
    return Limits(max_pixels)


def require(condition: tf.Tensor, message: str, *values) -> tf.Operation:
    """Returns an operation that fails with INVALID_ARGUMENT unless `condition` holds.

    Args:
        condition: scalar bool.
        message: what was expected and received, with a `{}` for each of `values`.
        values: tensors.
    """
    text = tf.strings.format(message, values) if values else tf.constant(message)
    return tf.debugging.Assert(condition, [text])


def checked_images(images: tf.Tensor, limits: Limits) -> tf.Tensor:
    """Returns `images` (N, H, W, C) once their size is allowed and floats are finite."""
    shape = tf.shape(images, out_type=tf.int64)
    received = "Received: {}."
    checks = [
        require(
            tf.reduce_all(shape[:3] > 0),
            "images: expected N, H and W of at least 1. " + received,
            shape,
        ),
        require(
            shape[0] <= limits.max_images,
            f"images: expected at most {limits.max_images} images in a request. " + received,
            shape[0],
        ),
        require(
            tf.reduce_prod(shape[:3]) <= limits.max_pixels,
            f"images: expected N*H*W of at most {limits.max_pixels} pixels. " + received,
            shape,
        ),
    ]
    if images.dtype.is_floating:
        finite = tf.reduce_all(tf.math.is_finite(images))
        message = "images: expected finite values. Received: NaN or infinite ones."
        checks.append(require(finite, message))
    with tf.control_dependencies(checks):
        return tf.identity(images)


def checked_sigma(sigma: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """Returns `sigma` (N,) once there is a level in [0, 255] for each of `count` images."""
    checks = [
        require(
            tf.size(sigma) == count,
            "sigma: expected one noise level for each of {} images. Received: {}.",
            count,
            tf.size(sigma),
        ),
        # Written this way round, NaN fails too.
        require(
            tf.reduce_all((sigma >= 0.0) & (sigma <= 255.0)),
            "sigma: expected noise levels in [0, 255]. Received: {}.",
            sigma,
        ),
    ]
    with tf.control_dependencies(checks):
        return tf.identity(sigma)
