"""Grey pictures through colour models and colour pictures through grey models."""

from collections.abc import Callable

import numpy as np

from gradnet_tf.utils.errors import UserError

REPLICATED = "grey replicated to RGB, result averaged"
PER_CHANNEL = "channel by channel"


def adaptation(image_channels: int, model_channels: int | None) -> str | None:
    """Names what must be done for a model of `model_channels` to take an image.

    `None` as `model_channels` stands for a denoiser of both kinds.

    Returns:
        `None` when the channels agree, else one of the labels `REPLICATED` and
        `PER_CHANNEL`, which reports print beside the score.

    Raises:
        UserError: neither rule fits.
    """
    if image_channels == model_channels or (model_channels is None and image_channels in (1, 3)):
        return None
    if (image_channels, model_channels) == (1, 3):
        return REPLICATED
    if (image_channels, model_channels) == (3, 1):
        return PER_CHANNEL
    raise UserError(
        f"images: an image of {image_channels} channels does not go through a model of "
        f"{model_channels}; expected 1 (grey) or 3 (RGB) channels."
    )


def adapt_channels(
    function: Callable[[np.ndarray], np.ndarray | None],
    images: np.ndarray,
    model_channels: int | None,
) -> np.ndarray | None:
    """Calls `function`, which takes `model_channels` channels, on images of 1 or 3 channels.

    A grey image is replicated to three channels and the result averaged; the
    channels of a colour image go through a grey model one after the other.

    Args:
        function: maps (N, H, W, `model_channels`) to the same shape, or to `None`.
        images: (N, H, W, 1 or 3).
        model_channels: 1, 3, or `None` for a denoiser of both kinds.

    Returns:
        The result, shaped like `images`; `None` where `function` returns `None`.
    """
    rule = adaptation(images.shape[-1], model_channels)
    if rule is None:
        return function(images)
    if rule == REPLICATED:
        result = function(np.repeat(images, 3, axis=-1))
        return None if result is None else result.mean(axis=-1, keepdims=True, dtype=result.dtype)
    results = [function(images[..., channel : channel + 1]) for channel in range(3)]
    return None if results[0] is None else np.concatenate(results, axis=-1)


def is_grey(colours: np.ndarray) -> bool:
    """Whether a picture (H, W, C) has one colour channel, or three that are equal everywhere."""
    if colours.shape[-1] == 1:
        return True
    # The first row tells nearly always, and spares the look at all of a large picture.
    return all(
        np.array_equal(part[..., :1], part[..., channel : channel + 1])
        for part in (colours[:1], colours)
        for channel in (1, 2)
    )
