"""Runs gray pictures through color models, and color pictures through gray models."""

from collections.abc import Callable

import numpy as np

from gradnet_tf.utils.errors import UserError

REPLICATED = "gray replicated to RGB, result averaged"
PER_CHANNEL = "channel by channel"


def adaptation(image_channels: int, model_channels: int | None) -> str | None:
    """Returns how an image is converted for a model of `model_channels` channels.

    Args:
        image_channels: channels of the image, 1 or 3.
        model_channels: channels of the model, `None` if it takes both.

    Returns:
        `None` if the channels agree, otherwise one of the labels `REPLICATED` and
        `PER_CHANNEL`, which reports print next to the score.

    Raises:
        UserError: the image cannot be converted.
    """
    if image_channels == model_channels or (model_channels is None and image_channels in (1, 3)):
        return None
    if (image_channels, model_channels) == (1, 3):
        return REPLICATED
    if (image_channels, model_channels) == (3, 1):
        return PER_CHANNEL
    raise UserError(
        f"images: a model of {model_channels} channels does not take an image of "
        f"{image_channels}; expected 1 (gray) or 3 (RGB) channels."
    )


def adapt_channels(
    function: Callable[[np.ndarray], np.ndarray | None],
    images: np.ndarray,
    model_channels: int | None,
) -> np.ndarray | None:
    """Calls `function`, which takes `model_channels` channels, on images of 1 or 3 channels.

    For a color model, a gray image is replicated to three channels and the result is averaged.
    For a gray model, the channels of a color image are processed one after the other.

    Args:
        function: maps (N, H, W, `model_channels`) to the same shape, or to `None`.
        images: (N, H, W, 1 or 3).
        model_channels: 1, 3, or `None` if `function` takes both.

    Returns:
        The result, shaped like `images`; `None` if `function` returns `None`.
    """
    rule = adaptation(images.shape[-1], model_channels)
    if rule is None:
        return function(images)
    if rule == REPLICATED:
        result = function(np.repeat(images, 3, axis=-1))
        return None if result is None else result.mean(axis=-1, keepdims=True, dtype=result.dtype)
    results = [function(images[..., channel : channel + 1]) for channel in range(3)]
    return None if results[0] is None else np.concatenate(results, axis=-1)


def is_gray(colors: np.ndarray) -> bool:
    """Whether a picture (H, W, C) has one channel, or three channels that are equal."""
    if colors.shape[-1] == 1:
        return True
    # Checking the first row first nearly always avoids comparing the whole picture.
    return all(
        np.array_equal(part[..., :1], part[..., channel : channel + 1])
        for part in (colors[:1], colors)
        for channel in (1, 2)
    )
