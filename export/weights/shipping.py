"""Makes shipped weights from a run: their file, in float16 if that loses nothing, and card."""

import json
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from gradnet_tf.degradations.compose import parse_degradation
from gradnet_tf.degradations.noise_models import Camera, Photograph
from gradnet_tf.denoiser import Denoiser
from gradnet_tf.evaluation.evaluate_set import EvaluateConfig, evaluate
from gradnet_tf.loading.run_folder import best_weights
from gradnet_tf.models.presets import PRESETS
from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.files import atomic_path, atomic_write, sha256_of, write_json
from gradnet_tf.utils.framework_start import quiet_native_logs
from gradnet_tf.utils.ownership import is_json_with, read_object, require_replaceable
from gradnet_tf.weights import find_card
from gradnet_tf.weights.hub_card import hub_card


def ship(
    run: Path,
    name: str,
    metrics: list[str],
    output: Path,
    terms_of: Callable[[str], str],
    find_images: Callable[[str], Any] | None = None,
    log: Callable[[str], None] = lambda line: None,
) -> dict:
    """Writes the weights and the card of a run and returns the card.

    Args:
        run: folder of a finished run.
        name: name of the weights.
        metrics: metrics.json files of evaluate.py for the run's best weights.
        output: folder for NAME.weights.h5, NAME.json and the model card NAME.md.
        terms_of: maps the name of the training set to its origin and terms.
        find_images: maps the name of a set in `metrics` to the images that decide between float16
            and float32; without it, float32 is used.
        log: called with a line for each measured noise level.

    Raises:
        UserError: the run has no best weights, does not match the name, or the metrics are of other
            weights or conditions.
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
            f"--run={run}: its naive denoiser is not that of preset {config['preset']}, but a card "
            "names only a preset.\nUse the run's folder as --model; it can be shared as it is."
        )
    train, channels = config["train"], config["channels"]
    level = level_of(train)
    if level is None:
        raise UserError(
            f"--run={run}: shipped weights are named by their noise: a level, blind, or real for a "
            f"camera's. This run was trained with --degradation={train['degradation']}.\n"
            "Use the run's folder as --model; it can be shared as it is."
        )
    expected = f"{config['preset']}_{'color' if channels == 3 else 'gray'}_{level}"
    # Weights under other terms than those of the same name say so.
    known = {expected} | (
        {f"{expected}_bsds500"} if "bsds500" in _names(train["dataset"]) else set()
    )
    if name not in known:
        raise UserError(f"--name={name}: expected {' or '.join(sorted(known))} for this run.")
    scores, measured = read_metrics(metrics, sha256_of(source))
    sets = {} if find_images is None else {each: find_images(each) for each in scores}
    target = output / f"{name}.weights.h5"

    def check_place():
        for path in (target, output / f"{name}.json", output / f"{name}.md"):
            require_replaceable(path, f"--output={output}", lambda _: is_shipped(output, name))

    check_place()
    float16, mark = None, unfinished(output, name)

    def announce():
        check_place()
        mark.touch()

    with atomic_path(target, announce) as temporary:
        if sets and write_half(source, temporary):
            float16 = measure_losses(
                config["preset"], channels, (source, temporary), sets, scores, log
            )
        kept = float16 is not None and float16["kept"]
        if not kept:
            temporary.write_bytes(source.read_bytes())
    manifest = json.loads((run / "best" / "manifest.json").read_text(encoding="utf-8"))
    origins, teachers = _origin(train)
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
        "limits": limits(channels, train["sigma_min"], train["sigma_max"], train["dataset"]),
        "noise": (train.get("degradation") or "real") if level == REAL else None,
        "data": train["dataset"],
        "terms": terms_of(train["dataset"]),
        # With those of what the weights started from, so that no step of a chain forgets them.
        "origins": ",".join(sorted(origins)),
        **({"teachers": ", ".join(sorted(teachers))} if teachers else {}),
        "licence": licence_of(train),
        "recipe": {
            # The last one has the whole schedule of a run that was continued.
            "command": shlex.join(
                ["python", *(config.get("continued") or [config["command"]])[-1]]
            ),
            "steps": manifest["step"],
            "validation_psnr": round(manifest["psnr"], 4),
            "versions": config["versions"],
        },
    }
    # The weights are new already, so that the old card no longer says theirs.
    card_path = output / f"{name}.json"
    require_replaceable(
        card_path, f"--output={output}", lambda path: is_json_with(path, *_OF_A_CARD)
    )
    write_json(card_path, card)
    # Made of the JSON card alone, so that an earlier one holds nothing of its own.
    atomic_write(output / f"{name}.md", hub_card(card))
    mark.unlink(missing_ok=True)
    return card


#: The level in the name of weights for a camera's noise, and the stages that make such noise.
REAL, _CAMERA_STAGES = "real", (Camera, Photograph)


def level_of(train: Mapping[str, Any]) -> str | None:
    """Returns what names the noise of a run's `train` settings; `None` for other degradations."""
    if train.get("real_noise"):
        return REAL
    if train["sigma_max"] is None:
        chains = parse_degradation(train["degradation"]).chains
        stages = [stage for chain in chains for stage in chain.stages]
        return REAL if any(isinstance(stage, _CAMERA_STAGES) for stage in stages) else None
    if train["sigma_min"] == train["sigma_max"]:
        return f"s{train['sigma_max']:g}"
    return "blind"


