"""Writes noisy images, to try a denoiser by hand and to show the effect of `--degradation`.

The noise is that of an evaluation of the image with the same seed. Files have 8 bits, so the noisy
values are clipped to [0, 1] and rounded, which nothing else in the project does.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from datasets.sets.catalog import find_dataset
from datasets.sets.image_set import central_crop
from gradnet_tf.degradations import add_gaussian_noise
from gradnet_tf.degradations.compose import parse_degradation
from gradnet_tf.degradations.draws import Draws
from gradnet_tf.degradations.sampling import evaluation_key, evaluation_noise
from gradnet_tf.images.image_files import to_float, to_uint8, write_image
from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.ownership import Inputs, is_recorded, record, require_replaceable


def noisy_uint8(clean: np.ndarray, sigma: float, seed: int, name: str) -> np.ndarray:
    """Adds the noise of an evaluation to uint8 H×W×C; `name` is the file name of the image."""
    noise = evaluation_noise(clean.shape, seed, name)
    return to_uint8(add_gaussian_noise(to_float(clean), noise, sigma))


def write_noisy_photo(
    output: str,
    dataset: str = "sample",
    data_dir: str | None = None,
    split: str | None = None,
    index: int = 0,
    sigma: float = 25.0,
    seed: int = 0,
) -> str:
    """Writes image `index` of a set with noise to `output` and returns the image's name.

    Raises:
        UserError: for a set, split or index that does not exist, σ outside [0, 255], or an
            `output` that exists and was not written by these commands.
    """
    if not 0 <= sigma <= 255:
        raise UserError(
            f"`sigma` must be in [0, 255], on the 0-255 scale. Received: sigma={sigma:g}."
        )
    images = find_dataset(dataset, data_dir, split)
    _require_in("index", index, 0, len(images) - 1)
    name = images.names[index]
    _require_own_picture(output, images)
    _write_picture(output, images, noisy_uint8(images.load(index), sigma, seed, name))
    return name


def _require_in(name: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise UserError(f"`{name}` must be from {least} to {most}. Received: {name}={value}.")


def _require_own_picture(output: str, images) -> None:
    """Raises if a file would be replaced that these commands did not write."""
    inputs = Inputs(getattr(images, "paths", None) or ())
    require_replaceable(output, f"--output={output}", is_recorded, inputs)


def _write_picture(output: str, images, picture: np.ndarray) -> None:
    _require_own_picture(output, images)
    write_image(output, picture)
    try:
        record(output)
    except OSError as error:
        raise UserError(f"cannot write beside {output}: {error.strerror or error}.") from error


EXAMPLES = (
    "gaussian(25)",
    "poisson_gaussian(shot=0.02)",
    "poisson_gaussian(shot=0.01,read=5)+jpeg(60)",
    "correlated(sigma=25,length=1.5)",
    "correlated(sigma=25,length=0,common=1)",
    "camera",
    "photograph(iso=51200,push=3)",
    "gaussian(25)+jpeg(30)",
    "gaussian(25)+round",
)
_COLUMNS = 5
_TEXT, _LINE_HEIGHT, _FONT = 0.45, 16, cv2.FONT_HERSHEY_SIMPLEX


def panels(clean: np.ndarray, specs: Sequence[str], seed: int, name: str) -> list[tuple]:
    """Returns (text, float32 crop) for the clean crop and each degradation of it.

    Args:
        clean: float32 (H, W, C) in [0, 1].
        specs: values of `--degradation`.
        seed: seed of the noise.
        name: file name of the image; its stem is part of the seed.
    """
    found = [("clean", clean)]
    for spec in specs:
        degraded = parse_degradation(spec).apply(clean, Draws(evaluation_key(seed, name)))
        error = float(np.mean((degraded - clean) ** 2))
        score = f"{-10 * np.log10(error):.2f} dB" if error else "no change"
        found.append((f"{score}\n{spec}", degraded))  # a long text is cut at its end
    return found


def _lines(text: str, width: int) -> list[str]:
    """Splits a text at newlines, and where it is wider than `width` pixels."""
    lines = [""]
    for character in text:
        if character == "\n":
            lines.append("")
            continue
        longer = lines[-1] + character
        if cv2.getTextSize(longer, _FONT, _TEXT, 1)[0][0] > width - 8:
            lines.append("")
        lines[-1] += character
    return lines


def contact_sheet(found: Sequence[tuple], zoom: int) -> np.ndarray:
    """Arranges pictures in rows with their texts below; uint8 (H, W, 3).

    Args:
        found: pairs (text, float32 crop); all crops have the same size.
        zoom: integer enlargement.
    """
    tiles = []
    for text, crop in found:
        tile = to_uint8(crop).repeat(zoom, axis=0).repeat(zoom, axis=1)
        tile = np.repeat(tile, 3 // tile.shape[-1], axis=-1)
        label = np.full((3 * _LINE_HEIGHT + 8, tile.shape[1], 3), 255, np.uint8)
        for number, line in enumerate(_lines(text, tile.shape[1])[:3]):
            place = (4, _LINE_HEIGHT * (number + 1))
            cv2.putText(label, line, place, _FONT, _TEXT, (0, 0, 0), 1, cv2.LINE_AA)
        tile = np.concatenate([tile, label])
        tiles.append(np.pad(tile, ((4, 4), (4, 4), (0, 0)), constant_values=255))
    while len(tiles) % _COLUMNS and len(tiles) > _COLUMNS:
        tiles.append(np.full_like(tiles[0], 255))
    rows = [tiles[start : start + _COLUMNS] for start in range(0, len(tiles), _COLUMNS)]
    return np.concatenate([np.concatenate(row, axis=1) for row in rows])


def show_degradations(
    output: str,
    specs: Sequence[str] = EXAMPLES,
    dataset: str = "sample",
    data_dir: str | None = None,
    split: str | None = None,
    index: int = 0,
    crop: int = 128,
    zoom: int = 2,
    seed: int = 0,
) -> int:
    """Writes the contact sheet of the central crop of image `index`; returns its number of panels.

    Raises:
        UserError: for a set, index or degradation that does not exist, an invalid size, or an
            `output` that exists and was not written by these commands.
    """
    images = find_dataset(dataset, data_dir, split)
    _require_in("index", index, 0, len(images) - 1)
    _require_in("crop", crop, 1, 4096)
    _require_in("zoom", zoom, 1, 16)
    _require_own_picture(output, images)
    clean = to_float(central_crop(images.load(index), crop))
    found = panels(clean, specs or EXAMPLES, seed, images.names[index])
    _write_picture(output, images, contact_sheet(found, zoom))
    return len(found)
