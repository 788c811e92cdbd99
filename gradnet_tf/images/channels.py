"""Gray pictures through color models, color pictures through gray models, and transparency."""

from collections.abc import Callable

import cv2
import numpy as np

from gradnet_tf.images.noise_survey import BLOCK
from gradnet_tf.utils.errors import UserError

REPLICATED = "gray replicated to RGB, result averaged"
PER_CHANNEL = "channel by channel"

#: So far into a hole the picture is mirrored, in pixels: most of what a network looks at.
_MIRRORED = 24
#: Standard deviation of the means between which it is mirrored, in pixels.
_SMOOTH = 3.0


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


def fill_hidden(colors: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """Replaces the colors of hidden pixels by those of the visible pixels around them.

    Editors leave anything behind transparent pixels: black, white, or the object that was cut
    out. A network looks at them beside the visible ones, so a red background would give a white
    cut-out a red rim. Near its rim a hole is filled with the picture mirrored there, noise
    included; inside smoothly, from coarser and coarser means of what is visible (Gortler et al.,
    "The Lumigraph", SIGGRAPH 1996, section 3.4.1: push and pull).

    Args:
        colors: (H, W, C) uint8, uint16 or float.
        visible: bool (H, W), with at least one pixel.

    Returns:
        A new array; visible pixels are unchanged. Equal channels stay equal.
    """
    # Hidden floats may be NaN, which would spread.
    values = np.where(visible[..., np.newaxis], colors, 0).astype(np.float32)
    weights = visible.astype(np.float32)
    filled = _flat_blocks(_push_pull(values, weights), visible)
    holes, rim, sources = _mirrored(visible)
    means = cv2.GaussianBlur(values, (0, 0), _SMOOTH)
    means = means.reshape(colors.shape)  # cv2 drops a single channel.
    means /= np.maximum(cv2.GaussianBlur(weights, (0, 0), _SMOOTH), 1e-6)[..., np.newaxis]
    # Mirror the values as well, so that a gradient continues instead of reversing.
    filled[holes] = values[sources] + 2 * (means[rim] - means[sources])
    if colors.dtype.kind == "u":
        filled = np.rint(np.clip(filled, 0, np.iinfo(colors.dtype).max))
    return np.where(visible[..., np.newaxis], colors, filled.astype(colors.dtype))


def _mirrored(visible: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Returns hidden pixels, the nearest visible one of each, and the one that mirrors it.

    Each as an index of rows and columns; hidden pixels near the rim only.
    """
    distance, labels = cv2.distanceTransformWithLabels(
        (~visible).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    # Flat places of 32 bits: pairs of 64 would take several times the picture's memory.
    places = np.zeros(int(labels.max()) + 1, np.uint32)
    places[labels[visible]] = np.flatnonzero(visible)
    holes = np.argwhere(~visible & (distance <= _MIRRORED))
    flat = places[labels[tuple(holes.T)]].astype(np.int64)
    rim = np.stack(np.divmod(flat, visible.shape[1]), axis=1)
    sources = 2 * rim - holes
    inside = ((sources >= 0) & (sources < visible.shape)).all(axis=1)
    inside[inside] = visible[tuple(sources[inside].T)]
    return [tuple(part[inside].T) for part in (holes, rim, sources)]


def _push_pull(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Returns `values` (H, W, C), filled where `weights` (H, W), 0 or 1, are 0."""
    if weights.all():
        return values
    height, width = weights.shape
    padding = ((0, height % 2), (0, width % 2))
    weighted = np.pad(values * weights[..., np.newaxis], (*padding, (0, 0)))
    counts = _sum_2x2(np.pad(weights, padding))
    means = _sum_2x2(weighted) / np.maximum(counts, 1)[..., np.newaxis]
    coarse = _push_pull(means, (counts > 0).astype(np.float32))
    fine = cv2.resize(coarse, (2 * coarse.shape[1], 2 * coarse.shape[0]))
    fine = fine.reshape(*fine.shape[:2], -1)[:height, :width]  # cv2 drops a single channel.
    return np.where(weights[..., np.newaxis] > 0, values, fine)


def _flat_blocks(filled: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """Gives every block without a visible pixel one color, so that it counts as still."""
    height, width = (side // BLOCK * BLOCK for side in visible.shape)
    shape = height // BLOCK, BLOCK, width // BLOCK, BLOCK
    hidden = ~visible[:height, :width].reshape(shape).any(axis=(1, 3))
    blocks = filled[:height, :width].reshape(*shape, filled.shape[2])
    blocks = np.where(hidden[:, None, :, None, None], blocks.mean((1, 3), keepdims=True), blocks)
    result = filled.copy()
    result[:height, :width] = blocks.reshape(height, width, filled.shape[2])
    return result


def _sum_2x2(values: np.ndarray) -> np.ndarray:
    rows = values[::2] + values[1::2]
    return rows[:, ::2] + rows[:, 1::2]
