"""Trains and scores the recipes of the recipe study, at equal steps and at equal time."""

import dataclasses
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from datasets.pipeline.leak_guard import LeakGuard
from experiments.recipe.recipe_variants import (
    BASELINE,
    EQUAL_STEPS,
    EQUAL_TIME,
    RecipeForm,
    Variant,
)
from experiments.recipe.step_times import StepTimes, build_network
from experiments.study_runs import KeptImages, Results, scored_pairs, train_and_score
from gradnet_tf.utils.console import format_seconds
from gradnet_tf.utils.errors import Interrupted, UserError

TEACHER_FILE = "dncnn/GD_Color_Blind.mat"


@dataclasses.dataclass(frozen=True, order=True)
class RecipeJob:
    """One run: which seed, which variant, and what it has in common with the baseline."""

    seed: int
    variant: str
    compared: str

    @property
    def folder(self) -> str:
        """The run's folder inside the study's."""
        name = f"{self.variant}_{self.compared}_seed{self.seed}"
        return "runs/" + "".join(c if c.isalnum() or c in "._-" else "-" for c in name)


class RecipeResults(Results):
    """The rows of results.jsonl: variant, compared, seed, psnr by test set and σ, and facts."""

    @staticmethod
    def job(row: dict) -> RecipeJob:
        """Returns the job that a row is the result of."""
        return RecipeJob(row["seed"], row["variant"], row["compared"])


class CheckedImages(KeptImages):
    """Training images that are compared with the test images once, and not before every run."""

    def __init__(self, image_set):
        """Args:
        image_set: all of its images are decoded here.

        Raises:
            UserError: when one is a test image.
        """
        super().__init__(image_set)
        guard = LeakGuard()
        for index, path in enumerate(self.paths):
            guard.check(self.load(index), path)
        self.sizes = self.image_sizes()


class RecipeSources:
    """Finds the images of the study and the teacher; keeps what is decoded."""

    def __init__(self, form: RecipeForm, data_dir: str | None, peers: str | None):
        """Args:
        form: says what is scored.
        data_dir: folder that holds the image sets.
        peers: folder of published weights, or `None`.

        Raises:
            UserError: when a test set or the teacher is not found.
        """
        from datasets.sets.catalog import find_dataset

        self._data_dir = data_dir
        self._training: dict = {}
        found = [find_dataset(name, data_dir, *rest) for name, *rest in form.test_sets]
        self.tests = scored_at(found, form)
        self._teacher_file = Path(peers) / TEACHER_FILE if peers else None
        if self._teacher_file and not self._teacher_file.is_file():
            raise UserError(f"--peers={peers} holds no {TEACHER_FILE}, the network to distil from.")

    def training(self, variant: Variant) -> CheckedImages:
        """Returns what a variant is trained on."""
        from datasets.pipeline.mixture import at_scales
        from datasets.sets.catalog import find_training_sets

        key = variant.train_set, tuple(variant.train.get("scales", (1.0,)))
        if key not in self._training:
            images, _ = find_training_sets(variant.train_set, self._data_dir)
            self._training[key] = CheckedImages(at_scales(images, key[1]))
        return self._training[key]

    @functools.cached_property
    def teacher(self):
        """The published network, a Keras model; `None` without --peers."""
        if self._teacher_file is None:
            return None
        from gradnet_tf.denoiser import load_denoiser

        return load_denoiser(str(self._teacher_file)).model


def scored_at(image_sets: Sequence, form: RecipeForm) -> dict[str, list]:
    """Returns what is scored, by "SET σ = LEVEL"."""
    return {
        f"{images.name} σ = {sigma:g}": scored_pairs(images, sigma, form.test_crop)
        for images in image_sets
        for sigma in form.sigmas
    }


def distilled(dataset, teacher: Callable, start_step: int, steps: int):
    """Returns batches whose clean images are the teacher's outputs in the first of so many steps.

    Args:
        dataset: a `tf.data.Dataset` of (noisy, clean).
        teacher: from noisy images to denoised ones.
        start_step: number of the first batch.
        steps: batches that are changed, counted from step 0.
    """
    from keras import ops

    def change(step, batch):
        noisy, clean = batch
        # Clipped, since a clean image is in [0, 1].
        target = ops.cond(
            step < steps, lambda: ops.clip(ops.stop_gradient(teacher(noisy)), 0, 1), lambda: clean
        )
        return noisy, ops.reshape(target, clean.shape)

    return dataset.enumerate(start_step).map(change)


def work_through_recipes(
    variants: Sequence[Variant],
    seeds: int,
    form: RecipeForm,
    output: str | Path,
    sources,
    time_budget: float | None = None,
) -> RecipeResults:
    """Makes the runs that have no result yet: all of seed 0 first, at equal steps and equal time.

    Args:
        variants: the baseline among them.
        seeds: how many, from 0.
        form: their size.
        output: the study's folder.
        sources: see `RecipeSources`.
        time_budget: no run is begun after so many seconds; `None` for no end.

    Raises:
        Interrupted: when the time is over or a signal came, and runs are left.
        NotFiniteError: see `train_and_score`.
    """
    started = time.monotonic()
    results = RecipeResults(output)
    times = StepTimes(output, form, sources)
    baseline = next(variant for variant in variants if variant.name == BASELINE)
    plan = [(variant, EQUAL_STEPS, form.steps) for variant in variants]
    for variant in variants:
        steps = times.steps_at_equal_time(variant, baseline)
        if steps is not None:
            plan.append((variant, EQUAL_TIME, steps))
    jobs = [
        (RecipeJob(seed, variant.name, compared), variant, steps)
        for seed in range(seeds)
        for variant, compared, steps in plan
    ]
    left = [job for job in jobs if job[0] not in results.done()]
    print(f"{len(jobs) - len(left)} of {len(jobs)} runs are done", flush=True)
    for number, (job, variant, steps) in enumerate(left, len(jobs) - len(left) + 1):
        spent = time.monotonic() - started
        if time_budget is not None and spent > time_budget:
            raise Interrupted(
                f"--time_budget is over after {number - 1} of {len(jobs)} runs.\n"
                "The same command goes on from there."
            )
        row = _one_recipe(job, variant, steps, form, output, sources, f"{number}/{len(jobs)}")
        results.add(job, row)
        spent = time.monotonic() - started
        rest = spent / (number - len(jobs) + len(left)) * (len(jobs) - number)
        print(
            f"{number}/{len(jobs)}  {job.variant}, {job.compared}, seed {job.seed}: "
            f"{np.mean(list(row['psnr'].values())):.2f} dB on average  {row['seconds']:.0f} s, "
            f"left {format_seconds(rest)}",
            flush=True,
        )
    return results


def _one_recipe(job, variant, steps, form, output, sources, number) -> Mapping:
    config = form.train_config(variant, steps, job.seed)
    change = None
    if variant.teacher:
        change = functools.partial(_taught, sources.teacher, steps // 2)
    return train_and_score(
        Path(output) / job.folder,
        config,
        functools.partial(build_network, form, variant),
        sources.training(variant),
        sources.tests,
        f"{number} {job.variant} {job.compared} seed {job.seed}",
        change_batches=change,
    )


def _taught(teacher, steps: int, dataset, start_step: int):
    return distilled(dataset, teacher, start_step, steps)
