"""Compares an artefact with the Keras model it was made from, before anyone relies on it."""

import os
from collections.abc import Callable, Sequence

import numpy as np

from export.cpp_loader import run_saved_model
from export.saved_model import INPUT, OUTPUT
from gradnet_tf.inference.tile_config import AUTO

#: One pixel, two odd sides, and a photograph's size (CBSD68's).
SIZES = ((1, 1), (37, 31), (481, 321))
#: Largest difference from Keras, on the [0, 1] scale, that a float32 artefact may have.
TOLERANCE = 1e-5


#: Least PSNR in dB against Keras on the noisy slopes of `probe_image`. For 8 bits the loss in
#: quality on real images is what judges; this finds files that compute something else.
LEAST_AGREEMENT = {"float16": 70.0, "dynamic": 35.0, "int8": 35.0}


class CheckFailed(RuntimeError):
    """An artefact does not do what the Keras model does."""


def probe_image(height: int, width: int, channels: int) -> np.ndarray:
    """Returns a reproducible noisy picture: a slope per channel and noise that leaves [0, 1].

    Returns:
        float32 (1, height, width, channels).
    """
    rows = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    columns = np.linspace(0, 1, width, dtype=np.float32)[None, :, None]
    slope = (rows + columns * np.linspace(0.5, 1, channels, dtype=np.float32)) / 2
    noise = np.random.default_rng(height * 10_000 + width).normal(0, 0.1, slope.shape)
    return (slope + noise).astype(np.float32)[None]


def check_saved_model(
    folder: str | os.PathLike, expected: Callable, channels: int
) -> dict[str, float]:
    """Runs both signatures with the C++ loader and compares them with Keras.

    Args:
        folder: holds saved_model.pb.
        expected: Keras' answer: float32 (N, H, W, C) to the same, clipped.
        channels: C.

    Returns:
        Largest difference on the [0, 1] scale by size, such as {"37x31": 1e-7}.

    Raises:
        CheckFailed: a difference above `TOLERANCE`; the message has the figures.
        LoaderError: the loader refuses the folder.
    """
    images = [probe_image(*size, channels) for size in SIZES]
    result = run_saved_model(folder, [{INPUT: image} for image in images])
    found = [outputs[OUTPUT] for outputs in result.outputs]
    differences = _compare("serving_default", images, found, expected, TOLERANCE)
    levels = [np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8) for image in images]
    result = run_saved_model(folder, [{INPUT: image} for image in levels], signature="uint8")
    found = [outputs[OUTPUT] for outputs in result.outputs]
    if any(output.dtype != np.uint8 for output in found):
        raise CheckFailed(f"signature uint8: returns {found[0].dtype}")
    in_unit = [image.astype(np.float32) / 255 for image in levels]
    found = [output.astype(np.float32) / 255 for output in found]
    # Rounding to the nearest level is half a level off at most.
    _compare("uint8", in_unit, found, expected, 0.5 / 255 + TOLERANCE)
    return differences


def check_tflite(what: str, runner, denoiser, format) -> dict[str, float]:
    """Compares a .tflite file with Keras at `SIZES`.

    A file of one size is compared where its tiles are exact: on pictures that
    hold one of its windows and whole blocks of pixels, with vectors from the
    same crops.

    Args:
        what: names the file in messages.
        runner: a `TFLiteRunner` of it.
        denoiser: the Keras denoiser.
        format: the `TFLiteFormat`.

    Returns:
        Largest difference on the [0, 1] scale by size.

    Raises:
        CheckFailed: a difference above `TOLERANCE` in float32, an agreement below
            `LEAST_AGREEMENT` otherwise; the message has the figures.
    """
    if format.tile is None:
        images = [probe_image(*size, denoiser.channels) for size in SIZES]
        found, expected = [runner.run(image) for image in images], denoiser.denoise
    else:
        side = runner.fixed_size[0]
        images = [probe_image(side + more, side + 8, denoiser.channels) for more in (0, 60)]
        found = [runner.run_picture(image[0])[None] for image in images]

        def expected(image):
            return denoiser.denoise(image, None, AUTO)

    if format.precision == "float32":
        return _compare(what, images, found, expected, TOLERANCE)
    differences = _compare(what, images, found, expected, 1.0)
    error = np.mean([np.mean((f - expected(i)) ** 2) for i, f in zip(images, found, strict=True)])
    agreement, least = -10 * np.log10(max(error, 1e-12)), LEAST_AGREEMENT[format.precision]
    if not agreement >= least:
        raise CheckFailed(
            f"{what}: agrees with Keras to {agreement:.1f} dB, expected {least:g} at least"
        )
    return differences


def _compare(
    what: str,
    images: Sequence[np.ndarray],
    found: Sequence[np.ndarray],
    expected: Callable,
    tolerance: float,
) -> dict[str, float]:
    differences = {}
    for image, output in zip(images, found, strict=True):
        size = f"{image.shape[1]}x{image.shape[2]}"
        wanted = expected(image)
        if output.shape != wanted.shape:
            raise CheckFailed(f"{what}: shape {output.shape} at {size}, expected {wanted.shape}")
        differences[size] = float(np.abs(output - wanted).max())
    # Written this way round, NaN fails too.
    if not all(value <= tolerance for value in differences.values()):
        figures = ", ".join(f"{size}: {value:.3g}" for size, value in differences.items())
        raise CheckFailed(
            f"{what}: differs from Keras by {figures} (largest difference, at most "
            f"{tolerance:.3g} allowed)"
        )
    return differences
