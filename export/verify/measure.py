"""Measures artifacts: quality on real images, and latency by number of threads."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from export.verify.checks import probe_image, probe_sigma
from export.verify.cpp_loader import run_saved_model
from export.verify.formats import INPUT
from gradnet_tf.degradations import add_gaussian_noise
from gradnet_tf.degradations.sampling import evaluation_noise
from gradnet_tf.evaluation.evaluate_set import EvaluateConfig, evaluate
from gradnet_tf.images.image_files import to_float
from gradnet_tf.tiling.machine import allowed_cores

LATENCY_SIZE = (256, 256)
_REPEATS = 5


def thread_counts() -> list[int]:
    """Returns the thread counts to time: 1, 2, 4 and 8, up to the number of cores."""
    return [count for count in (1, 2, 4, 8) if count <= allowed_cores()]


def tflite_latency(path: Path) -> dict[str, float]:
    """Returns the best of five durations of `serving_default` in ms, by number of threads.

    The image has `LATENCY_SIZE`, or the size of a file of fixed size.
    """
    from ai_edge_litert.interpreter import Interpreter

    latency = {}
    for threads in thread_counts():
        interpreter = Interpreter(model_path=str(path), num_threads=threads)
        run = interpreter.get_signature_runner("serving_default")
        inputs = {}
        for name, details in run.get_input_details().items():
            shape = details["shape_signature"].tolist()
            if len(shape) == 1:  # σ
                inputs |= probe_sigma(True, 1)
                continue
            sides = [side if side > 0 else LATENCY_SIZE[0] for side in shape[1:3]]
            vector = shape[1:3] == [1, 1]
            inputs[name] = (
                np.full(shape, 0.5, np.float32) if vector else probe_image(*sides, shape[3])
            )
        run(**inputs)
        latency[str(threads)] = round(_best(lambda call=run, given=inputs: call(**given)) * 1e3, 3)
    return latency


def tflite_signatures(path: Path) -> tuple[dict, dict]:
    """Returns the inputs and the outputs of a file: {signature: {name: {"dtype", "shape"}}}."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path))
    found: tuple[dict, dict] = ({}, {})
    for signature in interpreter.get_signature_list():
        run = interpreter.get_signature_runner(signature)
        for side, details in zip(
            found, (run.get_input_details(), run.get_output_details()), strict=True
        ):
            side[signature] = {name: _tensor(tensor) for name, tensor in sorted(details.items())}
    return found


def _tensor(details) -> dict:
    shape = [side if side > 0 else None for side in details["shape_signature"].tolist()]
    return {"dtype": np.dtype(details["dtype"]).name, "shape": shape}


def saved_model_latency(folder: Path, channels: int, needs_sigma: bool = False) -> dict[str, float]:
    """Returns the same for a SavedModel in the C++ loader."""
    request = {INPUT: probe_image(*LATENCY_SIZE, channels), **probe_sigma(needs_sigma, 1)}
    latency = {}
    for threads in thread_counts():
        result = run_saved_model(folder, [request], threads=threads, repeats=_REPEATS)
        latency[str(threads)] = round(min(result.seconds) * 1e3, 3)
    return latency


def mean_psnr(denoiser, image_set, sigma: float | None, seed: int) -> float:
    """Returns the mean PSNR in dB over a set, as in `evaluate.py`; σ is `None` for real noise."""
    config = EvaluateConfig(dataset=image_set.name, sigma=sigma, seed=seed)
    return evaluate(denoiser, image_set, config)["mean"]["psnr"]


def mean_agreement(
    denoiser, other, image_set, sigma: float | None, seed: int, limit: int = 8
) -> float:
    """Returns the mean PSNR in dB of a denoiser's results against another's, at most 99.

    Uses the first `limit` images of a set with the noise of `evaluate.py`: their own, where they
    have some (σ is `None` then).
    """
    found = []
    for index in range(min(limit, len(image_set.names))):
        real = image_set.noisy(index)
        if real is None:
            clean = to_float(image_set.load(index))
            noise = evaluation_noise(clean.shape, seed, image_set.names[index])
            noisy = add_gaussian_noise(clean, noise, sigma).astype(np.float32)[None]
        else:
            noisy = to_float(real).astype(np.float32)[None]
        one, two = (d.denoise(noisy, sigma if d.needs_sigma else None) for d in (denoiser, other))
        error = np.mean((one - two) ** 2, dtype=np.float64)
        found.append(-10 * np.log10(max(float(error), 10**-9.9)))
    return float(np.mean(found))


def _best(function: Callable) -> float:
    durations = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        function()
        durations.append(time.perf_counter() - start)
    return min(durations)
