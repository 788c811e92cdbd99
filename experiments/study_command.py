"""Runs a study from its command-line options to its report."""

import dataclasses
import functools
import itertools
import json
import logging
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from experiments.study_report import write_report
from experiments.study_runs import (
    Form,
    KeptImages,
    Results,
    Task,
    check_or_write_info,
    run_tasks,
    scaled_to,
)
from experiments.study_statistics import NAIVE
from gradnet_tf.models.presets import PRECISIONS
from gradnet_tf.training.config import parse_duration, require
from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.options import option, options_of
from gradnet_tf.utils.quiet import quiet_native_logs
from gradnet_tf.utils.versions import installed_versions

# Sets with real noise: training uses their own noisy images, and no noise is added.
REAL_NOISE = ("renoir",)


@dataclasses.dataclass(frozen=True)
class CommonOptions:
    """The options of every study.

    Attributes:
        data_dir: folder that holds the image sets.
        output: folder of the study.
        form: size of the networks and of their training.
        seeds: number of runs per configuration, with seeds from 0.
        variants: run only this variant and those that it needs; may be repeated (default: all).
        steps: optimizer steps of every run (default: the form's).
        time_budget: start no run after this time, such as 25m; the same command resumes.
        report: run nothing; write the table and chart of the existing results.
    """

    data_dir: str | None = None
    output: str = "out/study"
    form: str = option("supplement", choices=("supplement", "short"))
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
        train_set: clean images to train on under Gaussian noise.
        sets: test sets; those with real noise bring a training split.
        sigmas: Gaussian noise levels on the 0-255 scale.
        precision: dtype policy (default: the form's).
    """

    budget: float | None = option(None, parse=functools.partial(parse_duration, "budget"))
    train_set: str = "bsds500"
    sets: tuple[str, ...] = ("nyuv2", "cbsd68", "renoir")
    sigmas: tuple[str, ...] = ("15", "50")
    precision: str | None = option(None, choices=PRECISIONS)

    def __post_init__(self):
        super().__post_init__()
        require(bool(self.sets), "sets", self.sets, "the names of one or more test sets")
        for sigma in self.sigmas:
            try:
                valid = 0 <= float(sigma) <= 255
            except ValueError:
                valid = False
            require(valid, "sigmas", sigma, "noise levels in [0, 255]")

    def real_sets(self) -> list[str]:
        """Returns the names of the test sets that have real noise."""
        return [name for name in self.sets if name in REAL_NOISE]

    def noises(self) -> list[str]:
        """Returns the kinds of noise: the levels, if a set takes them, then the real ones."""
        real = self.real_sets()
        return [*(self.sigmas if len(real) < len(self.sets) else ()), *real]

    def seeds_and_noises(self):
        """Yields (seed, noise), all noises of seed 0 first, so that a partial study is balanced."""
        return itertools.product(range(self.seeds), self.noises())


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
    with quiet_native_logs():
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
    if options.report:
        rows = Results(options.output).existing_rows()
        if study.baseline not in {(row["variant"], row["gradient"]) for row in rows}:
            raise UserError(
                f"--output={options.output} has no run of the {study.name} study's baseline "
                f"({', '.join(study.baseline)}).\nUse the folder of a {study.name} study."
            )
        print(write_report(study.name, rows, options.output, study.baseline))
        return
    sources = Sources(options)
    start()
    form = chosen_form(study, options)
    info = {"study": study.name, "form": dataclasses.asdict(form), "train_set": options.train_set}
    info |= {"sets": list(options.sets), "sigmas": list(options.sigmas)}
    record(options, info, budget=options.budget)
    print(f"{study.name} study, {form}", flush=True)
    results = run_tasks(
        chosen_tasks(study.tasks(options, form), options.variants),
        form,
        options.output,
        sources.training,
        sources.tests,
        options.time_budget,
    )
    print(write_report(study.name, results.rows, options.output, study.baseline))


class Sources:
    """Finds the image sets of a study and caches decoded images."""

    def __init__(self, options: Options):
        """Args:
        options: name the sets.

        Raises:
            UserError: when a set is not found.
        """
        from datasets.sets.catalog import find_dataset, find_training_sets

        self._options = options
        self._training = {}
        for noise in options.noises():
            name = noise if noise in options.real_sets() else options.train_set
            if name not in self._training:
                found, _ = find_training_sets(name, options.data_dir)
                self._training[name] = KeptImages(found)
        self._tests = {name: find_dataset(name, options.data_dir) for name in options.sets}

    def training(self, noise: str) -> KeptImages:
        """Returns the training images for one kind of noise."""
        return self._training.get(noise) or self._training[self._options.train_set]

    def tests(self, noise: str) -> dict:
        """Returns the test sets of one kind of noise, by name."""
        real = self._options.real_sets()
        if noise in real:
            return {noise: self._tests[noise]}
        return {name: found for name, found in self._tests.items() if name not in real}


def chosen_form(study: Study, options: Options) -> Form:
    """Returns the form with the options' changes; a resumed study keeps its number of steps."""
    form = study.forms[options.form]
    if options.precision:
        form = dataclasses.replace(form, precision=options.precision)
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
