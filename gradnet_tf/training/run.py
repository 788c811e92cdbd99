"""A training run: its folder with config.json, the naive stage, the main stage."""

import contextlib
import dataclasses
import datetime
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from gradnet_tf.loading.run_folder import MOST_CONFIG, best_weights, has_weights, held
from gradnet_tf.models.presets import build_model, get_preset
from gradnet_tf.training.checkpoints import CheckpointStore
from gradnet_tf.training.config import TrainConfig
from gradnet_tf.training.engines.choose_engine import make_engine, seed_initial_values
from gradnet_tf.training.loop import run_stage
from gradnet_tf.training.naive import given_naive, with_estimates
from gradnet_tf.training.stage import warn_of_warmup
from gradnet_tf.training.widening import widened_weights
from gradnet_tf.training.workers.cluster import cluster_for
from gradnet_tf.utils.console import note
from gradnet_tf.utils.containers import read_json
from gradnet_tf.utils.errors import Stopped, UserError
from gradnet_tf.utils.files import write_json
from gradnet_tf.utils.ownership import read_object
from gradnet_tf.utils.versions import installed_versions

# Fields that may change between invocations of a run, because they do not affect the weights.
_FREE_FIELDS = {
    "workdir",
    "workers",
    "log_every",
    "checkpoint_every",
    "validate_every",
    "worker_timeout",
    "nan_limit",
}
# Fields that may grow when a run is continued; the schedule then stretches.
# With the paper's recipe the naive stage has as many steps; once it is over it stays as it is.
_GROWING_FIELDS = ("steps", "naive_steps", "time_budget")
# Files and folders that training replaces or removes.
_PARTS = ("config.json", "log.jsonl", "checkpoints", "best", "naive", "teacher")
# A time budget that every stage has used up.
_SPENT = 1e-9
# Values of runs from before a field was added, if its default is that of the preset's recipe.
_BEFORE = {"optimizer": "adam"}


def _train_of(path: Path) -> dict:
    """Returns the configuration in a run's config.json."""
    try:
        train = read_json(path, MOST_CONFIG)["train"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"--workdir={path.parent}: {path} cannot be read ({type(error).__name__}: "
            f"{str(error)[:100]}).\nExpected a run of train.py; give another --workdir."
        ) from error
    if not isinstance(train, dict):
        raise UserError(f"--workdir={path.parent}: {path} is no run's.\nGive another --workdir.")
    return train


def _as_given(fields: dict) -> dict:
    """Returns a configuration's fields with one `sigma`, like the flag, instead of two."""
    low, high = fields["sigma_min"], fields["sigma_max"]
    sigma = low if low == high else f"{low:g} to {high:g}"
    return {"sigma": sigma} | {
        name: value for name, value in fields.items() if name not in ("sigma_min", "sigma_max")
    }


def require_run_folder(workdir: str | os.PathLike) -> None:
    """Checks that training would not replace files of a folder that is not a run's.

    A run's folder is recognized by its config.json.

    Raises:
        UserError: names the first such file.
    """
    workdir = Path(workdir)
    content = read_object(workdir / "config.json")
    if isinstance(content.get("train"), dict) and "preset" in content:
        return
    for path in (workdir / name for name in _PARTS):
        plain = path.is_dir() and not path.is_symlink()
        if any(path.iterdir()) if plain else os.path.lexists(path):
            raise UserError(
                f"--workdir={workdir} is not a run of this project, and training would replace "
                f"{path} or remove files in it.\nUse another --workdir."
            )


def _free_fields(config: TrainConfig) -> set[str]:
    """Returns these fields; the schedule "plateau" falls by what the validations say."""
    return _FREE_FIELDS - ({"validate_every"} if config.schedule == "plateau" else set())


