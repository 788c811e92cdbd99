"""Milliseconds per megapixel of the models of the results table, one after another."""

import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

SIDE = 1024
#: What all rows of speed.json have in common.
SETTINGS = ("threads", "runs", "processor")
# Seconds; longer runs are not repeated.
_LONG = 20.0


def limit_threads(threads: int) -> None:
    """Limits the threads of the backend and OpenCV; to be called before importing Keras."""
    for name in ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS"):
        os.environ[name] = str(threads)
    import cv2

    cv2.setNumThreads(threads)


def noisy_photograph(channels: int, sigma: float) -> np.ndarray:
    """Returns a sample photograph, mirrored to size: float32 (1, SIDE, SIDE, channels)."""
    from datasets.sets.catalog import find_dataset
    from gradnet_tf.degradations import add_gaussian_noise
    from gradnet_tf.degradations.sampling import evaluation_noise
    from gradnet_tf.images.image_files import to_float

    image = to_float(find_dataset("sample", channels=channels).load(0))
    padding = [(0, max(0, SIDE - length)) for length in image.shape[:2]]
    image = np.pad(image, [*padding, (0, 0)], mode="symmetric")[:SIDE, :SIDE]
    noise = evaluation_noise(image.shape, 0, "speed")
    return add_gaussian_noise(image, noise, sigma).astype(np.float32)[None]


def milliseconds(
    denoise: Callable[[np.ndarray, float], Any],
    images: np.ndarray,
    sigma: float,
    runs: int,
    warm_up: bool,
) -> tuple[float, list[float]]:
    """Measures a denoiser on one image.

    Args:
        denoise: called with the image and σ.
        images: (1, H, W, C).
        sigma: noise level, 0-255 scale.
        runs: number of timed runs; stops after a run of more than 20 seconds.
        warm_up: run once before timing, because networks are compiled in the first run.

    Returns:
        The median in ms per megapixel, and the seconds of each timed run.
    """
    if warm_up:
        denoise(images, sigma)
    seconds: list[float] = []
    while len(seconds) < runs and not (seconds and seconds[-1] > _LONG):
        start = time.perf_counter()
        denoise(images, sigma)
        seconds.append(time.perf_counter() - start)
    megapixels = images.shape[1] * images.shape[2] / 1e6
    return 1e3 * statistics.median(seconds) / megapixels, seconds


def processor() -> str:
    """Returns the name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration, IndexError):
        return platform.processor() or platform.machine()


def merged(old: Sequence[dict], new: Sequence[dict]) -> list[dict]:
    """Returns the rows of speed.json with new measurements replacing old ones.

    Old rows of another processor, number of threads or number of runs go: times of one table are
    compared.
    """
    settings = [{key: row.get(key) for key in SETTINGS} for row in new]
    kept = [row for row in old if {key: row.get(key) for key in SETTINGS} in settings]
    rows = {(row["name"], row["channels"], row["precision"]): row for row in [*kept, *new]}
    return list(rows.values())
