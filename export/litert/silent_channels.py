"""Leaves out hidden channels of ResUnits that are always zero: exported files run faster.

Training, Muon's above all, leaves channels of a first convolution that are far below zero before
their ReLU for every input. Without them the unit computes the same, but for the rounding of sums:
its second convolution multiplied them by nothing but zeros. A unit without any other channels adds
only the bias of its second convolution: `τ(f + b)`.
"""

import contextlib
import itertools
from collections.abc import Iterable, Iterator

import numpy as np
from keras import ops

from gradnet_tf.degradations import add_gaussian_noise
from gradnet_tf.images.image_files import to_float
from gradnet_tf.layers.residual import ResUnit

#: Largest number of calibration images, and the side of the crop from each.
IMAGES, CROP = 64, 160
#: Every second crop is also shown darkened, by these factors in turn.
_EXPOSURES = (0.25, 0.06)
#: Noise levels if those of the training are unknown, on the 0-255 scale.
LEVELS = (0.0, 55.0)
#: Of the search for channels that never fire: the most images, and levels beside the training's.
_SEARCHED, _MORE_LEVELS = 4, (10.0, 60.0)

#: A channel is silent if its highest value before the ReLU stays below zero by this part of the
#: spread of its values in the image.
_MARGIN = 0.1
_SIDE = 96


def living_channels(model, images: Iterable[np.ndarray]) -> dict[int, np.ndarray]:
    """Returns the hidden channels that each ResUnit of a network needs, by the unit's `id`.

    Args:
        model: a built network of `gradnet_tf.models`.
        images: float32 (1, h, w, C), such as noisy photographs; pictures of extreme values are
            added to them.

    Returns:
        Indices of the channels behind a unit's first ReLU that are not zero on all images.
    """
    units = _units(model)
    highest = {id(unit): np.full(unit.filters, -np.inf) for unit in units}

    def watched(unit):
        convolve = unit.conv1.call

        def call(features):
            # The activation of `conv1` hides how far below zero its values are.
            before = ops.conv(features, unit.conv1.kernel, padding="same") + unit.conv1.bias
            values = ops.convert_to_numpy(before)
            share = values.max(axis=(0, 1, 2)) / (values.std(axis=(0, 1, 2)) + 1e-6)
            highest[id(unit)] = np.maximum(highest[id(unit)], share)
            return convolve(features)

        return call

    with contextlib.ExitStack() as stack:
        for unit in units:
            unit.conv1.call = watched(unit)
            stack.callback(delattr, unit.conv1, "call")
        for image in (*images, *_extremes(model.channels)):
            model(image)
    return {key: np.flatnonzero(values >= -_MARGIN) for key, values in highest.items()}


def _units(model) -> list[ResUnit]:
    body = getattr(model, "body", None)
    units = [unit for module in getattr(body, "residual_modules", ()) for unit in module.units]
    return [unit for unit in units if not unit.batch_norm]


def narrowed(unit: ResUnit, living: np.ndarray) -> tuple[np.ndarray, ...]:
    """Returns kernel and bias of a unit's convolutions with these hidden channels alone."""
    (kernel1, bias1), (kernel2, bias2) = unit.conv1.get_weights(), unit.conv2.get_weights()
    return kernel1[..., living], bias1[living], kernel2[:, :, living], bias2


def keep_channels(model, living: dict[int, np.ndarray]) -> None:
    """Makes the ResUnits of a network compute with these hidden channels alone."""
    for unit in _units(model):
        if len(living[id(unit)]) < unit.filters:
            unit.call = _call_of(*narrowed(unit, living[id(unit)]))


def _call_of(kernel1, bias1, kernel2, bias2):
    def call(features):
        if not len(bias1):
            return ops.relu(features + bias2)
        hidden = ops.relu(ops.conv(features, kernel1, padding="same") + bias1)
        return ops.relu(ops.conv(hidden, kernel2, padding="same") + bias2 + features)

    return call


def _extremes(channels: int) -> list[np.ndarray]:
    """Returns pictures unlike photographs: constant, saturated, noise far beyond [0, 1]."""
    draw, shape = np.random.default_rng(0), (1, _SIDE, _SIDE, channels)
    blocks = draw.random((1, _SIDE // 4, _SIDE // 4, channels)).repeat(4, 1).repeat(4, 2)
    checks = np.indices(shape).sum(0) % 2
    pictures = [np.zeros(shape), np.ones(shape), blocks, blocks > 0.5, checks]
    pictures += [draw.uniform(low, 1 - low, shape) for low in (0, -1, -15)]
    return [picture.astype(np.float32) for picture in pictures]


def without_silent_channels(model, images, levels: tuple[float, float] | None, seed: int):
    """Returns a network that computes without its silent channels from now on.

    Args:
        model: a built network of `gradnet_tf.models`; it is changed.
        images: set of clean images.
        levels: lowest and highest noise level of the training, on the 0-255 scale.
        seed: seed of crops, levels and noise.
    """
    # Which channels fire depends on what the network is told.
    if getattr(model, "body", None) is not None and not model.needs_sigma:
        crops = _varied_crops(images, levels or LEVELS, seed)
        keep_channels(model, living_channels(model, crops))
    return model


def _varied_crops(images, levels: tuple[float, float], seed: int) -> Iterator[np.ndarray]:
    """Yields float32 (1, h, w, C) crops of up to four images, bright and dark, at many levels.

    Few images are enough, since it matters what fires at all and not how often.
    """
    draw = np.random.default_rng(seed)
    places = np.linspace(0, len(images.names) - 1, min(_SEARCHED, len(images.names)))
    cases = itertools.product((1.0, *_EXPOSURES), {*np.linspace(*levels, 3), *_MORE_LEVELS})
    for place, (exposure, level) in itertools.product(places.astype(int), sorted(cases)):
        clean = _crop(to_float(images.load(int(place))), draw) * np.float32(exposure)
        noise = draw.standard_normal(clean.shape).astype(np.float32)
        yield add_gaussian_noise(clean, noise, level).astype(np.float32)[None]


def _crop(image: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    top, left = (draw.integers(0, max(side - CROP, 0) + 1) for side in image.shape[:2])
    return image[top : top + CROP, left : left + CROP]


def noisy_crops(images, levels: tuple[float, float], seed: int) -> Iterator[np.ndarray]:
    """Yields float32 (1, h, w, C) crops spread over the set and the range of levels.

    Every second one comes once more as in the dark, with the same noise.
    """
    count = min(IMAGES, len(images.names))
    places = np.linspace(0, len(images.names) - 1, count).astype(int)
    draw = np.random.default_rng(seed)
    exposures = itertools.cycle(_EXPOSURES)
    drawn = draw.permutation(np.linspace(*levels, count))
    for index, (place, level) in enumerate(zip(places, drawn, strict=True)):
        clean = _crop(to_float(images.load(int(place))), draw)
        noise = draw.standard_normal(clean.shape).astype(np.float32)
        yield add_gaussian_noise(clean, noise, level).astype(np.float32)[None]
        if index % 2:
            dark = clean * np.float32(next(exposures))
            yield add_gaussian_noise(dark, noise, level).astype(np.float32)[None]
