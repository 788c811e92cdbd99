"""Scores and pictures of the validation images during a run."""

from collections.abc import Mapping, Sequence

import numpy as np

from gradnet_tf.degradations import unit_to_sigma
from gradnet_tf.training.records import panel
from gradnet_tf.training.workers.team import Team

_LEVELS = 8
_IMAGES_PER_LEVEL = 2
#: How far the measured level of added noise may be off, as a part of it: small pictures vary.
_LEVEL_ERROR = 0.1
# Below this PSNR in dB (σ = 3.6) a noisy image shows whether a denoiser works.
_MOST_TELLING = 37.0


def _predict(engine, noisy, clean, **kwargs):
    """Denoises one image; a network that needs the noise level gets that of the pair."""
    if getattr(engine, "needs_sigma", False):
        deviation = np.sqrt(np.mean((noisy[..., : clean.shape[-1]] - clean) ** 2))
        kwargs["sigma"] = unit_to_sigma(np.float32([deviation]))
    return engine.predict(noisy[None], **kwargs)


def _psnr(engine, noisy: np.ndarray, clean: np.ndarray) -> float:
    return _decibels(_predict(engine, noisy, clean)[0], clean)


def _decibels(image: np.ndarray, clean: np.ndarray) -> float:
    return -10.0 * np.log10(max(float(np.mean((np.clip(image, 0, 1) - clean) ** 2)), 1e-12))


def image_psnrs(engine, validation: list[tuple[np.ndarray, np.ndarray]], team: Team) -> list[float]:
    """Returns the PSNR in dB of the clipped output for each of the (noisy, clean) images.

    The images are split over the workers of a team; all of them get all scores.
    """
    scores = [0.0] * len(validation)
    for place in range(team.index, len(validation), team.size):
        scores[place] = _psnr(engine, *validation[place])
    return team.sums(scores)


def means_by_set(scores: Sequence[float], counts: Mapping[str, int] | None) -> dict[str, float]:
    """Returns the mean over the images of each set; nothing for a single set.

    The mean over all images may rise through drawings, say, while photographs get worse.

    Args:
        scores: of all images, set by set.
        counts: number of images of each set, in their order, or `None`.
    """
    means, start = {}, 0
    for name, count in (counts or {}).items():
        means[name] = float(np.mean(scores[start : start + count]))
        start += count
    return means


def naive_gain(engine, validation: list[tuple[np.ndarray, np.ndarray]]) -> float | None:
    """Returns how much the naive estimate is better than the noisy image, in dB, on a few images.

    About 0 means that the naive denoiser has stopped to work: with too high a learning rate all its
    ReLUs can die, and the network then takes the gradient of the noisy image for its guide.
    `None` if the network has no naive denoiser, or if hardly an image has noise.
    """
    if getattr(engine.model, "naive_denoiser", None) is None:
        return None
    gains = []
    for noisy, clean in validation:
        before = _decibels(noisy[..., : clean.shape[-1]], clean)
        if before < _MOST_TELLING:
            naive = _predict(engine, noisy, clean, intermediates=True)["naive"][0]
            gains.append(_decibels(naive, clean) - before)
        if len(gains) == _IMAGES_PER_LEVEL:
            return float(np.mean(gains))
    return None


def psnr_by_sigma(
    engine, validation: list[tuple[np.ndarray, np.ndarray]], sigma_min: float, sigma_max: float
) -> tuple[list[float], list[float]]:
    """Scores a few images at several noise levels of a range.

    Args:
        engine: runs the network.
        validation: (noisy, clean) with noise of the middle of the range, which is scaled to each
            level; pairs of another level have a camera's noise and are left out.
        sigma_min: lowest level, 0-255 scale.
        sigma_max: highest level, above the lowest.

    Returns:
        Edges of equal parts of the range, and the mean PSNR in dB at the middle of each part;
        both are empty if all noise is a camera's.
    """
    edges = np.linspace(sigma_min, sigma_max, _LEVELS + 1)
    middle = (sigma_min + sigma_max) / 2
    levels = (255 * np.std(noisy - clean) for noisy, clean in validation)
    usable = [
        pair
        for pair, level in zip(validation, levels, strict=True)
        if abs(level - middle) < _LEVEL_ERROR * middle
    ][:_IMAGES_PER_LEVEL]
    if not usable:
        return [], []
    scores = []
    for level in (edges[:-1] + edges[1:]) / 2:
        scale = np.float32(level / middle)
        pairs = [(clean + scale * (noisy - clean), clean) for noisy, clean in usable]
        scores.append(float(np.mean([_psnr(engine, *pair) for pair in pairs])))
    return edges.tolist(), scores


def image_panel(engine, noisy: np.ndarray, clean: np.ndarray) -> np.ndarray:
    """Returns noisy, naive, gradient, denoised and clean of one image, side by side, uint8."""
    picture = noisy[..., : clean.shape[-1]]  # without a guide image
    if getattr(engine.model, "naive_denoiser", None) is None:
        return panel([picture, _predict(engine, noisy, clean)[0], clean])
    outputs = _predict(engine, noisy, clean, intermediates=True)
    # The Sobel magnitude is at most 4√2; scaled by a quarter, edges of natural images are visible.
    return panel(
        [picture, outputs["naive"][0], outputs["gradient"][0] / 4, outputs["denoised"][0], clean]
    )
