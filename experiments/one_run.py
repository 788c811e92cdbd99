"""One run of a study: trained by the library's loop, scored on every test set."""

import gc
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from experiments.images import KeptImages, training_batches
from experiments.regions import Regions
from gradnet_tf.errors import NotFiniteError


def train_and_score(
    folder: str | Path,
    config,
    build: Callable,
    images: KeptImages,
    tests: Mapping[str, list],
    label: str,
    regions: bool = False,
    change_batches: Callable | None = None,
) -> dict:
    """Trains a model, or goes on with one, and returns the row of its results.

    Args:
        folder: the run's; see `gradnet_tf.training.loop`.
        config: its `TrainConfig`.
        build: returns a built denoising model.
        images: what to train on.
        tests: by set (name, noisy, clean), see `experiments.images.scored_pairs`.
        label: what the progress line calls the run.
        regions: score the flat and the textured parts of each set too.
        change_batches: called with the batches and the number of the first one; returns those
            to train on.

    Returns:
        `psnr` by set (mean over images of the clipped output, dB; with
        `regions` also "SET flat" and so on, see `experiments.regions`), `steps`,
        `train_seconds` (all invocations), `seconds` (scoring too), `params`
        (ψ's included).

    Raises:
        NotFiniteError: when training diverged or an output is not finite.
        Interrupted: after a signal; the same call goes on.
    """
    import keras

    from gradnet_tf.training.engines import make_engine
    from gradnet_tf.training.loop import run_stage

    # What the runs before left behind; the seed of this one is set with its engine.
    keras.backend.clear_session()
    gc.collect()
    engine = make_engine(config, build)
    guided = engine.model.input_channels > engine.model.channels
    # The loop wants something to validate on; no choice depends on it.
    _, noisy, clean = next(iter(tests.values()))[0]
    size = config.crop_size
    watched = [(with_guide(noisy, clean, guided)[:size, :size], clean[:size, :size])]

    def batches(start_step):
        made = training_batches(images, config, guided, start_step)
        return change_batches(made, start_step) if change_batches else made

    result = run_stage(
        config,
        engine,
        batches,
        watched,
        folder,
        label=label,
    )
    trained = time.monotonic()
    psnr: dict[str, float] = {}
    with engine.averaged():
        for name, pairs in tests.items():
            psnr |= _scores(engine, name, pairs, guided, regions)
    if not all(np.isfinite(value) for value in psnr.values()):
        raise NotFiniteError(f"{label}: an output is not finite; its weights are in {folder}.")
    return {
        "psnr": psnr,
        "steps": result["step"],
        "seconds": round(result["elapsed"] + time.monotonic() - trained, 2),
        "train_seconds": round(result["elapsed"], 2),
        "params": engine.model.count_params(),
    }


def with_guide(noisy: np.ndarray, clean: np.ndarray, guided: bool) -> np.ndarray:
    """Returns the model's input: the noisy image, followed by the clean one if `guided`."""
    return np.concatenate([noisy, clean], axis=-1) if guided else noisy


def _scores(engine, name: str, pairs, guided: bool, regions: bool) -> dict[str, float]:
    from gradnet_tf.metrics import psnr

    outputs = [
        np.clip(engine.predict(with_guide(noisy, clean, guided)[None])[0], 0, 1)
        for _, noisy, clean in pairs
    ]
    cleans = [clean for _, _, clean in pairs]
    scores = [
        float(np.asarray(psnr(clean[None], output[None]))[0])
        for clean, output in zip(cleans, outputs, strict=True)
    ]
    made = {name: float(np.mean(scores))}
    if regions:
        parts = Regions(cleans).psnr(cleans, outputs)
        made |= {f"{name} {region}": score for region, score in parts.items()}
    return made