_OF_A_CARD = ("name", "preset", "channels", "sha256", "recipe")


def is_shipped(folder: Path, name: str) -> bool:
    """Whether the weights and the card of a name are those that an earlier run of this wrote."""
    card, path = read_object(folder / f"{name}.json"), folder / f"{name}.weights.h5"
    if unfinished(folder, name).exists():
        return True
    whole = card.keys() >= set(_OF_A_CARD) and path.is_file()
    return whole and sha256_of(path) == card["sha256"]


def unfinished(folder: Path, name: str) -> Path:
    """Returns the mark that the files of a name are being replaced, and differ from their card.

    If the work ends in between, the next call knows them for its own.
    """
    return folder / f".{name}.unfinished"


def read_metrics(paths: list[str], run_sha256: str) -> tuple[dict, dict]:
    """Reads the scores of a run's float32 weights.

    Returns:
        {set: {σ, or `REAL`: mean PSNR in dB}}, and the weights' sha256, the precision and
        {set: number of images}.

    Raises:
        UserError: a file that is not of evaluate.py, or of other weights, another precision,
            clipped noise, another degradation, or another number of images of the set.
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
            plain = plain and not metrics.get("self_ensemble")
            plain = plain and metrics.get("pooling", "auto") == "auto"
            real = metrics.get("protocol", {}).get("noise") == REAL
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"--metrics={path}: expected a metrics.json of evaluate.py ({error!r})."
            ) from error
        if source != run_sha256:
            raise UserError(
                f"--metrics={path}: measured on other weights (sha256 {source}, the run's best "
                f"are {run_sha256}).\nEvaluate the run again: python evaluate.py --model=RUN"
            )
        if not plain or (sigma is None and not real) or psnr is None:
            raise UserError(
                f"--metrics={path}: expected a finite PSNR with white or real noise, not clipped, "
                "in float32, without self-ensemble, pooled by itself. Received: "
                f"precision={precision}, sigma={sigma}, psnr={psnr}, "
                f"clip_noisy={metrics['clip_noisy']}, "
                f"self_ensemble={metrics.get('self_ensemble', False)}, "
                f"pooling={metrics.get('pooling', 'auto')}."
            )
        if images.setdefault(name, count) != count:
            raise UserError(
                f"--metrics={path}: {count} images of {name}, another file has {images[name]}.\n"
                "Evaluate all noise levels on the same images."
            )
        scores.setdefault(name, {})[REAL if real else f"{sigma:g}"] = round(psnr, 4)
    measured = {"weights_sha256": run_sha256, "precision": "float32", "images": images}
    return scores, measured


#: float16 is used if it loses less than this at every noise level.
MAX_LOSS_DB = 0.005
#: The same for clean images, whose result differs from them by less than half a level of 255 on
#: average: there a change of 1e-4 is a hundredth of a decibel.
MAX_CLEAN_LOSS_DB = 0.05


def write_half(source: Path, target: Path) -> bool:
    """Copies a `.weights.h5` file with its float32 arrays rounded to float16.

    Keras still loads the copy into float32 variables.

    Returns:
        Whether every value is within float16's range.
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


def _most_loss(sigma: str) -> float:
    return MAX_CLEAN_LOSS_DB if sigma == "0" else MAX_LOSS_DB