def prepare_workdir(
    config: TrainConfig, info: dict | None = None, naive_model: dict | None = None
) -> Path:
    """Creates the run's folder with config.json, or checks that it belongs to this config.

    Args:
        config: the run's configuration.
        info: additional information to record, for instance the dataset's file count.
        naive_model: architecture of the naive denoiser if it differs from the preset's.

    Raises:
        UserError: the folder has a run with another configuration (the message lists the
            differences), or other files.
    """
    workdir = Path(config.workdir)
    require_run_folder(workdir)
    path = workdir / "config.json"
    fields = json.loads(json.dumps(config.to_dict()))
    if path.exists():
        # Runs from before a field was added have its default, in the form of JSON.
        defaults = {field.name: field.default for field in dataclasses.fields(config)}
        defaults = json.loads(json.dumps({**defaults, **_BEFORE}))
        earlier = _train_of(path)
        if config.real_noise and "real_noise" not in earlier:
            # Of a version that recorded a level that was not used.
            earlier |= {"real_noise": True, "sigma_min": None, "sigma_max": None}
        there = _as_given({**defaults, **earlier})
        different = [
            f"{name}: {there.get(name)!r} there, {value!r} now"
            for name, value in _as_given(fields).items()
            if name not in _free_fields(config) and there.get(name) != value
        ]
        names = [each.partition(":")[0] for each in different]
        if different and has_weights(workdir) and all(_grows(config, there, n) for n in names):
            return _continue(path, fields, different)
        if different and has_weights(workdir):
            raise UserError(
                f"--workdir={config.workdir} has a run with another configuration "
                f"({'; '.join(different)}).\n"
                "Use the same flags to resume (--steps or --time_budget may be larger), or another "
                f"--workdir (and --init_from={config.workdir} to train its weights further)."
            )
        if not different:
            return workdir
        # A run that never started left this file.
    shutil.rmtree(workdir / "teacher", ignore_errors=True)  # targets of such a run
    try:
        write_json(
            path,
            {
                "preset": config.preset,
                "channels": config.channels,
                "train": fields,
                **({"naive_model": naive_model} if naive_model else {}),
                "facts": info or {},
                "command": [os.path.basename(sys.argv[0]), *sys.argv[1:]],
                "versions": installed_versions(),
                "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            },
        )
    except OSError as error:
        raise UserError(
            f"--workdir={config.workdir} cannot be written: {error.strerror}.\n"
            "Use a folder that can be created."
        ) from error
    return workdir


def _grows(config: TrainConfig, there: dict, name: str) -> bool:
    """Whether a run may be continued with another value of a field.

    Epochs fix the steps, and only the chief of several workers knows what a run had before.
    """
    if name not in _GROWING_FIELDS or config.epochs or config.strategy == "multiworker":
        return False
    before, now = there.get(name), getattr(config, name)
    return now is None or (before is not None and now > before)


def _continue(path: Path, fields: dict, different: list[str]) -> Path:
    """Records that a run is continued for longer; returns its folder."""
    content = read_json(path, MOST_CONFIG)
    commands = [*content.get("continued", []), [os.path.basename(sys.argv[0]), *sys.argv[1:]]]
    write_json(path, content | {"train": fields, "continued": commands})
    note(
        f"the run is continued ({'; '.join(different)}); the learning rate follows the longer "
        "schedule, so that it may rise again"
    )
    return path.parent


def _naive_stage(config, make_batches, validation, workdir, sets) -> tuple[Path | None, float]:
    """Trains the naive denoiser in RUN/naive; returns its best weights and the seconds spent."""
    preset = get_preset(config.preset)
    if preset.naive is None or config.naive or config.naive_steps == 0:
        return None, 0.0
    stage_config = dataclasses.replace(
        config,
        preset=preset.naive,
        steps=config.naive_steps,
        gradient_loss_weight=0.0,  # the naive denoiser is trained with plain L1
        joint=False,
        init_from=None,
        teacher=None,
        teacher_share=TrainConfig.teacher_share,
        teacher_turns=TrainConfig.teacher_turns,
        teacher_crops=None,
    )
    engine = make_engine(
        stage_config, lambda: build_model(preset.naive, config.channels, config.precision)
    )
    budget = config.time_budget * config.naive_share if config.time_budget else None
    if CheckpointStore(workdir).last_path():
        budget = _SPENT  # The main stage has begun with this naive denoiser; more time is for it.
    result = run_stage(
        stage_config, engine, make_batches, validation, workdir / "naive", budget, "naive", sets
    )
    if result["stopped"]:
        raise Stopped(
            f"stopped by {result['stopped']} after the naive stage; a checkpoint is written.\n"
            "The same command goes on with the main stage."
        )
    return _trained_naive(workdir), result["elapsed"]


def _trained_naive(workdir: Path) -> Path | None:
    """Returns the best weights of the naive stage; `None` if a checkpoint of the main one has them.

    Raises:
        UserError: they are missing or damaged, and there is no checkpoint.
    """
    try:
        found = best_weights(workdir / "naive")
    except (OSError, ValueError):
        found = None
    if found is None and not CheckpointStore(workdir).can_restore():
        raise UserError(
            f"{workdir / 'naive' / 'best'} is missing or damaged, and the main stage needs it.\n"
            f"Remove {workdir / 'naive'} to train the naive denoiser again."
        )
    return found


def initial_weights(config, given=None) -> list[np.ndarray] | None:
    """Returns the weights of `--init_from` in Keras' order; `None` without the flag.

    Those of a narrower GradNet are widened: see `widened_weights`.

    Args:
        config: a `TrainConfig`.
        given: the naive denoiser if it is not the preset's own (`training.naive.GivenNaive`).

    Raises:
        UserError: an unknown name, or a different network.
    """
    if not config.init_from:
        return None
    from gradnet_tf.denoiser import load_denoiser

    denoiser = load_denoiser(config.init_from, flag="init_from", runtime="keras")
    flag = f"--init_from={config.init_from}"
    if denoiser.model is None:
        raise UserError(
            f"{flag}: not a network that can be trained further.\n"
            "Expected the name of weights, a run folder or a .keras file."
        )
    naive = given.build("float32") if given else None
    seed_initial_values(config.seed)
    fresh = build_model(config.preset, config.channels, naive=naive, joint=config.joint)
    weights = widened_weights(denoiser.model, fresh) or denoiser.model.get_weights()
    if getattr(fresh, "takes_level", False) and not getattr(denoiser.model, "takes_level", False):
        # A network that is not told the level is one that ignores it.
        place = next(i for i, each in enumerate(fresh.weights) if each is fresh.level)
        weights.insert(place, fresh.get_weights()[place])
    if [each.shape for each in weights] != [tuple(each.shape) for each in fresh.weights]:
        preset = denoiser.source["preset"]
        received = f"{preset or 'a network'} with {denoiser.model.count_params():,} parameters"
        raise UserError(
            f"{flag} does not fit the network: its weights have other shapes.\n"
            f"Expected {config.preset} for --channels={config.channels}, {fresh.count_params():,} "
            f"parameters. Received: {received}, channels={denoiser.channels}."
        )
    return weights


def train(
    config: TrainConfig,
    make_batches: Callable,
    validation: list,
    info: dict | None = None,
) -> dict:
    """Trains a preset with both stages; resumes where an earlier call stopped.

    Args:
        config: the run's configuration.
        make_batches: function from the first step to the dataset for the engine's `batches`,
            endless and deterministic in the step.
        validation: (noisy, clean) float32 H×W×C images, never trained on.
        info: additional information for config.json; its `validation_images_by_set` tells which
            of the images are of which set.

    Returns:
        `step`, `psnr` (best on validation, dB) and `elapsed` (seconds, both stages).

    Raises:
        UserError, NotFiniteError, Interrupted: see `run_stage`; `Stopped`, an `Interrupted`, also
            after a signal during the end of the naive stage.
    """
    if config.steps is None:
        raise UserError(
            f"`epochs`={config.epochs} must be turned into steps first.\n"
            "Use config.for_images(number of training images), as train.py does."
        )
    # Only the chief uses the folder; other workers get everything from it.
    chief = cluster_for(config.strategy).chief
    given, workdir = given_naive(config), Path(config.workdir)
    # Loaded before the naive stage, to report errors immediately and not after hours.
    try:
        start = initial_weights(config, given)
    except UserError:
        if not CheckpointStore(workdir).can_restore():
            raise
        start = None  # The file is gone, and the checkpoint has what became of its weights.
    naive_model = given.of_another_kind(config) if given else None
    if chief and given:
        note(given.note)
    if chief:
        warn_of_warmup(config.warmup_steps, config.steps)
    with _folder(config, info, naive_model) if chief else contextlib.nullcontext():
        if chief and given and given.weights:
            given.keep(workdir)
        sets = (info or {}).get("validation_images_by_set")
        result = _stages(config, make_batches, validation, given, start, workdir, not chief, sets)
    return result


@contextlib.contextmanager
def _folder(config, info, naive_model) -> Iterator[None]:
    if not os.path.lexists(Path(config.workdir, ".lock")):
        require_run_folder(config.workdir)  # before the lock, to leave no file in other folders
    # Locked first, so that the config.json of a running training is not replaced.
    with held(config.workdir):
        prepare_workdir(config, info, naive_model)
        yield


def _stages(config, make_batches, validation, given, start, workdir, quiet, sets) -> dict:
    if config.estimator:
        validation = with_estimates(config, validation, quiet)
    if config.teacher and CheckpointStore(workdir).last_path() is None:
        from gradnet_tf.training.teacher import teacher_of

        teacher_of(config)  # What cannot teach is told before the naive stage.
    naive_weights, naive_seconds = _naive_stage(config, make_batches, validation, workdir, sets)

    def build():
        naive = given.build(config.precision) if given else None
        model = build_model(config.preset, config.channels, config.precision, naive, config.joint)
        # A naive denoiser that was given, or has just been trained, replaces that of the start.
        own_naive = given is not None or naive_weights is not None
        if naive_weights is not None:
            model.naive_denoiser.load_weights(naive_weights)
        if start is not None:
            kept = model.naive_denoiser.get_weights() if own_naive else []
            model.set_weights(start)
            if own_naive:
                model.naive_denoiser.set_weights(kept)
        return model

    budget = max(config.time_budget - naive_seconds, 1.0) if config.time_budget else None
    engine = make_engine(config, build)
    result = run_stage(config, engine, make_batches, validation, workdir, budget, sets=sets)
    return {**result, "elapsed": result["elapsed"] + naive_seconds}
