"""Further augmentations of a training crop: colors, and a frame."""

import numpy as np


def change_colours(crop: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Permutes the channels and changes saturation and each channel's brightness.

    Photographs of landscapes have few saturated colours; pictures of products and signs have many.

    Args:
        crop: uint8 (H, W, C).
        generator: decides the change.

    Returns:
        uint8 (H, W, C), clipped; a grey crop is only made brighter or darker.
    """
    channels = crop.shape[2]
    image = crop[..., generator.permutation(channels)].astype(np.float32)
    grey = image.mean(axis=2, keepdims=True)
    image = grey + (image - grey) * np.float32(generator.uniform(0, 2.5))
    image *= generator.uniform(0.6, 1.25, size=channels).astype(np.float32)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def frame_of(
    crop: np.ndarray, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray | float]:
    """Draws a flat frame around a part of a crop, as letterboxes and passe-partouts have.

    Args:
        crop: (H, W, C).
        generator: decides which part stays, from 5% of the crop to nearly all, and the colour.

    Returns:
        Which pixels belong to the frame, bool (H, W), and its colour, float32 (C,) in [0, 1].
    """
    height, width, channels = crop.shape
    inside = np.zeros((height, width), bool)
    sides = []
    for length in (height, width):
        kept = max(1, round(length * generator.uniform(0.22, 1.0)))
        start = int(generator.integers(length - kept + 1))
        sides.append(slice(start, start + kept))
    inside[tuple(sides)] = True
    kind = generator.integers(4)
    if kind == 0:
        colour = np.zeros(channels)
    elif kind == 1:
        colour = np.ones(channels)
    else:
        colour = generator.integers(256, size=1 if kind == 2 else channels) / 255
    return ~inside, np.broadcast_to(colour, channels).astype(np.float32)