def measure_losses(
    preset: str,
    channels: int,
    files: tuple[Path, Path],
    sets: Mapping[str, Any],
    scores: Mapping[str, Mapping[str, float]],
    log: Callable[[str], None],
) -> dict[str, Any]:
    """Compares the float32 weights and their rounded copy at the sets and levels of `scores`.

    Returns:
        `kept` (whether every loss is below its limit), both limits, `images` ({set: number})
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
            level = None if sigma == REAL else float(sigma)
            config = EvaluateConfig(dataset=sets[name].name, sigma=level)
            means = [evaluate(each, sets[name], config)["mean"]["psnr"] for each in (whole, half)]
            loss = None if None in means else round(means[0] - means[1], 6)
            row[sigma] = loss
            log(f"{sets[name].name}, sigma {sigma}: float16 loses {loss} dB")
    every = [item for row in losses.values() for item in row.items()]
    kept = all(loss is not None and loss < _most_loss(sigma) for sigma, loss in every)
    limits = {"limit_db": MAX_LOSS_DB, "limit_clean_db": MAX_CLEAN_LOSS_DB}
    return {"kept": kept, **limits, "images": images, "loss_db": losses}


#: The licence of weights by training set.
LICENCES = {
    "bsds500": "non-commercial research and education (the terms of BSDS500, the training images)",
    "sample": "the terms of the sample photographs, see datasets/sets/sample.py",
}

#: Sets without restrictions for weights: CC0 and CC-BY photographs, and generated drawings.
FREE_SETS = {"free_photos_cc_by", "drawings"}
_ALL_FREE = "Apache-2.0, like the code; commercial use is allowed."
_OURS_FREE = "Apache-2.0 for what this project contributes."
FREE_LICENCE = (
    f"{_ALL_FREE} Trained on photographs under CC0 and CC-BY, whose authors docs/free_photos.md "
    "credits: pass that page on"
)
RENOIR_LICENCE = (
    f"{_OURS_FREE} Trained on photographs under CC0 and CC-BY, whose authors docs/free_photos.md "
    "credits (pass that page on), and on 29 scenes of RENOIR, for whose photographs no terms are "
    "stated: whether these reach the weights is yours to judge"
)
_TEACHERS = (
    ". Trained on estimates of other networks, too ({}): whether their terms reach the weights is "
    "yours to judge"
)


def licence_of(train: Mapping[str, Any]) -> str:
    """Returns the licence of weights.

    Args:
        train: `dataset`, `teacher`, `init_from` and `naive` of their training. What the weights
            started from, a naive denoiser that was given, and what taught them count, too, if they
            are known here: shipped weights, and the folders of runs.
    """
    names, teachers = _origin(train)
    if teachers:
        licence = _licence_of_sets(names).replace(_ALL_FREE, _OURS_FREE)
        return licence + _TEACHERS.format(", ".join(sorted(teachers)))
    return _licence_of_sets(names)


def _licence_of_sets(names: set[str]) -> str:
    if names <= FREE_SETS and "free_photos_cc_by" in names:
        return FREE_LICENCE
    if {"renoir", "free_photos_cc_by"} <= names <= FREE_SETS | {"renoir"}:
        return RENOIR_LICENCE
    restricted = names - FREE_SETS
    only = restricted.pop() if len(restricted) == 1 else None
    return LICENCES.get(only, "the terms of the training images")


def _origin(train: Mapping[str, Any]) -> tuple[set[str], set[str]]:
    """Returns the training sets of weights, and the networks of others that taught them.

    The first set has what the weights started from, too, where nothing is known of it.
    """
    names, teachers = _names(train["dataset"]), set()
    parts = [train.get("init_from"), train.get("naive")]
    for source in filter(None, [*parts, *_split(train.get("teacher"))]):
        card = find_card(source)
        if card:
            earlier = {"dataset": card.get("origins") or card["data"]}
            teachers |= set(_split(card.get("teachers")))
        else:
            earlier = read_object(Path(source) / "config.json").get("train")
        if earlier:
            more_names, more_teachers = _origin(earlier)
            names, teachers = names | more_names, teachers | more_teachers
        elif source in parts:
            names = names | {source}
        else:
            teachers.add(Path(source).name)
    return names, teachers


def _split(text: str | None) -> list[str]:
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def _names(dataset: str) -> set[str]:
    """Returns the names of the sets in a value of `--dataset`."""
    return {part.split(":")[0] for part in dataset.split(",")}


def limits(
    channels: int, sigma_min: float | None, sigma_max: float | None, dataset: str
) -> list[str]:
    """Returns sentences about the limits of a network; without levels, of one for real noise."""
    if sigma_max is None:
        level = (
            "Trained on simulated noise of cameras and raw converters, and weak white noise; "
            "strong white noise is removed better by the blind weights."
        )
    elif sigma_min == sigma_max:
        level = (
            f"Trained only on white Gaussian noise of sigma {sigma_max:g} (0-255 scale): weaker "
            "noise and clean images lose detail, stronger noise mostly remains."
        )
    else:
        level = (
            f"Trained on white Gaussian noise of sigma {sigma_min:g} to {sigma_max:g} (0-255 "
            "scale), independent in every pixel and channel; stronger noise mostly remains."
        )
    untested = "scans, raw files" if "drawings" in dataset else "drawings, text, scans, raw files"
    grain = "Coarse, correlated grain of enlarged or strongly compressed photographs"
    if sigma_max is None:
        grain = "Grain coarser than a few pixels, as in strongly enlarged photographs,"
    noise = "for white noise" if sigma_max is None else "and noise"
    return [
        level,
        f"{grain} mostly remains.",
        f"Not tested on images unlike the training photographs: {untested}.",
        f"Takes RGB. A gray image goes through the gray weights of the same preset {noise} where "
        "these ship; otherwise it is replicated to three channels and the result averaged."
        if channels == 3
        else "Takes gray; the channels of a color image are denoised independently.",
    ]
