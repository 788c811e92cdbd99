"""Scores and pictures of the validation images during a run."""

import numpy as np

from gradnet_tf.degradations import unit_to_sigma
from gradnet_tf.training.records import panel
from gradnet_tf.training.workers.team import Team

_LEVELS = 8
_IMAGES_PER_LEVEL = 2


def _predict(engine, noisy, clean, **more):
    """Denoises one image; a network that needs the noise level gets that of the draws."""
    if getattr(engine, "needs_sigma", False):
        deviation = np.sqrt(np.mean((noisy - clean) ** 2))
        more["sigma"] = unit_to_sigma(np.float32([deviation]))
    return engine.predict(noisy[None], **more)


def _psnr(engine, noisy: np.ndarray, clean: np.ndarray) -> float:
    denoised = np.clip(_predict(engine, noisy, clean)[0], 0.0, 1.0)
    return -10.0 * np.log10(max(float(np.mean((denoised - clean) ** 2)), 1e-12))


def mean_psnr(engine, validation: list[tuple[np.ndarray, np.ndarray]], team: Team) -> float:
    """Returns the mean PSNR in dB of the clipped output over (noisy, clean) images.

    The workers of a team share the images.
    """
    scores = [_psnr(engine, noisy, clean) for noisy, clean in validation[team.index :: team.size]]
    total, count = team.sums([sum(scores), len(scores)])
    return total / count


def psnr_by_sigma(
    engine, validation: list[tuple[np.ndarray, np.ndarray]], sigma_min: float, sigma_max: float
) -> tuple[list[float], list[float]]:
    """Scores a few images at every part of a range of noise levels.

    Args:
        engine: predicts.
        validation: (noisy, clean), with noise of the range's middle, whose
            draws are scaled to each level.
        sigma_min: lowest level, 0-255 scale.
        sigma_max: highest level, above the lowest.

    Returns:
        Edges of equal parts of the range, and the mean PSNR in dB at the
        middle of each part.
    """
    edges = np.linspace(sigma_min, sigma_max, _LEVELS + 1)
    middle = (sigma_min + sigma_max) / 2
    scores = []
    for level in (edges[:-1] + edges[1:]) / 2:
        scale = np.float32(level / middle)
        pairs = [
            (clean + scale * (noisy - clean), clean)
            for noisy, clean in validation[:_IMAGES_PER_LEVEL]
        ]
        scores.append(float(np.mean([_psnr(engine, *pair) for pair in pairs])))
    return edges.tolist(), scores


def image_panel(engine, noisy: np.ndarray, clean: np.ndarray) -> np.ndarray:
    """Returns noisy, naive, gradient, denoised and clean of one image, side by side, uint8."""
    picture = noisy[..., : clean.shape[-1]]  # without a guide that may follow it
    if getattr(engine.model, "naive_denoiser", None) is None:
        return panel([picture, _predict(engine, noisy, clean)[0], clean])
    outputs = _predict(engine, noisy, clean, intermediates=True)
    # A Sobel magnitude reaches 4√2; a quarter of it shows the edges of natural images.
    return panel(
        [picture, outputs["naive"][0], outputs["gradient"][0] / 4, outputs["denoised"][0], clean]
    )
