"""Runs a study from its command-line options to its report."""

import dataclasses
import functools
import itertools
import json
import logging
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from datasets.sets.image_set import ImageSet
from experiments.study_report import write_report
from experiments.study_runs import (
    Form,
    KeptImages,
    Results,
    Task,
    check_or_write_info,
    image_sizes,
    run_tasks,
    scaled_to,
)
from experiments.study_statistics import NAIVE, noise_name
from gradnet_tf.models.presets import PRECISIONS
from gradnet_tf.training.config import parse_duration, require
from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.framework_start import quick_start, quiet_native_logs
from gradnet_tf.utils.options import option, options_of
from gradnet_tf.utils.versions import installed_versions

FORMS = ("paper", "short", "tiny")


@dataclasses.dataclass(frozen=True)
class CommonOptions:
    """The options of every study.

    Attributes:
        data_dir: folder that holds the image sets.
        output: folder of the study.
        form: size of the networks and of their training: the paper's, for a GPU; short, for an hour
            on two cores; tiny, for seconds, to try a command.
        seeds: number of runs per configuration, with seeds from 0.
        variants: run only this variant and those that it needs; may be repeated (default: all).
        steps: optimizer steps of every run (default: the form's).
        time_budget: start no run after this time, such as 25m; the same command resumes.
        report: run nothing; write the table and chart of the existing results.
    """

    data_dir: str | None = None
    output: str = "out/study"
    form: str = option("paper", choices=FORMS)
    seeds: int = option(3, least=1)
    variants: tuple[str, ...] = option((), repeated=True)
    steps: int | None = option(None, least=1)
    time_budget: float | None = option(None, parse=functools.partial(parse_duration, "time_budget"))
    report: bool = False

    def __post_init__(self):
        for each in options_of(type(self)):
            each.convert(getattr(self, each.name))


@dataclasses.dataclass(frozen=True)
class Options(CommonOptions):
    """The options of a study of variants and noises; each field is a flag.

    Attributes:
        budget: scale the steps so that the whole study takes this long, such as 65m; as a
            number, seconds (default: the form's steps).
        train_set: clean images to train on under Gaussian noise (default: the form's).
        sets: test sets; those with real noise bring a training split (default: the form's).
        sigmas: Gaussian noise levels on the 0-255 scale (default: the form's).
        precision: dtype policy (default: the form's).
        epochs: length of every run, instead of --steps (default: the form's).
        batch_size: crops in a step (default: the form's).
        crops_per_image: random crops of each training image in an epoch; 0 for as many as it holds
            side by side (default: the form's).
        clip_norm: bound on the norm of the gradients; 0 for none (default: the form's).
        score: the weights to score: last, or best on the validation split, as the authors' code
            does (default: the form's, last).
        prepared_dir: folder of shards with the decoded training images, which are written if
            missing (default: OUTPUT/prepared; in the short form none).
    """

    budget: float | None = option(None, parse=functools.partial(parse_duration, "budget"))
    train_set: str | None = None
    sets: tuple[str, ...] | None = None
    sigmas: tuple[str, ...] | None = None
    precision: str | None = option(None, choices=PRECISIONS)
    epochs: int | None = option(None, least=1)
    batch_size: int | None = option(None, least=1)
    crops_per_image: int | None = option(None, least=0)
    clip_norm: float | None = option(None, least=0)
    score: str | None = option(None, choices=("last", "best"))
    prepared_dir: str | None = None

    def __post_init__(self):
        super().__post_init__()
        require(self.sets != (), "sets", self.sets, "the names of one or more test sets")
        require(
            not (self.steps and self.epochs), "epochs", self.epochs, "absent together with steps"
        )
        for sigma in self.sigmas or ():
            try:
                valid = 0 <= float(sigma) <= 255
            except ValueError:
                valid = False
            require(valid, "sigmas", sigma, "noise levels in [0, 255]")

    def of_form(self, form: Form) -> "Options":
        """Returns the options with the form's sets and levels where none are given."""
        names = [name for name in _DEFAULTED if getattr(self, name) is None]
        found = dataclasses.replace(self, **{name: getattr(form, name) for name in names})
        if form.streams and found.prepared_dir is None:
            found = dataclasses.replace(found, prepared_dir=str(Path(self.output) / "prepared"))
        return found

    def real_sets(self) -> list[str]:
        """Returns the test sets that have real noise by their protocol."""
        from datasets.sets.catalog import get_info

        return [name for name in self.sets or () if get_info(name).has_real_noise]

    def noises(self) -> list[str]:
        """Returns the kinds of noise: the levels, if a set takes them, then the real ones."""
        real = self.real_sets()
        levels = (self.sigmas or ()) if len(real) < len(self.sets or ()) else ()
        return [*levels, *real]

    def seeds_and_noises(self):
        """Yields (seed, noise), all noises of seed 0 first, so that a partial study is balanced."""
        return itertools.product(range(self.seeds), self.noises())


