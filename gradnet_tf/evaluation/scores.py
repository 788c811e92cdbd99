"""The scores of one evaluated image, and their mean over a set."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from gradnet_tf.evaluation.protocol import MAX_PSNR
from gradnet_tf.images.image_files import to_float, to_uint8

HAS_NAN = "the output has NaN values"
# Scores of an image, in the order of the tables.
SCORES = (
    "psnr",
    "psnr_uint8",
    "ssim",
    "psnr_noisy",
    "ssim_noisy",
    "psnr_naive",
    "ssim_naive",
)
_SSIM_WINDOW = 11


@dataclasses.dataclass(frozen=True)
class Example:
    """One evaluated image: float32 (H, W, C), outputs clipped to [0, 1]; `clean` may be `None`.

    `used` names the weights, runtime and precision that it went through, if the denoiser says so.
    """

    name: str
    clean: np.ndarray | None
    noisy: np.ndarray
    naive: np.ndarray | None
    denoised: np.ndarray
    seconds: float
    real_noise: bool = False
    used: tuple[str, ...] = ()


def _psnr(clean: np.ndarray, image: np.ndarray) -> float:
    # Imported late, because it imports Keras, which configurations and tables do not need.
    from gradnet_tf.evaluation.metrics import psnr

    if np.array_equal(clean, image):
        return MAX_PSNR
    # Rounding in float32 may exceed the limit a little.
    return min(float(np.asarray(psnr(clean[None], image[None]))[0]), MAX_PSNR)


def _ssim(clean: np.ndarray, image: np.ndarray) -> float | None:
    """Returns SSIM, or `None` if the image is smaller than the window."""
    from gradnet_tf.evaluation.metrics import ssim

    if min(clean.shape[:2]) < _SSIM_WINDOW:
        return None
    return float(np.asarray(ssim(clean[None], image[None]))[0])


def score_example(example: Example) -> dict[str, Any]:
    """Returns the row of one image; values may be NaN or `None`."""
    clean, naive = example.clean, example.naive
    broken = not np.isfinite(example.denoised).all()
    row = {
        "name": example.name,
        "height": example.noisy.shape[0],
        "width": example.noisy.shape[1],
        **dict.fromkeys(SCORES),
        "seconds": example.seconds,
        "problem": HAS_NAN if broken else None,
        "used": list(example.used),
    }
    if clean is None:
        return row
    return row | {
        "psnr": _psnr(clean, example.denoised),
        "psnr_uint8": math.nan if broken else _psnr(clean, to_float(to_uint8(example.denoised))),
        "ssim": _ssim(clean, example.denoised),
        "psnr_noisy": _psnr(clean, example.noisy),
        "ssim_noisy": _ssim(clean, example.noisy),
        "psnr_naive": None if naive is None else _psnr(clean, naive),
        "ssim_naive": None if naive is None else _ssim(clean, naive),
    }


def mean_scores(rows: Sequence[dict[str, Any]]) -> dict[str, float | None]:
    """Averages each score over the images, without `None` but including NaN."""
    means: dict[str, float | None] = {}
    for score in SCORES:
        values = [row[score] for row in rows if row[score] is not None]
        means[score] = sum(values) / len(values) if values else None
    return means


def worse_than_input(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Returns the names of the images whose result scores below the noisy input.

    Args:
        rows: from `score_example`; images without a clean one or with NaN do not count.
    """
    return [
        row["name"]
        for row in rows
        if None not in (row["psnr"], row["psnr_noisy"]) and row["psnr"] < row["psnr_noisy"]
    ]


def finite_or_none(value: Any) -> Any:
    """Returns `None` for NaN and infinities, anything else as it is."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
