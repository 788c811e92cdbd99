"""What an artefact costs: decibels on real images, and milliseconds by threads."""

import os
import time
from collections.abc import Callable
from pathlib import Path

from export.checks import probe_image, probe_sigma
from export.cpp_loader import run_saved_model
from export.saved_model import INPUT
from gradnet_tf.evaluation import EvaluateConfig, evaluate
from gradnet_tf.inference.runner_tflite import TFLiteRunner

LATENCY_SIZE = (256, 256)
_REPEATS = 5


def thread_counts() -> list[int]:
    """Returns the thread counts to time: 1, 2, 4, ... as far as the machine goes."""
    return [count for count in (1, 2, 4, 8) if count <= (os.cpu_count() or 1)]


def tflite_latency(path: Path, channels: int) -> dict[str, float]:
    """Returns the best of five durations in ms for an image of `LATENCY_SIZE`, by threads."""
    image = probe_image(*LATENCY_SIZE, channels)
    latency = {}
    for threads in thread_counts():
        runner = TFLiteRunner(path, num_threads=threads)
        runner.run(image)
        latency[str(threads)] = round(_best(lambda run=runner.run: run(image)) * 1e3, 3)
    return latency


def saved_model_latency(folder: Path, channels: int, needs_sigma: bool = False) -> dict[str, float]:
    """The same for a SavedModel in the C++ loader."""
    request = {INPUT: probe_image(*LATENCY_SIZE, channels), **probe_sigma(needs_sigma, 1)}
    latency = {}
    for threads in thread_counts():
        result = run_saved_model(folder, [request], threads=threads, repeats=_REPEATS)
        latency[str(threads)] = round(min(result.seconds) * 1e3, 3)
    return latency


def mean_psnr(denoiser, image_set, sigma: float, seed: int) -> float:
    """Returns the mean PSNR in dB over a set, as `evaluate.py` counts it."""
    config = EvaluateConfig(dataset=image_set.name, sigma=sigma, seed=seed)
    return evaluate(denoiser, image_set, config)["mean"]["psnr"]


def _best(function: Callable) -> float:
    durations = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        function()
        durations.append(time.perf_counter() - start)
    return min(durations)
