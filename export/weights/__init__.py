"""Weights that ship, made from a run; `python -m export.weights` is the command."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from export.weights.half import measure_losses, write_half
from export.weights.texts import LICENCES, limits
from gradnet_tf.loading.run_folder import best_weights
from gradnet_tf.models.presets import PRESETS
from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.files import atomic_path, sha256_of, write_json


def ship(
    run: Path,
    name: str,
    metrics: list[str],
    output: Path,
    terms_of: Callable[[str], str],
    find_images: Callable[[str], Any] | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> dict:
    """Writes the weights and the card of a run and returns the card.

    Args:
        run: folder of a finished run.
        name: what the weights will be called.
        metrics: metrics.json files of evaluate.py, measured on the run's best weights.
        output: folder for NAME.weights.h5 and NAME.json.
        terms_of: from the name of the training set to its origin and terms.
        find_images: from the name of a set in `metrics` to the images that decide
            between float16 and float32; without it, float32 ships.
        say: told about each noise level as it is measured.

    Raises:
        UserError: the run has no best weights, does not fit the name, or the
            metrics are of other weights or conditions.
    """
    try:
        config = json.loads((run / "config.json").read_text(encoding="utf-8"))
        source = best_weights(run)
    except (OSError, ValueError) as error:
        raise UserError(f"--run={run}: expected a finished run of train.py ({error}).") from error
    if source is None:
        raise UserError(f"--run={run}: the run has no best weights yet; let it finish.")
    if "naive_model" in config:
        raise UserError(
            f"--run={run}: its naive denoiser is not that of preset {config['preset']}, and a card "
            "names a preset alone.\nGive the run's folder as --model; it can be shared as it is."
        )
    train, channels = config["train"], config["channels"]
    if train.get("degradation"):
        raise UserError(
            f"--run={run}: weights that ship are named by their noise level, and this run was "
            f"trained with --degradation={train['degradation']}.\n"
            "Give the run's folder as --model; it can be shared as it is."
        )
    level = f"s{train['sigma_max']:g}" if train["sigma_min"] == train["sigma_max"] else "blind"
    expected = f"{config['preset']}_{'color' if channels == 3 else 'gray'}_{level}"
    if name != expected:
        raise UserError(f"--name={name}: this run's weights are called {expected}.")
    scores, measured = read_metrics(metrics, sha256_of(source))
    sets = {} if find_images is None else {each: find_images(each) for each in scores}
    target = output / f"{name}.weights.h5"
    float16 = None
    with atomic_path(target) as temporary:
        if sets and write_half(source, temporary):
            float16 = measure_losses(
                config["preset"], channels, (source, temporary), sets, scores, say
            )
        kept = float16 is not None and float16["kept"]
        if not kept:
            temporary.write_bytes(source.read_bytes())
    manifest = json.loads((run / "best" / "manifest.json").read_text(encoding="utf-8"))
    card = {
        "name": name,
        "preset": config["preset"],
        "channels": channels,
        "sigma_min": train["sigma_min"],
        "sigma_max": train["sigma_max"],
        "sha256": sha256_of(target),
        "dtype": "float16" if kept else "float32",
        "parameters": PRESETS[config["preset"]].parameters[channels],
        "bytes": target.stat().st_size,
        "scores": {
            each: noisy
            for each, by_sigma in scores.items()
            if (noisy := {sigma: value for sigma, value in by_sigma.items() if sigma != "0"})
        },
        "clean": {each: by_sigma["0"] for each, by_sigma in scores.items() if "0" in by_sigma},
        "measured": measured,
        "float16": float16,
        "limits": limits(channels, train["sigma_min"], train["sigma_max"]),
        "data": train["dataset"],
        "terms": terms_of(train["dataset"]),
        "licence": LICENCES.get(train["dataset"], "the terms of the training images"),
        "recipe": {
            "command": "python " + " ".join(config["command"]),
            "steps": manifest["step"],
            "validation_psnr": round(manifest["psnr"], 4),
            "versions": config["versions"],
        },
    }
    write_json(output / f"{name}.json", card)
    return card


def read_metrics(paths: list[str], run_sha256: str) -> tuple[dict, dict]:
    """Reads the scores of a run's float32 weights.

    Returns:
        {set: {σ: mean PSNR in dB}} and what they were measured on: the weights'
        sha256, the precision and {set: number of images}.

    Raises:
        UserError: a file that is none of evaluate.py, or of other weights, another
            precision, clipped or real noise, or fewer images than another file's.
    """
    scores: dict[str, dict[str, float]] = {}
    images: dict[str, int] = {}
    for path in paths:
        try:
            metrics = json.loads(Path(path).read_text(encoding="utf-8"))
            source, name = metrics["source"]["sha256"], metrics["dataset"]
            sigma, psnr = metrics["sigma"], metrics["mean"]["psnr"]
            count, precision = len(metrics["images"]), metrics["precision"]
            plain = precision == "float32" and not metrics["clip_noisy"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"--metrics={path}: expected a metrics.json of evaluate.py ({error!r})."
            ) from error
        if source != run_sha256:
            raise UserError(
                f"--metrics={path}: measured on other weights (sha256 {source}, the run's best "
                f"are {run_sha256}).\nEvaluate the run again: python evaluate.py --model=RUN"
            )
        if not plain or sigma is None or psnr is None:
            raise UserError(
                f"--metrics={path}: expected a finite PSNR with added noise, not clipped, in "
                f"float32. Received: precision={precision}, sigma={sigma}, psnr={psnr}, "
                f"clip_noisy={metrics['clip_noisy']}."
            )
        if images.setdefault(name, count) != count:
            raise UserError(
                f"--metrics={path}: {count} images of {name}, another file has {images[name]}.\n"
                "Evaluate all noise levels on the same images."
            )
        scores.setdefault(name, {})[f"{sigma:g}"] = round(psnr, 4)
    measured = {"weights_sha256": run_sha256, "precision": "float32", "images": images}
    return scores, measured
