"""How a study goes from its options to its report."""

import dataclasses
import json
import logging
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from experiments.form import Form, scaled_to
from experiments.study import Task, work_through
from experiments.study_images import KeptImages
from experiments.study_options import Options
from experiments.tables.finished_runs import Results, agree_on_facts
from experiments.tables.study_report import write_report
from experiments.tables.summary import NAIVE
from gradnet_tf.training.config import require
from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.quiet import quiet_native_logs
from gradnet_tf.utils.versions import installed_versions

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
