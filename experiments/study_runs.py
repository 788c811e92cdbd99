"""The runs of a study: their size, images, training and scores, one after the other.

Results are stored as one JSON object per line; a run that has a result is not repeated. Flat and
textured regions can be scored separately: thirds of a set's pixels by local variance.
"""

import dataclasses
import functools
import gc
import json
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from datasets.pipeline.batches import PipelineConfig
from datasets.pipeline.mixture import known_sizes
from datasets.pipeline.tf_pipeline import input_errors
from datasets.sets.image_set import ImageSet
from gradnet_tf.evaluation.evaluate_set import (
    EvaluateConfig,
    clean_image,
    noisy_input,
    require_fitting_noise,
)
from gradnet_tf.loading.run_folder import best_weights
from gradnet_tf.models.presets import PAPER_RECIPE
from gradnet_tf.training.config import TrainConfig, steps_per_epoch
from gradnet_tf.utils.console import format_seconds
from gradnet_tf.utils.errors import Interrupted, NotFiniteError, Stopped, UserError
from gradnet_tf.utils.files import jsonable, write_json
from gradnet_tf.utils.ownership import require_replaceable

# Share of a budget for the training steps; the rest is for compiling, decoding and scoring.
_SHARE_OF_STEPS = 0.6
_FEWEST_STEPS = 100
#: Pixels above which an image counts as a camera's frame.
_LARGEST_IMAGE = 4_000_000
# What chooses the best weights: at most so many images, the center of each.
_MOST_VALIDATION, _VALIDATION_CROP = 16, 256
# How often, in a form of steps instead of epochs.
_VALIDATIONS = 50


