"""The flags that the studies share, and how a study goes from flags to its report."""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

from absl import flags

from experiments.form import FORMS, Form, get_form, scaled_to
from experiments.images import KeptImages
from experiments.results import Results, agree_on_facts
from experiments.study import work_through
from gradnet_tf.config import parse_duration, require
from gradnet_tf.errors import UserError
from gradnet_tf.presets import PRECISIONS

# Steps that a budget's share is measured by.
_TIMED_STEPS = 20


@dataclasses.dataclass(frozen=True)
class Options:
    """What a study is asked for.

    Attributes:
        data_dir: folder that holds the image sets.
        output: the study's folder.
        form: name of a `Form`.
        budget: seconds for the whole study, which its steps are scaled to; `None`
            leaves the form's.
        time_budget: seconds after which no run is begun.
        seeds: how many, from 0.
        train_set: clean images for Gaussian noise.
        sets: test sets; those with real noise bring a training split.
        sigmas: noise levels on the 0-255 scale.
        steps, precision: instead of the form's.
        report: only write table and chart of the results that are there.
    """

    data_dir: str | None = None
    output: str = "out/study"
    form: str = "supplement"
    budget: float | None = None
    time_budget: float | None = None
    seeds: int = 3
    train_set: str = "bsds500"
    sets: tuple[str, ...] = ("nyuv2", "cbsd68", "renoir")
    sigmas: tuple[str, ...] = ("15", "50")
    steps: int | None = None
    precision: str | None = None
    report: bool = False

    def __post_init__(self):
        require(self.seeds >= 1, "seeds", self.seeds, "at least 1")
        require(self.steps is None or self.steps >= 1, "steps", self.steps, "at least 1")
        get_form(self.form)
        require(bool(self.sets), "sets", self.sets, "the names of one or more test sets")
        for sigma in self.sigmas:
            try:
                valid = 0 <= float(sigma) <= 255
            except ValueError:
                valid = False
            require(valid, "sigmas", sigma, "noise levels in [0, 255]")

    def real_sets(self) -> list[str]:
        """Returns the names of the test sets that have real noise."""
        return [name for name in self.sets if name == "renoir"]

    def noises(self) -> list[str]:
        """Returns the kinds of noise: the levels, if a set takes them, then the real ones."""
        real = self.real_sets()
        return [*(self.sigmas if len(real) < len(self.sets) else ()), *real]


def define_flags(output: str, sigmas: list[str]) -> None:
    """Defines the flags of a study; not on import, since a process may import several."""
    flags.DEFINE_string("data_dir", None, "folder that holds the image sets")
    flags.DEFINE_string("output", output, "folder of the study")
    flags.DEFINE_string("form", "supplement", "one of " + ", ".join(FORMS))
    flags.DEFINE_string("budget", None, 'scale the steps so that the study takes this, as "65m"')
    flags.DEFINE_string("time_budget", None, "begin no run after this; the same command goes on")
    flags.DEFINE_integer("seeds", 3, "runs of everything, with seeds from 0")
    flags.DEFINE_string("train_set", "bsds500", "clean images to train on under Gaussian noise")
    flags.DEFINE_list("sets", ["nyuv2", "cbsd68", "renoir"], "test sets")
    flags.DEFINE_list("sigmas", sigmas, "Gaussian noise levels, 0-255 scale")
    flags.DEFINE_integer("steps", None, "optimiser steps of every run (default: the form's)")
    flags.DEFINE_string("precision", None, "one of " + ", ".join(PRECISIONS))
    flags.DEFINE_bool("report", False, "run nothing; write table and chart of what is there")


def read_flags() -> Options:
    """Fills the options from the flags."""
    values = {name: flags.FLAGS[name].value for name in Options.__dataclass_fields__}
    for name in ("budget", "time_budget"):
        values[name] = parse_duration(name, values[name])
    values |= {name: tuple(values[name]) for name in ("sets", "sigmas")}
    return Options(**values)


def run(study: str, options: Options, make_tasks: Callable, baseline, costliest) -> None:
    """Runs what is missing of a study, then writes its table and its chart.

    Args:
        study: "fusion" or "gradient".
        options: what is asked for.
        make_tasks: from options and form to the list of `Task`.
        baseline: (variant, gradient) that the others are compared with.
        costliest: (variant, gradient) whose step is timed for a budget.

    Raises:
        UserError, Interrupted, NotFiniteError: see `work_through`.
    """
    from experiments.report import write_report

    if options.report:
        results = Results(options.output)
        if not results.rows:
            raise UserError(f"--output={options.output} holds no results.jsonl with results.")
        print(write_report(study, results.rows, options.output, baseline))
        return
    sources = Sources(options)
    form = _form(options, make_tasks, costliest, sources)
    tasks = make_tasks(options, form)
    facts = {
        "study": study,
        "form": dataclasses.asdict(form),
        "train_set": options.train_set,
        "sets": list(options.sets),
        "sigmas": list(options.sigmas),
        "free": {"seeds": options.seeds, "budget": options.budget},
    }
    agree_on_facts(options.output, facts)
    print(f"{study} study, {form}", flush=True)
    results = work_through(
        tasks, form, options.output, sources.training, sources.tests, options.time_budget
    )
    print(write_report(study, results.rows, options.output, baseline))


class Sources:
    """Finds the image sets of a study, and keeps what is decoded."""

    def __init__(self, options: Options):
        """Args:
        options: says which.

        Raises:
            UserError: when a set is not found.
        """
        from datasets.resolve import find_dataset, find_training_sets

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


def _form(options: Options, make_tasks, costliest, sources: Sources) -> Form:
    """Returns the form with the options' changes; a study that goes on keeps its steps."""
    import json

    form = get_form(options.form)
    if options.precision:
        require(options.precision in PRECISIONS, "precision", options.precision, str(PRECISIONS))
        form = dataclasses.replace(form, precision=options.precision)
    if options.steps:
        return dataclasses.replace(form, steps=options.steps, epochs=0)
    earlier = Path(options.output) / "study.json"
    if options.budget is None:
        return form
    if earlier.exists():
        steps = json.loads(earlier.read_text("utf-8"))["form"]["steps"]
        return dataclasses.replace(form, steps=steps, epochs=0)
    tasks = make_tasks(options, form)
    task = next(t for t in tasks if (t.job.variant, t.job.gradient) == costliest)
    seconds = seconds_per_step(task, form)
    return scaled_to(form, options.budget, len(tasks), seconds)


def seconds_per_step(task, form: Form) -> float:
    """Measures a training step of a task on made-up images."""
    import numpy as np

    from gradnet_tf.training.engines import make_engine

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
