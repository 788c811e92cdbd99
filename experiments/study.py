"""Works through the runs of a study that are not done yet."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from experiments.form import Form
from experiments.one_run import train_and_score
from experiments.study_images import KeptImages, scored_pairs
from experiments.tables.finished_runs import Job, Results
from gradnet_tf.loading.run_folder import best_weights
from gradnet_tf.utils.console import format_seconds
from gradnet_tf.utils.errors import Interrupted


@dataclasses.dataclass(frozen=True)
class Task:
    """How a job is trained.

    Attributes:
        job: which run.
        build: called with the weights of ψ (or `None`); returns a built model.
        naive: the job whose weights ψ has, or `None`.
        loss_weight: λ.
        joint: ψ trains along.
        share: part of the form's steps that the run gets.
        regions: flat and textured regions are scored apart too.
    """

    job: Job
    build: Callable
    naive: Job | None = None
    loss_weight: float = 0.0
    joint: bool = False
    share: float = 1.0
    regions: bool = False


def work_through(
    tasks: Sequence[Task],
    form: Form,
    output: str | Path,
    training_set: Callable[[str], KeptImages],
    test_sets: Callable[[str], dict],
    time_budget: float | None = None,
) -> Results:
    """Makes the runs that have no result yet, in the order given.

    Args:
        tasks: all runs of the study; a ψ comes before those that need it.
        form: their size.
        output: the study's folder.
        training_set: from a job's noise to the images to train on.
        test_sets: from a job's noise to the image sets to score on, by name.
        time_budget: no run is begun after so many seconds; `None` for no end.

    Raises:
        Interrupted: when the time is over or a signal came, and runs are left.
    """
    started = time.monotonic()
    results = Results(output)
    left = [task for task in tasks if task.job not in results.done()]
    print(f"{len(tasks) - len(left)} of {len(tasks)} runs are done", flush=True)
    tests: dict[str, dict] = {}
    for number, task in enumerate(left, len(tasks) - len(left) + 1):
        job = task.job
        if time_budget is not None and time.monotonic() - started > time_budget:
            raise Interrupted(
                f"--time_budget is over after {number - 1} of {len(tasks)} runs.\n"
                "The same command goes on from there."
            )
        images = training_set(job.noise)
        sigma = None if images.noisy(0) is not None else float(job.noise)
        if job.noise not in tests:  # one kind of noise at a time is kept in memory
            tests = {
                job.noise: {
                    name: scored_pairs(image_set, sigma, form.test_crop)
                    for name, image_set in test_sets(job.noise).items()
                }
            }
        steps = max(1, round(task.share * form.steps_for(images.image_sizes())))
        config = form.train_config(steps, job.seed, sigma or 0.0, task.loss_weight, task.joint)
        weights = best_weights(Path(output) / task.naive.folder) if task.naive else None
        row = train_and_score(
            Path(output) / job.folder,
            config,
            lambda task=task, weights=weights: task.build(weights),
            images,
            tests[job.noise],
            f"{number}/{len(tasks)} {job.variant} {job.gradient} {job.noise} seed {job.seed}",
            task.regions,
        )
        results.add(job, row)
        scores = "  ".join(f"{name} {value:.2f}" for name, value in row["psnr"].items())
        spent = time.monotonic() - started
        rest = spent / (number - len(tasks) + len(left)) * (len(tasks) - number)
        print(
            f"{number}/{len(tasks)}  {job.variant}, {job.gradient}, {job.noise}, seed {job.seed}: "
            f"{scores} dB  {row['seconds']:.0f} s, left {format_seconds(rest)}",
            flush=True,
        )
    return results
