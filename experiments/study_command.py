"""How a study goes from its options to its report."""

import dataclasses
import functools
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
    agree_on_facts,
    scaled_to,
    work_through,
)
from experiments.study_statistics import NAIVE
from gradnet_tf.models.presets import PRECISIONS
from gradnet_tf.training.config import parse_duration, require
from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.options import option
from gradnet_tf.utils.quiet import quiet_native_logs
from gradnet_tf.utils.versions import installed_versions

FORMS = ("supplement", "short")
# Sets with real noise: they bring what is trained on, and no noise is added.
REAL_NOISE = ("renoir",)


@dataclasses.dataclass(frozen=True)
class Options:
    """What a study is asked for; each field is a flag.

    Attributes:
        data_dir: folder that holds the image sets.
        output: folder of the study.
        form: size of the networks and of their training.
        budget: scale the steps so that the whole study takes this long, such as 65m; as a
            number, seconds (default: the form's steps).
        time_budget: start no run after this time; the same command continues.
        seeds: number of runs of everything, with seeds from 0.
        variants: only this variant, and the naive denoiser that it needs; may be repeated
            (default: all).
        train_set: clean images to train on under Gaussian noise.
        sets: test sets; those with real noise bring a training split.
        sigmas: Gaussian noise levels on the 0-255 scale.
        steps: optimiser steps of every run (default: the form's).
        precision: dtype policy (default: the form's).
        report: run nothing; write the table and chart of the results that are there.
    """

    data_dir: str | None = None
    output: str = "out/study"
    form: str = option("supplement", choices=FORMS)
    budget: float | None = option(None, parse=functools.partial(parse_duration, "budget"))
    time_budget: float | None = option(None, parse=functools.partial(parse_duration, "time_budget"))
    seeds: int = 3
    variants: tuple[str, ...] = option((), repeated=True)
    train_set: str = "bsds500"
    sets: tuple[str, ...] = ("nyuv2", "cbsd68", "renoir")
    sigmas: tuple[str, ...] = ("15", "50")
    steps: int | None = None
    precision: str | None = option(None, choices=PRECISIONS)
    report: bool = False

    def __post_init__(self):
        require(self.seeds >= 1, "seeds", self.seeds, "at least 1")
        require(self.steps is None or self.steps >= 1, "steps", self.steps, "at least 1")
        require(self.form in FORMS, "form", self.form, f"one of {', '.join(FORMS)}")
        precisions = (None, *PRECISIONS)
        require(self.precision in precisions, "precision", self.precision, ", ".join(PRECISIONS))
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


# Steps that a budget's share is measured by.
_TIMED_STEPS = 20


@dataclasses.dataclass(frozen=True)
class Study:
    """What is compared.

    Attributes:
        name: "fusion" or "gradient".
        forms: by name.
        tasks: from options and form to all runs, in order.
        baseline: (variant, gradient) that the others are compared with.
        costliest: (variant, gradient) whose step is timed for a budget.
    """

    name: str
    forms: Mapping[str, Form]
    tasks: Callable
    baseline: tuple[str, str]
    costliest: tuple[str, str]


def run(study: Study, options: Options) -> None:
    """Runs what is missing of a study, then writes its table and its chart.

    Args:
        study: what is compared.
        options: what is asked for.

    Raises:
        UserError, Interrupted, NotFiniteError: see `work_through`.
    """
    if options.report:
        results = Results(options.output)
        if not results.rows:
            raise UserError(f"--output={options.output} holds no results.jsonl with results.")
        if study.baseline not in {(row["variant"], row["gradient"]) for row in results.rows}:
            raise UserError(
                f"--output={options.output} holds no run of the {study.name} study's baseline "
                f"({', '.join(study.baseline)}).\nGive this study's own folder."
            )
        print(write_report(study.name, results.rows, options.output, study.baseline))
        return
    sources = Sources(options)
    with quiet_native_logs():
        from gradnet_tf.training.engines.choose_engine import start_devices

        start_devices()
    # A new network for each run is what a study is, not a mistake to warn of.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    form = chosen_form(study, options)
    facts = {
        "study": study.name,
        "form": dataclasses.asdict(form),
        "train_set": options.train_set,
        "sets": list(options.sets),
        "sigmas": list(options.sigmas),
        "free": {
            "seeds": options.seeds,
            "budget": options.budget,
            "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
            "versions": installed_versions(),
        },
    }
    agree_on_facts(options.output, facts)
    print(f"{study.name} study, {form}", flush=True)
    results = work_through(
        chosen_tasks(study.tasks(options, form), options.variants),
        form,
        options.output,
        sources.training,
        sources.tests,
        options.time_budget,
    )
    print(write_report(study.name, results.rows, options.output, study.baseline))


class Sources:
    """Finds the image sets of a study, and keeps what is decoded."""

    def __init__(self, options: Options):
        """Args:
        options: says which.

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
        """Returns what is trained on under one kind of noise."""
        return self._training.get(noise) or self._training[self._options.train_set]

    def tests(self, noise: str) -> dict:
        """Returns the test sets of one kind of noise, by name."""
        real = self._options.real_sets()
        if noise in real:
            return {noise: self._tests[noise]}
        return {name: found for name, found in self._tests.items() if name not in real}


def chosen_form(study: Study, options: Options) -> Form:
    """Returns the form with the options' changes; a study that goes on keeps its steps."""
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
    """Returns the tasks of the variants, and of the ψ that these need; all if none is named.

    Raises:
        UserError: for a name that is no variant of the study.
    """
    known = dict.fromkeys(task.job.variant for task in tasks if task.job.variant != NAIVE)
    for variant in variants:
        require(variant in known, "variants", variant, f"of {'; '.join(known)}")
    chosen = [task for task in tasks if not variants or task.job.variant in variants]
    jobs = {task.job for task in chosen} | {task.naive for task in chosen}
    return [task for task in tasks if task.job in jobs]


def seconds_per_step(task: Task, form: Form) -> float:
    """Measures a training step of a task on made-up images."""
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