# Options whose defaults are the form's.
_DEFAULTED = ("train_set", "sets", "sigmas")
# Steps timed to share out a budget.
_TIMED_STEPS = 20


@dataclasses.dataclass(frozen=True)
class Study:
    """What is compared.

    Attributes:
        name: "fusion", "gradient" or "guide".
        forms: by name.
        tasks: function from options and form to all runs, in order.
        baseline: (variant, gradient) that the others are compared with.
        costliest: (variant, gradient) whose step is timed for a budget.
    """

    name: str
    forms: Mapping[str, Form]
    tasks: Callable
    baseline: tuple[str, str]
    costliest: tuple[str, str]


def start() -> None:
    """Initializes the devices and silences TensorFlow's warnings."""
    with quiet_native_logs(), quick_start():
        from gradnet_tf.training.engines.choose_engine import start_devices

        start_devices()
    # TensorFlow warns about repeated retracing, but a study builds a new network for each run.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)


def record(options: CommonOptions, info: dict, **free) -> None:
    """Writes the study's settings to study.json, or checks that they are those of the file.

    Args:
        options: the command's options.
        info: settings that must stay the same; see `check_or_write_info`.
        **free: settings that may change from one invocation to the next.
    """
    command = [Path(sys.argv[0]).name, *sys.argv[1:]]
    free |= {"seeds": options.seeds, "command": command, "versions": installed_versions()}
    check_or_write_info(options.output, {**info, "free": free})


def run(study: Study, options: Options) -> None:
    """Makes the missing runs of a study, then writes its table and its chart.

    Args:
        study: what is compared.
        options: the command's options.

    Raises:
        UserError, Interrupted, NotFiniteError: see `run_missing`.
    """
    require_right_labels(Results(options.output).rows, options.output)
    if options.report:
        rows = Results(options.output).existing_rows()
        if study.baseline not in {(row["variant"], row["gradient"]) for row in rows}:
            raise UserError(
                f"--output={options.output} has no run of the {study.name} study's baseline "
                f"({', '.join(study.baseline)}).\nUse the folder of a {study.name} study."
            )
        print(write_report(study.name, rows, options.output, study.baseline))
        return
    options = options.of_form(study.forms[options.form])
    sources = Sources(options)
    start()
    form = chosen_form(study, options)
    size = {k: v for k, v in dataclasses.asdict(form).items() if k not in _DEFAULTED}
    info = {"study": study.name, "form": size, "train_set": options.train_set}
    info |= {"sets": list(options.sets), "sigmas": list(options.sigmas)}
    settings = ", ".join(f"{name} {value}" for name, value in size.items())
    if size.pop("score") != "last":  # absent in studies of earlier versions
        info["score"] = form.score
    record(options, info, budget=options.budget)
    print(f"{study.name} study, form {settings}", flush=True)
    tasks = chosen_tasks(study.tasks(options, form), options.variants)
    if form.streams:
        print(expected_time(tasks, form, sources.training), flush=True)
    results = run_tasks(
        tasks,
        form,
        options.output,
        sources.training,
        sources.tests,
        sources.validation,
        options.time_budget,
    )
    print(write_report(study.name, results.rows, options.output, study.baseline))


