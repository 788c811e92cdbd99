"""The runs of a study: their size, images, training and scores, made one after the other.

Results are kept as one JSON object a line; a run that has a result is never made again. Flat and
textured regions can be scored apart: thirds of a set's pixels by local variance.
"""

import dataclasses
import gc
import json
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from datasets.pipeline.batches import PipelineConfig
from datasets.sets.image_set import ImageSet
from gradnet_tf.evaluation.evaluate_set import EvaluateConfig, clean_image, noisy_input
from gradnet_tf.loading.run_folder import best_weights
from gradnet_tf.training.config import TrainConfig
from gradnet_tf.utils.console import format_seconds
from gradnet_tf.utils.errors import Interrupted, NotFiniteError, UserError
from gradnet_tf.utils.files import jsonable, write_json
from gradnet_tf.utils.ownership import require_replaceable

# Of a budget, what the steps get; the rest is for compiling, decoding and scoring.
_SHARE_OF_STEPS = 0.6
_FEWEST_STEPS = 100


@dataclasses.dataclass(frozen=True)
class Form:
    """What all runs of a study have in common.

    Attributes:
        name: "short" or "supplement".
        network: sizes of the networks, as the study reads them.
        batch_size: crops in a step.
        crop_size: side of the crops in pixels.
        steps: optimiser steps; 0 for `epochs` instead.
        epochs: passes over the training set, each of as many crops as the
            images hold side by side.
        learning_rate: before it falls to a fifth after 60% of the steps.
        schedule: see `gradnet_tf.training.schedules`.
        warmup_steps: steps over which the learning rate grows from zero.
        precision: dtype policy, of training and of the scores.
        test_crop: side of the centre crop of a test image that is scored; 0
            for the whole image.
    """

    name: str
    network: Mapping[str, int]
    batch_size: int
    crop_size: int
    steps: int
    epochs: int
    learning_rate: float = 1e-3
    schedule: str = "step"
    warmup_steps: int = 0
    precision: str = "float32"
    test_crop: int = 0

    def steps_for(self, image_sizes: list[tuple[int, int]]) -> int:
        """Returns the optimiser steps of a run on training images of these sizes."""
        if self.steps:
            return self.steps
        size = self.crop_size
        crops = sum((height // size) * (width // size) for height, width in image_sizes)
        return max(1, math.ceil(self.epochs * crops / self.batch_size))

    def train_config(self, steps: int, seed: int, sigma: float, loss_weight: float, joint: bool):
        """Returns the `TrainConfig` of one run; its preset's name means nothing here."""
        return TrainConfig(
            preset="dncnn",
            sigma_min=sigma,
            sigma_max=sigma,
            precision=self.precision,
            batch_size=self.batch_size,
            crop_size=self.crop_size,
            steps=steps,
            joint=joint,
            gradient_loss_weight=loss_weight,
            learning_rate=self.learning_rate,
            schedule=self.schedule,
            warmup_steps=self.warmup_steps,
            seed=seed,
            validate_every=steps,  # no choice between checkpoints: the last weights are scored
        )


def scaled_to(form: Form, budget: float, runs: int, seconds_per_step: float) -> Form:
    """Returns the form with as many steps as the budget allows, the same for every run.

    Args:
        form: what to scale; only its steps change.
        budget: seconds for the whole study.
        runs: how many runs share it.
        seconds_per_step: measured, of the costliest configuration.

    Raises:
        UserError: when too few steps would be left to learn anything.
    """
    steps = int(_SHARE_OF_STEPS * budget / (runs * seconds_per_step) / 10) * 10
    if steps < _FEWEST_STEPS:
        needed = _FEWEST_STEPS * runs * seconds_per_step / _SHARE_OF_STEPS
        raise UserError(
            f"`budget` leaves {steps} steps for each of the {runs} runs at "
            f"{1000 * seconds_per_step:.0f} ms a step; expected at least {_FEWEST_STEPS}.\n"
            f"Give at least {needed / 60:.0f}m, fewer seeds or sets, or --form=short."
        )
    return dataclasses.replace(form, steps=steps, epochs=0)


# All runs of a study are scored under the same noise.
_NOISE_SEED = 0


class KeptImages:
    """An image set that is decoded once for all runs; see `ImageSet` for its members."""

    def __init__(self, image_set: ImageSet):
        """Args:
        image_set: read when an image is first asked for.
        """
        self._set = image_set
        self._kept: dict = {}
        self.name, self.split, self.names = image_set.name, image_set.split, image_set.names
        self.paths, self.channels = image_set.paths, image_set.channels

    def __len__(self) -> int:
        return len(self._set)

    def _keep(self, kind: str, index: int):
        if (kind, index) not in self._kept:
            self._kept[kind, index] = getattr(self._set, kind)(index)
        return self._kept[kind, index]

    def load(self, index: int) -> np.ndarray:
        """Returns the clean image, uint8 (H, W, C)."""
        return self._keep("load", index)

    def clean(self, index: int) -> np.ndarray:
        """Returns what is scored against, float32 (H, W, C) in [0, 1]."""
        return self._keep("clean", index)

    def noisy(self, index: int) -> np.ndarray | None:
        """Returns the really noisy partner, if there is one."""
        return self._keep("noisy", index)

    def original(self, index: int) -> np.ndarray | None:
        """Returns the image that `load` modifies, for the leak guard; None if it modifies none."""
        return self._set.original(index)

    def image_sizes(self) -> list[tuple[int, int]]:
        """Returns the height and width of each image."""
        return [self.load(index).shape[:2] for index in range(len(self))]


def scored_pairs(
    image_set, sigma: float | None, crop: int
) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Returns what is scored: (name, noisy, clean), float32 (H, W, C), not clipped.

    The noise is `evaluate.py`'s with seed 0, drawn for the whole image and cut with it.

    Args:
        image_set: the test images.
        sigma: noise level on the 0-255 scale; `None` for sets with real noise.
        crop: the centre of the image is taken, at most so many pixels a side; 0 for all of it.
    """
    config = EvaluateConfig(dataset=image_set.name, sigma=sigma, seed=_NOISE_SEED)
    pairs = []
    for index, name in enumerate(image_set.names):
        clean = clean_image(image_set, index)
        noisy = noisy_input(clean, image_set.noisy(index), name, config)
        height, width = (min(crop, side) if crop else side for side in clean.shape[:2])
        top, left = (clean.shape[0] - height) // 2, (clean.shape[1] - width) // 2
        rows, columns = slice(top, top + height), slice(left, left + width)
        pairs.append((name, noisy[rows, columns], clean[rows, columns]))
    return pairs


def training_batches(images: KeptImages, config, clean_as_guide: bool, start_step: int = 0):
    """Returns the engine's batches of a run.

    Args:
        images: what to train on.
        config: the run's `TrainConfig`.
        clean_as_guide: the clean crop follows the noisy one in the input's channels.
        start_step: first batch.

    Raises:
        UserError: on another backend than TensorFlow, whose pipeline this is.
    """
    import keras

    if keras.backend.backend() != "tensorflow":
        raise UserError(
            f"the studies train on TensorFlow.\nReceived: KERAS_BACKEND={keras.backend.backend()}"
        )
    from datasets.pipeline.tf_pipeline import training_dataset

    names = "channels batch_size crop_size sigma_min sigma_max seed workers".split()
    names += "crop_candidates color_jitter frame_share".split()
    fields = {name: getattr(config, name) for name in names}
    dataset = training_dataset(images, PipelineConfig(**fields, start_step=start_step))
    if not clean_as_guide:
        return dataset
    concatenate = keras.ops.concatenate
    return dataset.map(lambda noisy, clean: (concatenate([noisy, clean], -1), clean))


#: From the least to the most varied third.
REGIONS = ("flat", "middle", "textured")
# A pixel's neighbourhood: as wide as the gradient's filter and the convolutions around it see.
_WINDOW = 7


def local_variance(image: np.ndarray) -> np.ndarray:
    """Returns the variance of brightness in the 7×7 pixels around each, symmetric at the border.

    Args:
        image: (H, W, C) in [0, 1]; the channels' mean is taken.

    Returns:
        float64 (H, W), not negative.
    """
    import cv2

    grey = image.mean(axis=-1, dtype=np.float64)
    window = {"ddepth": -1, "ksize": (_WINDOW, _WINDOW), "borderType": cv2.BORDER_REFLECT}
    mean = cv2.boxFilter(grey, **window)
    return np.maximum(cv2.boxFilter(grey * grey, **window) - mean * mean, 0.0)


class Regions:
    """Which of the three thirds each pixel of a test set lies in.

    The limits are those of the whole set, not of each image: a picture of the
    sky has no textured third.
    """

    def __init__(self, images: Sequence[np.ndarray]):
        """Args:
        images: the clean images, (H, W, C) in [0, 1].
        """
        variances = [local_variance(image) for image in images]
        pixels = np.concatenate([variance.ravel() for variance in variances])
        limits = np.quantile(pixels, [1 / 3, 2 / 3])
        # Equal values, as in a drawing's flat areas, lie on one side of a limit together.
        self._places = [
            np.searchsorted(limits, variance, side="left").astype(np.uint8)
            for variance in variances
        ]

    def psnr(self, clean: Sequence[np.ndarray], outputs: Sequence[np.ndarray]) -> dict[str, float]:
        """Returns the PSNR of each region over all pixels of the set that lie in it, dB.

        The squared errors of the set are averaged before the logarithm: an
        image may have few pixels in a region, or none.

        Args:
            clean: as in the constructor.
            outputs: what is scored, of the same shapes.
        """
        sums, counts = np.zeros(len(REGIONS)), np.zeros(len(REGIONS))
        for place, one, other in zip(self._places, clean, outputs, strict=True):
            error = np.mean((one.astype(np.float64) - other) ** 2, axis=-1)
            sums += np.bincount(place.ravel(), error.ravel(), len(REGIONS))
            counts += np.bincount(place.ravel(), minlength=len(REGIONS))
        return {
            name: float(-10 * np.log10(total / count))
            for name, total, count in zip(REGIONS, sums, counts, strict=True)
            if count
        }


_KEY = ("variant", "gradient", "noise", "seed")


@dataclasses.dataclass(frozen=True, order=True)
class Job:
    """One run of a study.

    Attributes:
        seed: decides initial values and every example.
        noise: σ as text ("15"), or the name of a set with real noise.
        variant: what the study compares.
        gradient: where the gradient comes from.
    """

    seed: int
    noise: str
    variant: str
    gradient: str

    @property
    def folder(self) -> str:
        """The run's folder inside the study's."""
        name = f"{self.variant}_{self.gradient}_{self.noise}_seed{self.seed}"
        return "runs/" + "".join(c if c.isalnum() or c in "._-" else "-" for c in name)


class Results:
    """The rows of results.jsonl: variant, gradient, noise, seed, psnr by test set, and facts."""

    def __init__(self, output: str | os.PathLike):
        """Args:
        output: the study's folder; it may not exist yet.

        Raises:
            UserError: for a line that is no row. A last line without an end, as a
                crash leaves it, is dropped.
        """
        self.path = Path(output) / "results.jsonl"
        self.rows: list[dict] = []
        text = self.path.read_text("utf-8") if self.path.exists() else ""
        self._whole = text[: text.rfind("\n") + 1]
        for number, line in enumerate(self._whole.splitlines(), 1):
            try:
                row = json.loads(line)
                self.job(row)
                self.rows.append(row)
            except (ValueError, KeyError, TypeError) as error:
                raise UserError(
                    f"{self.path} line {number} is no result ({error}).\n"
                    "Take the line out; its run will be made again."
                ) from error

    @staticmethod
    def job(row: dict) -> Job:
        """Returns the job that a row is the result of."""
        return Job(**{field: row[field] for field in _KEY})

    def done(self) -> set[Job]:
        """Returns the jobs that have a row."""
        return {self.job(row) for row in self.rows}

    def add(self, job: Job, row: dict) -> None:
        """Appends the result of a job; it is on the disk when this returns."""
        row = jsonable({**dataclasses.asdict(job), **row})
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists() and self.path.stat().st_size > len(self._whole.encode("utf-8")):
            os.truncate(self.path, len(self._whole.encode("utf-8")))
        line = json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        self._whole += line
        self.rows.append(row)


def agree_on_facts(output: str | os.PathLike, facts: dict) -> dict:
    """Writes study.json, or checks that the one there says the same.

    Args:
        output: the study's folder.
        facts: plain values; those under "free" may differ.

    Returns:
        The facts in the file.

    Raises:
        UserError: names what differs.
    """
    path = Path(output) / "study.json"
    if not path.exists():
        # study.json is the mark of a study's folder: where it is missing, nothing there is ours.
        for name in ("study.json", "results.jsonl", "table.md", "table.csv", "chart.png"):
            require_replaceable(path.with_name(name), f"--output={output}", lambda _: False)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, facts)
        return json.loads(path.read_text("utf-8"))
    earlier = json.loads(path.read_text("utf-8"))
    now = json.loads(json.dumps(jsonable(facts)))
    names = (set(earlier) | set(now)) - {"free"}
    different = [
        f"{name}: {earlier.get(name)!r} there, {now.get(name)!r} now"
        for name in sorted(names)
        if earlier.get(name) != now.get(name)
    ]
    if different:
        raise UserError(
            f"--output={output} holds a study of another form ({'; '.join(different)}).\n"
            "Give the same flags to go on, or another --output."
        )
    return earlier


def train_and_score(
    folder: str | Path,
    config,
    build: Callable,
    images: KeptImages,
    tests: Mapping[str, list],
    label: str,
    regions: bool = False,
    change_batches: Callable | None = None,
) -> dict:
    """Trains a model, or goes on with one, and returns the row of its results.

    Args:
        folder: the run's; see `gradnet_tf.training.loop`.
        config: its `TrainConfig`.
        build: returns a built denoising model.
        images: what to train on.
        tests: by set (name, noisy, clean), see `experiments.study_runs.scored_pairs`.
        label: what the progress line calls the run.
        regions: score the flat and the textured parts of each set too.
        change_batches: called with the batches and the number of the first one; returns those
            to train on.

    Returns:
        `psnr` by set (mean over images of the clipped output, dB; with
        `regions` also "SET flat" and so on, see `experiments.study_runs`), `steps`,
        `train_seconds` (all invocations), `seconds` (scoring too), `params`
        (ψ's included).

    Raises:
        NotFiniteError: when training diverged or an output is not finite.
        Interrupted: after a signal; the same call goes on.
    """
    import keras

    from gradnet_tf.training.engines.choose_engine import make_engine
    from gradnet_tf.training.loop import run_stage

    # What the runs before left behind; the seed of this one is set with its engine.
    keras.backend.clear_session()
    gc.collect()
    engine = make_engine(config, build)
    guided = engine.model.input_channels > engine.model.channels
    # The loop wants something to validate on; no choice depends on it.
    _, noisy, clean = next(iter(tests.values()))[0]
    size = config.crop_size
    watched = [(with_guide(noisy, clean, guided)[:size, :size], clean[:size, :size])]

    def batches(start_step):
        made = training_batches(images, config, guided, start_step)
        return change_batches(made, start_step) if change_batches else made

    result = run_stage(
        config,
        engine,
        batches,
        watched,
        folder,
        label=label,
    )
    trained = time.monotonic()
    psnr: dict[str, float] = {}
    with engine.averaged():
        for name, pairs in tests.items():
            psnr |= _scores(engine, name, pairs, guided, regions)
    if not all(np.isfinite(value) for value in psnr.values()):
        raise NotFiniteError(f"{label}: an output is not finite; its weights are in {folder}.")
    return {
        "psnr": psnr,
        "steps": result["step"],
        "seconds": round(result["elapsed"] + time.monotonic() - trained, 2),
        "train_seconds": round(result["elapsed"], 2),
        "params": engine.model.count_params(),
    }


def with_guide(noisy: np.ndarray, clean: np.ndarray, guided: bool) -> np.ndarray:
    """Returns the model's input: the noisy image, followed by the clean one if `guided`."""
    return np.concatenate([noisy, clean], axis=-1) if guided else noisy


def _scores(engine, name: str, pairs, guided: bool, regions: bool) -> dict[str, float]:
    from gradnet_tf.evaluation.metrics import psnr

    outputs = [
        np.clip(engine.predict(with_guide(noisy, clean, guided)[None])[0], 0, 1)
        for _, noisy, clean in pairs
    ]
    cleans = [clean for _, _, clean in pairs]
    scores = [
        float(np.asarray(psnr(clean[None], output[None]))[0])
        for clean, output in zip(cleans, outputs, strict=True)
    ]
    made = {name: float(np.mean(scores))}
    if regions:
        parts = Regions(cleans).psnr(cleans, outputs)
        made |= {f"{name} {region}": score for region, score in parts.items()}
    return made


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
