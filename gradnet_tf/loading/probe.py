"""Finds the reading of a published file under which its network denoises.

A file of tensors does not say whether the network predicts the image or the noise, or in which
order its colors are. A wrong reading runs without an error and destroys the picture. So each
candidate denoises a small synthetic picture with white noise of a few levels; the usual reading of
such a file is kept unless another one is clearly better.
"""

import dataclasses
import re
from collections.abc import Iterable
from typing import Any

import numpy as np
from keras import ops

from gradnet_tf.loading.published_networks import PublishedNetwork, Reading
from gradnet_tf.utils.errors import UserError

SIDE = 40
#: Noise levels of the picture; that of the file's name is added.
LEVELS = (5.0, 15.0, 25.0, 50.0)
#: In dB: by how much another reading must be better than the usual one, on average over the
#: levels; what a denoiser gains at its best level; what shows that the layout of the blocks is
#: right; and what a network may lose that hardly changes the picture.
MARGIN, DENOISES, SURELY, HARMLESS = 0.1, 0.5, 3.0, 0.1


@dataclasses.dataclass(frozen=True)
class Probe:
    """The result of a probe.

    Attributes:
        reading: the best reading.
        best_gain: PSNR of the denoised picture over that of the noisy one, at the best level.
        best_level: that level.
        model: the network in float32, with its weights in this reading.
    """

    reading: Reading
    best_gain: float
    best_level: float
    model: Any


def probe(network: PublishedNetwork) -> Probe:
    """Returns the reading under which the network denoises.

    Raises:
        UserError: it denoises in none of them.
    """
    levels = _levels(network.path.stem)
    clean = _picture()
    if network.channels == 1:
        clean = clean.mean(axis=-1, keepdims=True)
    noisy = np.stack(
        [clean + np.random.default_rng(0).normal(0, level / 255, clean.shape) for level in levels]
    ).astype(np.float32)
    sigma = np.float32(levels)
    usual = network.reading
    models = {usual.dilations: network.build(usual)}
    gains: dict[Reading, np.ndarray] = {}

    def try_readings(readings: Iterable[Reading]) -> None:
        for reading in readings:
            if reading.dilations not in models:
                models[reading.dilations] = network.build(reading)
            model = models[reading.dilations]
            network.assign(model, reading)
            given = (noisy, sigma) if model.needs_sigma else (noisy,)
            output = np.asarray(ops.convert_to_numpy(model(*given, training=False)), np.float32)
            if reading.predicts == "residual":
                gains[reading] = _gains(output, noisy, clean)
                continue
            other = "image" if reading.predicts == "noise" else "noise"
            gains[reading] = _gains(output, noisy, clean)
            # What one takes for the image is the input minus what the other takes for it.
            gains[dataclasses.replace(reading, predicts=other)] = _gains(
                noisy - output, noisy, clean
            )

    for reading in (usual, *network.dilated()):
        try_readings(network.orders(reading))
    if max(gain.max() for gain in gains.values()) < SURELY:
        for reading in network.layouts():
            try_readings(network.orders(reading))
    reading = max(gains, key=lambda each: gains[each].mean())
    if gains[reading].mean() < gains[usual].mean() + MARGIN:
        reading = usual
    best = int(np.argmax(gains[reading]))
    gain = float(gains[reading][best])
    if gain < -HARMLESS:
        raise UserError(
            f"{network.path}: the network denoises in none of {len(gains)} readings "
            f"({_tried(gains)}): noise of σ = {levels[best]:g} gets worse by {-gain:.1f} dB.\n"
            "It is another network with the same tensors' shapes, or is not for white noise on "
            "images in [0, 1]."
        )
    model = models[reading.dilations]
    network.assign(model, reading)
    return Probe(reading, gain, levels[best], model)


def _tried(readings: Iterable[Reading]) -> str:
    """Says in what the readings differ."""
    fields = {
        "bgr": "colors RGB or BGR",
        "predicts": "predicting the image or the noise",
        "by_columns": "pixels of blocks by rows or columns",
        "level_first": "level first or last",
        "dilations": "layers dilated as IRCNN's or not",
    }
    readings = list(readings)
    return ", ".join(
        text
        for name, text in fields.items()
        if len({getattr(reading, name) for reading in readings}) > 1
    )


def _levels(stem: str) -> list[float]:
    """Returns the noise levels to try: also those that a file's name may state."""
    named = {float(number) for number in re.findall(r"(?<![\d.])\d{1,2}(?![\d.])", stem)}
    return sorted({*LEVELS, *(level for level in named if 1 <= level <= 75)})[:8]


def _gains(denoised: np.ndarray, noisy: np.ndarray, clean: np.ndarray) -> np.ndarray:
    """Returns the gain in PSNR of each picture, in dB; -inf if there are NaN."""
    axes = (1, 2, 3)
    before = np.mean((np.clip(noisy, 0, 1) - clean) ** 2, axis=axes)
    with np.errstate(invalid="ignore", over="ignore"):
        after = np.mean((np.clip(denoised, 0, 1) - clean) ** 2, axis=axes)
    finite = np.isfinite(denoised).all(axis=axes)
    gain = 10 * np.log10(before / np.maximum(after, 1e-9))
    return np.where(finite, gain, -np.inf)


def _picture() -> np.ndarray:
    """Returns a picture with the colors of a photograph in daylight, float32 (SIDE, SIDE, 3)."""
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32) / SIDE

    def color(red, green, blue):
        return np.broadcast_to(np.float32([red, green, blue]), (SIDE, SIDE, 3))

    picture = color(0.45, 0.62, 0.88) + y[..., None] * color(0.25, 0.2, 0.05)  # sky
    wall = color(0.72, 0.55, 0.38) * (1 - 0.45 * x[..., None])
    leaves = color(0.32, 0.42, 0.16) * (0.8 + 0.4 * np.sin(2 * np.pi * (6 * x + 4 * y)))[..., None]
    face = color(0.86, 0.64, 0.52) * (0.75 + 0.5 * x[..., None])
    parts = (
        (y > 0.3 + 0.2 * x, wall),
        ((x - 0.62) ** 2 + (y - 0.62) ** 2 < 0.05, face),
        ((x < 0.35) & (y > 0.55), leaves),
        ((abs(x - 0.8) < 0.03) & (y > 0.25), color(0.18, 0.13, 0.1)),
        (abs(y - 0.85) < 0.02, color(0.75, 0.16, 0.12)),
    )
    for place, part in parts:
        picture = np.where(place[..., None], part, picture)
    return np.clip(picture, 0, 1).astype(np.float32)