def require_right_labels(rows: Sequence[Mapping], output: str) -> None:
    """Checks that no result under a noise level is of a set with real noise.

    Raises:
        UserError: for rows of a version that added noise to such sets in training.
    """
    from datasets.sets.catalog import DATASETS

    for row in rows:
        for name in row["psnr"]:
            info = DATASETS.get(name.split()[0].casefold())
            if Results.job(row).sigma is not None and info and info.has_real_noise:
                raise UserError(
                    f"--output={output} has a result of {name} under σ = {row['noise']}, but that "
                    "set has real noise: the network was trained on other noise.\n"
                    "Use another --output, or delete such lines of results.jsonl."
                )


class Sources:
    """Finds the image sets of a study; training images are decoded once, or read from shards."""

    def __init__(self, options: Options):
        """Args:
        options: name the sets.

        Raises:
            UserError: when a set is not found, has real noise but no training split, or is to be
                trained on under added noise but has its own; when the best weights would be chosen
                on the images that are scored.
        """
        from datasets.sets.catalog import find_dataset, find_training_sets, get_info

        self._options = options
        real = options.real_sets()
        for name in real:
            if get_info(name).training_split is None:
                raise UserError(
                    f"--sets={','.join(options.sets)}: {name} has real noise and no training "
                    "split, and a network trained on other noise says nothing about it.\n"
                    "Use sidd, renoir or pairs for real noise, or evaluate.py to score on "
                    f"{name} alone."
                )
        if set(options.noises()) - set(real) and get_info(options.train_set).has_real_noise:
            raise UserError(
                f"--train_set={options.train_set} has real noise, so no level can be added to it.\n"
                "Use a set of clean images such as nyuv2 or bsds500; its name in --sets trains "
                "and scores under its own noise."
            )
        self._training: dict[str, ImageSet | KeptImages] = {}
        self._validation: dict[str, ImageSet] = {}
        for noise in options.noises():
            name = noise if noise in real else options.train_set
            if name not in self._training:
                found, self._validation[name] = find_training_sets(name, options.data_dir)
                self._training[name] = self._readable(found)
        self._tests = {
            name: find_dataset(name, options.data_dir, get_info(name).test_split)
            for name in options.sets
        }
        chosen = {(kept.name, kept.split) for kept in self._validation.values()}
        for name, found in self._tests.items():
            require(
                options.score != "best" or (found.name, found.split) not in chosen,
                "score",
                "best",
                f"last with --sets={name}, whose split {found.split} would choose the weights too",
            )

    def _readable(self, images: ImageSet) -> ImageSet | KeptImages:
        if self._options.prepared_dir is None:
            return KeptImages(images)
        from datasets.shards.shard_writer import prepared_set

        return prepared_set(images, self._options.prepared_dir)

    def training(self, noise: str) -> ImageSet | KeptImages:
        """Returns the training images for one kind of noise."""
        return self._training.get(noise) or self._training[self._options.train_set]

    def validation(self, noise: str) -> ImageSet:
        """Returns the images that choose weights under one kind of noise; none is trained on."""
        return self._validation.get(noise) or self._validation[self._options.train_set]

    def tests(self, noise: str) -> dict:
        """Returns the test sets of one kind of noise, by name."""
        real = self._options.real_sets()
        if noise in real:
            return {noise: self._tests[noise]}
        return {name: found for name, found in self._tests.items() if name not in real}