@dataclasses.dataclass(frozen=True)
class Form:
    """What all runs of a study have in common.

    Attributes:
        name: "paper", "short" or "tiny".
        network: sizes of the networks, as the study reads them.
        batch_size: crops in a step.
        crop_size: side of the crops in pixels.
        steps: optimizer steps; 0 for `epochs` instead.
        epochs: each of `crops_per_image` crops of every training image, in whole batches.
        crops_per_image: random crops in an epoch; 0 for as many as an image holds side by side.
        crops_per_frame: the same of photographs above four megapixels, whose set has fewer.
        learning_rate: before it falls to a fifth after 60% of the steps.
        schedule: see `gradnet_tf.training.schedules`.
        warmup_steps: steps over which the learning rate grows from zero.
        precision: dtype policy, of training and of the scores.
        test_crop: side of the center crop of a test image that is scored; 0
            for the whole image.
        clip_norm: bound on the norm of the gradients; 0 for none.
        score: which weights are scored: "last", for which all variants have equal steps, or "best"
            on the validation split after an epoch, as the authors' code does.
        streams: read training images from shards on disk and test images one by one, instead of
            keeping all in memory.
        train_set: the default of the option.
        sets: the default of the option.
        sigmas: the default of the option.
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
    clip_norm: float = 1.0
    crops_per_image: int = 4
    crops_per_frame: int = 40
    score: str = "last"
    streams: bool = False
    train_set: str = "bsds500"
    sets: tuple[str, ...] = ()
    sigmas: tuple[str, ...] = ()

    def steps_for(self, image_sizes: Sequence[tuple[int, int]]) -> int:
        """Returns the optimizer steps of a run on training images of these sizes."""
        if self.steps:
            return self.steps
        crops = sum(self._crops_of(height, width) for height, width in image_sizes)
        return self.epochs * steps_per_epoch(crops, self.batch_size)

    def _crops_of(self, height: int, width: int) -> int:
        if min(height, width) < self.crop_size:
            return 0  # it is skipped in training, too
        if not self.crops_per_image:
            return (height // self.crop_size) * (width // self.crop_size)
        is_frame = height * width > _LARGEST_IMAGE
        return self.crops_per_frame if is_frame else self.crops_per_image

    def train_config(self, steps: int, seed: int, sigma: float, loss_weight: float, joint: bool):
        """Returns the `TrainConfig` of one run; the preset stands for all of the paper's."""
        # Best weights are those of the only validation, at the end, if the last ones are scored.
        every = 1 if self.score == "last" else self.epochs or _VALIDATIONS
        return TrainConfig(
            preset="gradnet",  # "dncnn" differs in that it refuses `joint`
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
            clip_norm=self.clip_norm,
            seed=seed,
            validate_every=max(1, steps // every),
        )


#: The paper's training, for every study; see `gradnet_tf.models.presets.PAPER_RECIPE`.
PAPER_TRAINING: Mapping[str, Any] = MappingProxyType(
    {
        **{name: getattr(PAPER_RECIPE, name) for name in ("batch_size", "crop_size", "epochs")},
        **{name: getattr(PAPER_RECIPE, name) for name in ("learning_rate", "schedule")},
        **{name: getattr(PAPER_RECIPE, name) for name in ("warmup_steps", "clip_norm")},
        "steps": 0,
        "streams": True,
        "train_set": "nyuv2",
        "sets": ("nyuv2", "sidd"),
        "sigmas": ("15", "50"),
    }
)
#: The same on small files, in seconds: to try a command and in tests.
TINY_TRAINING: Mapping[str, Any] = MappingProxyType(
    {**PAPER_TRAINING, "batch_size": 4, "crop_size": 16, "epochs": 5}
)


def scaled_to(form: Form, budget: float, runs: int, seconds_per_step: float) -> Form:
    """Returns the form with as many steps as the budget allows, the same for every run.

    Args:
        form: the form to scale; only its steps change.
        budget: seconds for the whole study.
        runs: how many runs share it.
        seconds_per_step: as measured with the costliest configuration.

    Raises:
        UserError: when too few steps would be left for any training.
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
        image_set: decoded on first access.
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
        """Returns the reference for scores, float32 (H, W, C) in [0, 1]."""
        return self._keep("clean", index)

    def noisy(self, index: int) -> np.ndarray | None:
        """Returns the image with real noise, if there is one."""
        return self._keep("noisy", index)

    def original(self, index: int) -> np.ndarray | None:
        """Returns the image before `load` modified it, for the leak guard, or `None`."""
        return self._set.original(index)

    def image_sizes(self) -> list[tuple[int, int]]:
        """Returns the height and width of each image."""
        return [self.load(index).shape[:2] for index in range(len(self))]


def image_sizes(images) -> list[tuple[int, int]]:
    """Returns the height and width of each image; those of shards are known without decoding."""
    known = known_sizes(images)
    return [size or images.load(index).shape[:2] for index, size in enumerate(known)]


class ScoredPairs(Sequence):
    """The test pairs of a set, made one by one: (name, noisy, clean).

    Both images are float32 (H, W, C) and not clipped. The noise is `evaluate.py`'s with seed 0,
    drawn for the whole image and cut with it.
    """

    def __init__(self, image_set, sigma: float | None, crop: int):
        """Args:
        image_set: the test images.
        sigma: noise level on the 0-255 scale; `None` for sets with real noise.
        crop: side of the center crop in pixels, at most the image's; 0 for the whole image.

        Raises:
            UserError: for a level together with real noise, or neither.
        """
        require_fitting_noise(image_set, sigma)
        self._set, self._crop = image_set, crop
        self._config = EvaluateConfig(dataset=image_set.name, sigma=sigma, seed=_NOISE_SEED)

    def __len__(self) -> int:
        return len(self._set.names)

    def __getitem__(self, index):
        name = self._set.names[index]  # raises IndexError at the end
        clean = clean_image(self._set, index)
        noisy = noisy_input(clean, self._set.noisy(index), name, self._config)
        crop = self._crop
        height, width = (min(crop, side) if crop else side for side in clean.shape[:2])
        top, left = (clean.shape[0] - height) // 2, (clean.shape[1] - width) // 2
        rows, columns = slice(top, top + height), slice(left, left + width)
        return name, noisy[rows, columns], clean[rows, columns]


def scored_pairs(
    image_set, sigma: float | None, crop: int
) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Returns all test pairs of a set at once; see `ScoredPairs`."""
    return list(ScoredPairs(image_set, sigma, crop))


def training_batches(
    images: ImageSet | KeptImages, config, clean_as_guide: bool, start_step: int = 0
):
    """Returns the engine's batches of a run.

    Args:
        images: the training images.
        config: the run's `TrainConfig`.
        clean_as_guide: append the clean crop to the noisy one along the channels.
        start_step: number of the first batch.

    Raises:
        UserError: on a Keras backend other than TensorFlow, because the pipeline uses tf.data.
    """
    import keras

    if keras.backend.backend() != "tensorflow":
        raise UserError(
            "the studies require KERAS_BACKEND=tensorflow. "
            f"Received: KERAS_BACKEND={keras.backend.backend()}"
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
# Side of a pixel's neighborhood: what the gradient filter and the convolutions around it see.
_WINDOW = 7


def local_variance(image: np.ndarray) -> np.ndarray:
    """Returns the variance of brightness in the 7×7 pixels around each, symmetric at the border.

    Args:
        image: (H, W, C) in [0, 1]; averaged over the channels.

    Returns:
        float64 (H, W), never negative.
    """
    import cv2

    gray = image.mean(axis=-1, dtype=np.float64)
    window = {"ddepth": -1, "ksize": (_WINDOW, _WINDOW), "borderType": cv2.BORDER_REFLECT}
    mean = cv2.boxFilter(gray, **window)
    return np.maximum(cv2.boxFilter(gray * gray, **window) - mean * mean, 0.0)


class Regions:
    """Assigns each pixel of a test set to one of the three regions.

    The thresholds are computed over the whole set, not per image: a picture of the sky has no
    textured third.
    """

    def __init__(self, images: Sequence[np.ndarray]):
        """Args:
        images: the clean images, (H, W, C) in [0, 1].
        """
        variances = [local_variance(image) for image in images]
        pixels = np.concatenate([variance.ravel() for variance in variances])
        limits = np.quantile(pixels, [1 / 3, 2 / 3])
        # Equal values, as in the flat areas of a drawing, get the same region.
        self._places = [
            np.searchsorted(limits, variance, side="left").astype(np.uint8)
            for variance in variances
        ]

    def psnr(self, clean: Sequence[np.ndarray], outputs: Sequence[np.ndarray]) -> dict[str, float]:
        """Returns the PSNR of each region over all its pixels in the set, dB.

        Squared errors are averaged over the set before the logarithm, because an image may have
        few pixels in a region, or none.

        Args:
            clean: as in the constructor.
            outputs: the denoised images, of the same shapes.
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
        seed: determines the initial values and every training example.
        noise: σ as text ("15"), or the name of a set with real noise.
        variant: the configuration that is compared.
        gradient: the source of the gradient.
    """

    seed: int
    noise: str
    variant: str
    gradient: str

    @property
    def sigma(self) -> float | None:
        """The noise level; `None` for a set with real noise."""
        try:
            return float(self.noise)
        except ValueError:
            return None

    @property
    def folder(self) -> str:
        """The run's folder inside the study's."""
        return run_folder(f"{self.variant}_{self.gradient}_{self.noise}_seed{self.seed}")

    @property
    def label(self) -> str:
        """The run's name in progress lines."""
        return f"{self.variant}, {self.gradient}, {self.noise}, seed {self.seed}"


def run_folder(name: str) -> str:
    """Returns the path of a run's folder inside the study's."""
    return "runs/" + re.sub(r"[^\w.-]", "-", name)


class Results:
    """The rows of results.jsonl: variant, gradient, noise, seed, psnr by test set, and details."""

    def __init__(self, output: str | os.PathLike):
        """Args:
        output: the study's folder; it may not exist yet.

        Raises:
            UserError: for an invalid line. An incomplete last line, as a crash leaves it, is
                dropped.
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
                    f"{self.path} line {number} is not a valid result ({error}).\n"
                    "Delete the line; its run will be repeated."
                ) from error

    @staticmethod
    def job(row: dict) -> Job:
        """Returns the job of a row."""
        return Job(**{field: row[field] for field in _KEY})

    def existing_rows(self) -> list[dict]:
        """Returns the rows.

        Raises:
            UserError: when there are none.
        """
        if not self.rows:
            raise UserError(f"--output={self.path.parent} has no results.jsonl with results.")
        return self.rows

    def done(self) -> set[Job]:
        """Returns the jobs that have a row."""
        return {self.job(row) for row in self.rows}

    def add(self, job: Job, row: dict) -> None:
        """Appends the result of a job and flushes it to disk."""
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


def check_or_write_info(output: str | os.PathLike, info: dict) -> dict:
    """Writes study.json, or checks that the existing one has the same settings.

    Args:
        output: the study's folder.
        info: settings, as JSON values; those under "free" may differ.

    Returns:
        The settings in the file.

    Raises:
        UserError: lists the differences.
    """
    path = Path(output) / "study.json"
    if not path.exists():
        # Without study.json the folder is not a study's, so existing files belong to somebody else.
        for name in ("study.json", "results.jsonl", "table.md", "table.csv", "chart.png"):
            require_replaceable(path.with_name(name), f"--output={output}", lambda _: False)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, info)
        return json.loads(path.read_text("utf-8"))
    earlier = json.loads(path.read_text("utf-8"))
    now = json.loads(json.dumps(jsonable(info)))
    if isinstance(earlier.get("form"), dict) and isinstance(now.get("form"), dict):
        # A form of an earlier version lacks the fields that were added since, whose defaults are
        # what it did.
        known = {
            each.name: json.loads(json.dumps(each.default))
            for each in dataclasses.fields(Form)
            if each.name in now["form"] and each.default is not dataclasses.MISSING
        }
        earlier["form"] = {**known, **earlier["form"]}
    names = (set(earlier) | set(now)) - {"free"}
    different = [
        f"{name}: {earlier.get(name)!r} there, {now.get(name)!r} now"
        for name in sorted(names)
        if earlier.get(name) != now.get(name)
    ]
    if different:
        raise UserError(
            f"--output={output} has a study with other settings ({'; '.join(different)}).\n"
            "Use the same flags to resume, or another --output."
        )
    return earlier


def train_and_score(
    folder: str | Path,
    config,
    build: Callable,
    images: ImageSet | KeptImages,
    tests: Mapping[str, Sequence],
    label: str,
    regions: bool = False,
    validation: Sequence | None = None,
) -> dict:
    """Trains a model, or resumes its training, and returns its row of results.

    Args:
        folder: the run's folder.
        config: its `TrainConfig`.
        build: returns a built denoising model.
        images: the training images.
        tests: test pairs by set, see `scored_pairs`.
        label: name of the run in the progress line.
        regions: score the flat and the textured regions of each set too.
        validation: pairs that choose the weights to score; `None` to score the last ones.

    Returns:
        `psnr` by set (mean over images of the clipped output, dB; with `regions` also "SET flat"
        and so on), `steps`, `train_seconds` (all invocations), `seconds` (scoring too), `params`
        (including ψ).

    Raises:
        NotFiniteError: when training diverged or an output is not finite.
        Interrupted: after a signal; the same call resumes.
    """
    import keras

    from gradnet_tf.training.engines.choose_engine import make_engine
    from gradnet_tf.training.loop import run_stage

    # Frees what earlier runs left behind; the engine sets this run's seed.
    keras.backend.clear_session()
    gc.collect()
    engine = make_engine(config, build)
    guided = engine.model.input_channels > engine.model.channels
    if validation is None:
        # The loop requires validation images, but the study does not use their scores.
        _, noisy, clean = next(iter(tests.values()))[0]
        size = config.crop_size
        watched = [(with_guide(noisy, clean, guided)[:size, :size], clean[:size, :size])]
    else:
        watched = [(with_guide(noisy, clean, guided), clean) for _, noisy, clean in validation]

    def batches(start_step):
        return training_batches(images, config, guided, start_step)

    with input_errors():
        result = run_stage(config, engine, batches, watched, folder, label=label)
    if result["stopped"]:  # The training is complete, and its scores can be made later.
        raise Stopped(f"stopped by {result['stopped']} after {label}; the same command resumes.")
    if validation is not None:
        engine.model.load_weights(best_weights(Path(folder)))
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

    scores, cleans, outputs = [], [], []
    for _, noisy, clean in pairs:
        output = np.clip(engine.predict(with_guide(noisy, clean, guided)[None])[0], 0, 1)
        scores.append(float(np.asarray(psnr(clean[None], output[None]))[0]))
        if regions:
            cleans.append(clean)
            outputs.append(output)
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
        joint: whether ψ is trained together with the network.
        share: fraction of the form's steps that the run gets.
        regions: whether flat and textured regions are scored separately too.
    """

    job: Job
    build: Callable
    naive: Job | None = None
    loss_weight: float = 0.0
    joint: bool = False
    share: float = 1.0
    regions: bool = False


def run_tasks(
    tasks: Sequence[Task],
    form: Form,
    output: str | Path,
    training_set: Callable[[str], ImageSet | KeptImages],
    test_sets: Callable[[str], dict],
    validation_set: Callable[[str], ImageSet],
    time_budget: float | None = None,
) -> Results:
    """Makes the runs that have no result yet, in the given order.

    Args:
        tasks: all runs of the study; a ψ comes before those that need it.
        form: their size.
        output: the study's folder.
        training_set: from a job's noise to the images to train on.
        test_sets: from a job's noise to the image sets to score on, by name.
        validation_set: from a job's noise to the images that choose weights, if the form has that.
        time_budget: see `run_missing`.

    Raises:
        Interrupted: see `run_missing`.
    """
    tests: dict[str, dict] = {}

    def make(task: Task, label: str) -> dict:
        job = task.job
        images = training_set(job.noise)
        sigma = job.sigma
        require_fitting_noise(images, sigma)
        if job.noise not in tests:
            tests.clear()  # only one kind of noise is kept in memory
            pairs = ScoredPairs if form.streams else scored_pairs
            tests[job.noise] = {
                name: pairs(image_set, sigma, form.test_crop)
                for name, image_set in test_sets(job.noise).items()
            }
        steps = max(1, round(task.share * form.steps_for(image_sizes(images))))
        config = form.train_config(steps, job.seed, sigma or 0.0, task.loss_weight, task.joint)
        weights = best_weights(Path(output) / task.naive.folder) if task.naive else None
        if task.naive and weights is None:
            raise UserError(
                f"{label}: the weights of its naive denoiser are gone, though results.jsonl has "
                f"its score. Expected {Path(output) / task.naive.folder}.\n"
                f"Copy that folder back, or delete the line of {task.naive.label} from "
                "results.jsonl to train it again."
            )
        validation = None
        if form.score == "best":
            chosen = validation_set(job.noise).first(_MOST_VALIDATION)
            validation = ScoredPairs(chosen, sigma, _VALIDATION_CROP)
        return train_and_score(
            Path(output) / job.folder,
            config,
            lambda: task.build(weights),
            images,
            tests[job.noise],
            label,
            task.regions,
            validation=validation,
        )

    results = Results(output)
    runs = [(task.job, functools.partial(make, task)) for task in tasks]
    run_missing(runs, results, time_budget)
    return results


def run_missing(
    runs: Sequence[tuple[Any, Callable[[str], dict]]],
    results: Results,
    time_budget: float | None = None,
) -> None:
    """Makes the runs that have no result yet, in the given order.

    Args:
        runs: each job with the function that makes its row, called with a label for the progress
            line.
        results: gets the rows.
        time_budget: no run is started after so many seconds; `None` for no limit.

    Raises:
        Interrupted: when the time is over or a signal came, and runs are left.
    """
    started = time.monotonic()
    left = [(job, make) for job, make in runs if job not in results.done()]
    done, total = len(runs) - len(left), len(runs)
    print(f"{done} of {total} runs are done", flush=True)
    for number, (job, make) in enumerate(left, done + 1):
        if time_budget is not None and time.monotonic() - started > time_budget:
            raise Interrupted(
                f"--time_budget is over after {number - 1} of {total} runs.\n"
                "Run the same command again to resume."
            )
        label = f"{number}/{total}  {job.label}"
        row = make(label)
        results.add(job, row)
        scores = "  ".join(f"{name} {value:.2f}" for name, value in row["psnr"].items())
        rest = (time.monotonic() - started) / (number - done) * (total - number)
        print(
            f"{label}: {scores} dB  {row['seconds']:.0f} s, left {format_seconds(rest)}", flush=True
        )
