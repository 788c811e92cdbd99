r"""Turns a run into weights that ship: NAME.weights.h5 and its card, NAME.json.

Example:
  python -m export.weights --run=runs/small --name=gradnet_small_color_s25 \
      --metrics=out/cbsd68/metrics.json
The scores in the card are those of the metrics files; each must be of this very run.
"""

import json
from pathlib import Path

from absl import flags

from gradnet_tf import weights
from gradnet_tf.command import run_script
from gradnet_tf.errors import UserError
from gradnet_tf.files import atomic_path, sha256_of, write_json
from gradnet_tf.presets import PRESETS
from gradnet_tf.run_folder import best_weights

FLAGS = flags.FLAGS
LICENCES = {
    "bsds500": "non-commercial research and education (the terms of BSDS500, the training images)",
    "sample": "the terms of the sample photographs, see datasets/sample.py",
}

flags.DEFINE_string("run", None, "folder of a finished run of train.py")
flags.DEFINE_string("name", None, "PRESET_color|gray_blind|sNN")
flags.DEFINE_list("metrics", [], "metrics.json files of evaluate.py for this run")
flags.DEFINE_string("output", str(weights.FOLDER), "folder for the two files")


def _scores(paths: list[str], run_sha256: str) -> dict:
    """Reads {set: {σ: mean PSNR}} and refuses figures of other weights."""
    scores: dict = {}
    for path in paths:
        try:
            metrics = json.loads(Path(path).read_text(encoding="utf-8"))
            source = metrics["source"]["sha256"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"--metrics={path}: expected a metrics.json of evaluate.py ({error!r})."
            ) from error
        if source != run_sha256:
            raise UserError(
                f"--metrics={path}: measured on other weights (sha256 {source}, the run's best "
                f"are {run_sha256}).\nEvaluate the run again: python evaluate.py --model=RUN"
            )
        if metrics["sigma"] is None:
            raise UserError(
                f"--metrics={path}: scores on a card stand by their noise level, and these have "
                "none (real noise, or a degradation).\nGive scores of evaluate.py --sigma."
            )
        row = scores.setdefault(metrics["dataset"], {})
        row[f"{metrics['sigma']:g}"] = round(metrics["mean"]["psnr"], 4)
    return scores


def ship(run: Path, name: str, metrics: list[str], output: Path) -> dict:
    """Writes the weights and the card of a run and returns the card.

    Raises:
        UserError: the run has no best weights, or does not fit the name.
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
    target = output / f"{name}.weights.h5"
    scores = _scores(metrics, sha256_of(source))
    with atomic_path(target) as temporary:
        temporary.write_bytes(source.read_bytes())
    manifest = json.loads((run / "best" / "manifest.json").read_text(encoding="utf-8"))
    card = {
        "name": name,
        "preset": config["preset"],
        "channels": channels,
        "sigma_min": train["sigma_min"],
        "sigma_max": train["sigma_max"],
        "sha256": sha256_of(target),
        "parameters": PRESETS[config["preset"]].parameters[channels],
        "bytes": target.stat().st_size,
        "scores": scores,
        "data": train["dataset"],
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


def main() -> None:
    """Ships one run's weights."""
    for flag in ("run", "name"):
        if not FLAGS[flag].value:
            raise UserError(f"--{flag} is required. See: python -m export.weights --help")
    card = ship(Path(FLAGS.run), FLAGS.name, FLAGS.metrics, Path(FLAGS.output))
    print(f"{card['name']}: {card['bytes']} bytes, scores {json.dumps(card['scores'])}")


if __name__ == "__main__":
    run_script(main, __doc__)