def chosen_form(study: Study, options: Options) -> Form:
    """Returns the form with the options' changes; a resumed study keeps its number of steps."""
    form = study.forms[options.form]
    names = ("precision", "epochs", "batch_size", "crops_per_image", "clip_norm", "score")
    changes = {name: getattr(options, name) for name in names}
    form = dataclasses.replace(form, **{k: v for k, v in changes.items() if v is not None})
    if options.crops_per_image is not None:
        form = dataclasses.replace(form, crops_per_frame=options.crops_per_image)
    if options.epochs:
        form = dataclasses.replace(form, steps=0)
    if options.steps:
        return dataclasses.replace(form, steps=options.steps, epochs=0)
    if options.budget is None:
        return form
    earlier = Path(options.output) / "study.json"
    if earlier.exists():
        steps = json.loads(earlier.read_text("utf-8"))["form"]["steps"]
        return dataclasses.replace(form, steps=steps, epochs=0)
    tasks = study.tasks(options, form)
    task = next(t for t in tasks if (t.job.variant, t.job.gradient) == study.costliest)
    return scaled_to(form, options.budget, len(tasks), seconds_per_step(task, form))


def chosen_tasks(tasks: Sequence[Task], variants: Sequence[str]) -> list[Task]:
    """Returns the tasks of the variants and of the ψ that they need; all if none is named.

    Raises:
        UserError: for an unknown variant.
    """
    known = dict.fromkeys(task.job.variant for task in tasks if task.job.variant != NAIVE)
    for variant in variants:
        require(variant in known, "variants", variant, f"one of {'; '.join(known)}")
    chosen = [task for task in tasks if not variants or task.job.variant in variants]
    jobs = {task.job for task in chosen} | {task.naive for task in chosen}
    return [task for task in tasks if task.job in jobs]


def seconds_per_step(task: Task, form: Form) -> float:
    """Measures a training step of a task on random images."""
    from gradnet_tf.training.engines.choose_engine import make_engine

    config = form.train_config(1, 0, 0.0, task.loss_weight, task.joint)
    engine = make_engine(config, lambda: task.build(None))
    shape = (form.batch_size, form.crop_size, form.crop_size)
    generator = np.random.default_rng(0)
    channels = engine.model.input_channels
    batch = [generator.random((*shape, c), np.float32) for c in (channels, engine.model.channels)]
    for _ in range(3):
        engine.step(batch, 1e-3)["loss"]
    started = time.monotonic()
    for _ in range(_TIMED_STEPS):
        engine.step(batch, 1e-3)["loss"]
    return (time.monotonic() - started) / _TIMED_STEPS


#: What a GPU was assumed to do in float32, in 10¹² operations a second.
_ASSUMED_RATE = 20.0


def expected_time(tasks: Sequence[Task], form: Form, training: Callable) -> str:
    """Returns how much there is to compute, and the hours at an assumed rate.

    Only convolutions are counted: two operations per multiplication, once for a frozen network and
    three times for one that is trained.

    Args:
        tasks: the runs.
        form: their size.
        training: from a noise to its training images.
    """
    operations, counts = 0.0, {}
    per_pixel: dict[tuple[str, str], float] = {}
    for task in tasks:
        key = task.job.variant, task.job.gradient
        if key not in per_pixel:
            model = task.build(None)
            trained = sum(math.prod(kernel.shape) for kernel in _kernels(model.trainable_weights))
            every = sum(math.prod(kernel.shape) for kernel in _kernels(model.weights))
            per_pixel[key] = 2.0 * (every + 2 * trained)
        noise = task.job.noise
        if noise not in counts:
            counts[noise] = form.steps_for(image_sizes(training(noise)))
        pixels = form.batch_size * form.crop_size**2
        operations += task.share * counts[noise] * pixels * per_pixel[key]
    steps = ", ".join(f"{count:,} for {noise_name(noise)}" for noise, count in counts.items())
    hours = operations / (_ASSUMED_RATE * 1e12 * 3600)
    return (
        f"{len(tasks)} runs; steps of each: {steps}. In all {_short(operations / 1e15)}·10¹⁵ "
        f"operations, about {_short(hours)} hours on a GPU at {_ASSUMED_RATE:g} TFLOP/s, and "
        "scoring"
    )


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= 10 else f"{number:.2g}"


def _kernels(weights) -> list:
    return [weight for weight in weights if len(weight.shape) == 4]
