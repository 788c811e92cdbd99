"""Verifies artifacts against the Keras models they were made from."""

import os
from collections.abc import Callable, Sequence

import cv2
import numpy as np

from export.verify.cpp_loader import run_saved_model
from export.verify.formats import INPUT, INPUT_BYTES, OUTPUT, OUTPUT_BYTES
from gradnet_tf.runtimes import SIGMA
from gradnet_tf.tiling.tile_config import AUTO, TileConfig

#: One pixel, two odd sides, and the size of a photograph (CBSD68).
SIZES = ((1, 1), (37, 31), (481, 321))
#: Largest difference from Keras, on the [0, 1] scale, that a float32 artifact may have.
TOLERANCE = 1e-5

#: Least PSNR in dB against Keras on `probe_image`, to detect files that compute something else.
#: For 8 bits, the loss on real images is checked separately.
LEAST_AGREEMENT = {"float16": 70.0, "dynamic": 35.0, "int8": 35.0}
#: Pictures with a smaller side are left out of it. The zeros around the picture reach all of their
#: pixels, so the features lie where no photograph's do, and 8 bits may clip them.
_LEAST_SIDE = 16


class CheckFailed(RuntimeError):
    """An artifact differs from the Keras model."""


def probe_image(height: int, width: int, channels: int) -> np.ndarray:
    """Returns a noisy ramp that exceeds [0, 1], float32 (1, height, width, channels)."""
    rows = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    columns = np.linspace(0, 1, width, dtype=np.float32)[None, :, None]
    slope = (rows + columns * np.linspace(0.5, 1, channels, dtype=np.float32)) / 2
    noise = np.random.default_rng(height * 10_000 + width).normal(0, 0.1, slope.shape)
    return (slope + noise).astype(np.float32)[None]


def probe_sigma(needs_sigma: bool, count: int) -> dict[str, np.ndarray]:
    """Returns the additional input of networks that need the noise level."""
    return {SIGMA: np.full(count, 25.0, np.float32)} if needs_sigma else {}


def check_saved_model(
    folder: str | os.PathLike,
    expected: Callable,
    channels: int,
    needs_sigma: bool = False,
    tolerance: float | None = None,
) -> dict[str, float]:
    """Runs the three signatures with the C++ loader and compares them with Keras.

    Args:
        folder: the folder of saved_model.pb.
        expected: Keras' function from float32 (N, H, W, C), and (N,) noise levels if it needs
            them, to the denoised images, clipped.
        channels: C.
        needs_sigma: whether the signatures have the input "sigma".
        tolerance: largest difference on the [0, 1] scale; `TOLERANCE` by default.

    Returns:
        Largest difference of the float signature by size, such as {"37x31": 1e-7}.

    Raises:
        CheckFailed: a difference above the tolerance.
        LoaderError: the folder does not load.
    """
    tolerance = TOLERANCE if tolerance is None else tolerance
    # Rounding adds up to half a level.
    rounded = 0.5 / 255 + tolerance
    more = probe_sigma(needs_sigma, 1)

    def wanted(image):
        return expected(image, *more.values())

    images = [probe_image(*size, channels) for size in SIZES]
    levels = [np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8) for image in images]
    files = np.empty(len(levels), object)
    files[:] = [encode_png(image[0]) for image in levels]
    # The files of all sizes are one request.
    requests = [{INPUT: image, **more} for image in (*images, *levels)]
    requests.append({INPUT_BYTES: files, **probe_sigma(needs_sigma, len(files))})
    count = len(images)
    signatures = ["serving_default"] * count + ["uint8"] * count + ["encoded"]
    *arrays, encoded = run_saved_model(folder, requests, signature=signatures).outputs
    found = [outputs[OUTPUT] for outputs in arrays]

    differences = _compare("serving_default", images, found[:count], wanted, tolerance)
    if any(output.dtype != np.uint8 for output in found[count:]):
        raise CheckFailed(f"signature uint8: returns {found[count].dtype}")
    in_unit = [image.astype(np.float32) / 255 for image in levels]
    found = [output.astype(np.float32) / 255 for output in found[count:]]
    _compare("uint8", in_unit, found, wanted, rounded)
    found = [decode_png(file)[None].astype(np.float32) / 255 for file in encoded[OUTPUT_BYTES]]
    _compare("encoded", in_unit, found, wanted, rounded)
    return differences


def encode_png(image: np.ndarray) -> bytes:
    """Encodes uint8 (H, W, 1 or 3) RGB as PNG."""
    return cv2.imencode(".png", image[..., ::-1])[1].tobytes()


def decode_png(file: bytes) -> np.ndarray:
    """Decodes a PNG without alpha: uint8 or uint16 (H, W, 1 or 3) RGB."""
    pixels = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_UNCHANGED)
    return pixels[..., np.newaxis] if pixels.ndim == 2 else pixels[..., ::-1]


def check_tflite(what: str, runner, denoiser, format) -> dict[str, float]:
    """Returns the largest difference of a .tflite file from Keras by size.

    Files of fixed size are compared on pictures for which their tiles are exact: at least as large
    as a window, in whole blocks of pixels, with attention vectors from the same crops.

    Args:
        what: the name of the file for messages.
        runner: its `TFLiteRunner`.
        denoiser: the Keras denoiser.
        format: the `TFLiteFormat`.

    Raises:
        CheckFailed: a difference above `TOLERANCE` in float32; otherwise a picture of 16 pixels a
            side or more with an agreement below `LEAST_AGREEMENT`.
    """
    level = list(probe_sigma(denoiser.needs_sigma, 1).values())
    if format.tile is None:
        images = [probe_image(*size, denoiser.channels) for size in SIZES]
        tiles = AUTO
        found = [runner.run(image, *level) for image in images]
    else:
        tiles = TileConfig(pooling="crops")
        side = max(runner.fixed_size[0], 164)  # smaller pictures are pooled whole in any case
        images = [probe_image(side + more, side + 8, denoiser.channels) for more in (0, 60)]
        found = [runner.run_picture(image[0], *level)[None] for image in images]

    def expected(image):
        return denoiser.denoise(image, *(level or [None]), tiles)

    if format.precision == "float32":
        return _compare(what, images, found, expected, TOLERANCE)
    differences = _compare(what, images, found, expected, 1.0)
    error = max(
        np.mean((output - expected(image)) ** 2)
        for image, output in zip(images, found, strict=True)
        if min(image.shape[1:3]) >= _LEAST_SIDE
    )
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
    # NaN fails, too.
    if not all(value <= tolerance for value in differences.values()):
        figures = ", ".join(f"{size}: {value:.3g}" for size, value in differences.items())
        raise CheckFailed(
            f"{what}: differs from Keras by {figures} (largest difference, at most "
            f"{tolerance:.3g} allowed)"
        )
    return differences
