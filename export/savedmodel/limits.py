"""Limits of a request to a SavedModel; requests beyond them fail with INVALID_ARGUMENT."""

import dataclasses

import tensorflow as tf

from gradnet_tf.utils.errors import UserError

#: Working memory of a request in bytes, for the default of `max_pixels`.
MEMORY = 8e9
#: Largest default: 4096 × 4096.
MOST_PIXELS = 2**24
#: Range of `--max_pixels`; the export's own checks need the lower end.
RANGE = (2**18, 2**28)


@dataclasses.dataclass(frozen=True)
class Limits:
    """Limits that the graph enforces.

    Attributes:
        max_pixels: for `encoded`, pixels of each image; for the other signatures, N·H·W of a
            request, because all of its images are in memory at once.
        max_images: images in a request.
    """

    max_pixels: int = MOST_PIXELS
    max_images: int = 64


def limits_for(model, max_pixels: int | None = None) -> Limits:
    """Returns the limits for a model; `max_pixels` defaults to what fits into `MEMORY`.

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
    """Returns an operation that fails with INVALID_ARGUMENT unless the scalar `condition` holds.

    `message` has a `{}` for each of the tensors `values`.
    """
    text = tf.strings.format(message, values) if values else tf.constant(message)
    return tf.debugging.Assert(condition, [text])


def checked_images(images: tf.Tensor, limits: Limits) -> tf.Tensor:
    """Returns `images` (N, H, W, C) after checking their size, and that floats are finite."""
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
    """Returns `sigma` (N,) after checking for `count` levels in [0, 255]."""
    checks = [
        require(
            tf.size(sigma) == count,
            "sigma: expected one noise level for each of {} images. Received: {}.",
            count,
            tf.size(sigma),
        ),
        # NaN fails, too.
        require(
            tf.reduce_all((sigma >= 0.0) & (sigma <= 255.0)),
            "sigma: expected noise levels in [0, 255]. Received: {}.",
            sigma,
        ),
    ]
    with tf.control_dependencies(checks):
        return tf.identity(sigma)
