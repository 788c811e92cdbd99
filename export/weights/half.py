"""Weights as float16 arrays, and what that costs in decibels."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from gradnet_tf.denoiser import Denoiser
from gradnet_tf.evaluation.evaluate_set import EvaluateConfig, evaluate
from gradnet_tf.utils.quiet import quiet_native_logs

#: float16 ships where it loses less than this at every noise level.
MAX_LOSS_DB = 0.005


def write_half(source: Path, target: Path) -> bool:
    """Copies a `.weights.h5` file with its float32 arrays rounded to float16.

    Keras assigns a file's arrays to variables of the model's own dtype, so the
    copy loads as any other file does, into float32 variables.

    Returns:
        Whether every value is within float16's range; the copy is of no use otherwise.
    """
    with h5py.File(source, "r") as old, h5py.File(target, "w") as new:
        return _copy(old, new)


def _copy(old: h5py.Group, new: h5py.Group) -> bool:
    new.attrs.update(old.attrs)
    finite = True
    for name, item in old.items():
        if isinstance(item, h5py.Group):
            finite &= _copy(item, new.create_group(name))
            continue
        values = item[()]
        if values.dtype == np.float32:
            with np.errstate(over="ignore"):
                values = values.astype(np.float16)
            finite &= bool(np.isfinite(values).all())
        new.create_dataset(name, data=values).attrs.update(item.attrs)
    return finite


def measure_losses(
    preset: str,
    channels: int,
    files: tuple[Path, Path],
    sets: Mapping[str, Any],
    scores: Mapping[str, Mapping[str, float]],
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Compares two files of weights on the sets and at the noise levels of `scores`.

    Args:
        preset: name of the architecture.
        channels: 3 or 1.
        files: the float32 weights and their rounded copy.
        sets: images by the name of a set in `scores`.
        scores: {set: {σ: …}}; the levels are taken from it.
        say: told a line per level.

    Returns:
        `kept` (whether every loss is below the limit), `limit_db`, `images` ({set: number})
        and `loss_db` ({set: {σ: dB}}, below zero for a gain; `None` where it is not finite).
    """
    with quiet_native_logs():
        from gradnet_tf.runtimes.keras_runtime import runner_from_weights

        whole, half = (
            Denoiser(runner_from_weights(preset, channels, "float32", path), kind)
            for path, kind in zip(files, ("float32", "float16"), strict=True)
        )
    losses: dict[str, dict[str, float | None]] = {}
    images = {}
    for name, levels in scores.items():
        images[sets[name].name] = len(sets[name].names)
        row = losses.setdefault(sets[name].name, {})
        for sigma in levels:
            config = EvaluateConfig(dataset=sets[name].name, sigma=float(sigma))
            means = [evaluate(each, sets[name], config)["mean"]["psnr"] for each in (whole, half)]
            loss = None if None in means else round(means[0] - means[1], 6)
            row[sigma] = loss
            say(f"{sets[name].name}, sigma {sigma}: float16 loses {loss} dB")
    every = [loss for row in losses.values() for loss in row.values()]
    kept = all(loss is not None and loss < MAX_LOSS_DB for loss in every)
    return {"kept": kept, "limit_db": MAX_LOSS_DB, "images": images, "loss_db": losses}
