"""Times, trains and scores the recipes of the recipe study, at equal steps and at equal time."""

import dataclasses
import functools
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import keras
import numpy as np

from datasets.pipeline.leak_guard import LeakGuard
from experiments.recipe_variants import (
    BASELINE,
    EQUAL_STEPS,
    EQUAL_TIME,
    SAME_COST,
    RecipeForm,
    Variant,
)
from experiments.study_runs import (
    KeptImages,
    Results,
    run_folder,
    run_missing,
    scored_pairs,
    train_and_score,
)
from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.files import write_json

TEACHER_FILE = "dncnn/GD_Color_Blind.mat"
# Steps are timed in blocks, alternating with the baseline's.
_BLOCKS, _BLOCK_STEPS = 8, 5


@dataclasses.dataclass(frozen=True, order=True)
class RecipeJob:
    """One run: its seed, its variant, and what it shares with the baseline: steps or time."""

    seed: int
    variant: str
    compared: str

    @property
    def folder(self) -> str:
        """The run's folder inside the study's."""
        return run_folder(f"{self.variant}_{self.compared}_seed{self.seed}")

    @property
    def label(self) -> str:
        """The run's name in progress lines."""
        return f"{self.variant}, {self.compared}, seed {self.seed}"


class RecipeResults(Results):
    """The rows of results.jsonl: variant, compared, seed, psnr by test set and σ, and details."""

    @staticmethod
    def job(row: dict) -> RecipeJob:
        """Returns the job of a row."""
        return RecipeJob(row["seed"], row["variant"], row["compared"])


class CheckedImages(KeptImages):
    """Training images that are checked against the test images once instead of before every run."""

    def __init__(self, image_set):
        """Args:
        image_set: all images are decoded immediately.

        Raises:
            UserError: when a test image is among them.
        """
        super().__init__(image_set)
        guard = LeakGuard()
        for index, path in enumerate(self.paths):
            guard.check(self.load(index), path)
        self.sizes = self.image_sizes()


class RecipeSources:
    """Finds the image sets of the study and the teacher, and caches decoded images.

    Attributes:
        tests: the test pairs, see `scored_at`.
        teacher: file of the network to distill from; `None` without --peers.
    """

    def __init__(self, form: RecipeForm, data_dir: str | None, peers: str | None):
        """Args:
        form: names the test sets.
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
        self.teacher = str(Path(peers) / TEACHER_FILE) if peers else None
        if self.teacher and not Path(self.teacher).is_file():
            raise UserError(f"--peers={peers} has no {TEACHER_FILE}, the network to distill from.")

    def training(self, variant: Variant) -> CheckedImages:
        """Returns the training images of a variant."""
        from datasets.pipeline.mixture import at_scales
        from datasets.sets.catalog import find_training_sets

        key = variant.train_set, tuple(variant.train.get("scales", (1.0,)))
        if key not in self._training:
            images, _ = find_training_sets(variant.train_set, self._data_dir)
            self._training[key] = CheckedImages(at_scales(images, key[1]))
        return self._training[key]


def scored_at(image_sets: Sequence, form: RecipeForm) -> dict[str, list]:
    """Returns the test pairs by "SET σ = LEVEL"."""
    return {
        f"{images.name} σ = {sigma:g}": scored_pairs(images, sigma, form.test_crop)
        for images in image_sets
        for sigma in form.sigmas
    }


def build_network(form: RecipeForm, variant: Variant):
    """Returns the variant's network with fresh weights."""
    from gradnet_tf.models.presets import build_model, get_preset

    train = {**form.train, **variant.train}
    preset = _with_arguments(get_preset(form.preset), variant.network)
    if variant.naive:
        naive = _with_arguments(get_preset(preset.naive), variant.naive)
        preset = dataclasses.replace(preset, naive=naive)
    model = build_model(
        preset, precision=train.get("precision", "float32"), joint=train.get("joint", False)
    )
    if variant.branches:
        add_branches(model)
    if not variant.biases:
        for variable in model.variables:
            if variable.name == "bias":  # initialized with zeros
                variable.trainable = False
    return model


def _with_arguments(preset, arguments: Mapping):
    return dataclasses.replace(preset, arguments={**preset.arguments, **arguments})


#: 3×3 filters of the branches: a 1×1 convolution, Sobel in x and y, and the Laplacian.
_BRANCHES = np.array(
    [
        [[0, 0, 0], [0, 1, 0], [0, 0, 0]],
        [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]],
        [[-1, -2, -1], [0, 0, 0], [1, 2, 1]],
        [[0, 1, 0], [1, -4, 1], [0, 1, 0]],
    ],
    np.float32,
)


class BranchedConv(keras.layers.Conv2D):
    """A 3×3 convolution that trains as a sum of branches and computes as one kernel.

    Beside the kernel K there is a 1×1 convolution before each of four fixed 3×3 filters, as in the
    edge-enhanced blocks of EFDN (arXiv 2204.08759): `K + Σ fᵢ·Wᵢ`, filter fᵢ times the (Cin, Cout)
    matrix Wᵢ. `kernel` is the sum, with which a plain convolution computes the same.
    """

    def add_branches(self) -> None:
        """Adds the matrices, zero at first, to a built layer."""
        self._tracker.unlock()
        self.matrices = self.add_weight(
            shape=(len(_BRANCHES), 1, *self._kernel.shape[2:]), initializer="zeros", name="matrices"
        )
        self._tracker.lock()

    @property
    def kernel(self):
        branches = keras.ops.tensordot(_BRANCHES, self.matrices[:, 0], axes=((0,), (0,)))
        return keras.ops.cast(self._kernel + branches, self.compute_dtype)

    # Keras' own stores the sum, from which a resumed run would go on with other branches.
    def save_own_variables(self, store):
        for index, variable in enumerate(self.weights):
            store[str(index)] = variable

    def load_own_variables(self, store):
        for index, variable in enumerate(self.weights):
            variable.assign(store[str(index)])


def add_branches(model) -> None:
    """Makes 3×3 convolutions train as `BranchedConv`, but not those from or to pixels."""
    for layer in model._flatten_layers():
        if type(layer) is keras.layers.Conv2D and layer.kernel_size == (3, 3):
            if min(layer.kernel.shape[2:]) > model.depth:
                layer.__class__ = BranchedConv
                layer.add_branches()


class StepTimes:
    """CPU seconds of a step of each `Variant.cost` and of the baseline; cached on disk.

    CPU time summed over all threads, because it hardly depends on other work on the machine.
    """

    def __init__(self, output: str | Path, form: RecipeForm, sources):
        """Args:
        output: the study's folder.
        form: its form.
        sources: have the teacher.
        """
        self._path = Path(output) / "step_times.json"
        self._form, self._sources = form, sources
        there = self._path.exists()
        self.seconds: dict = json.loads(self._path.read_text("utf-8")) if there else {}

    def steps_at_equal_time(self, variant: Variant, baseline: Variant) -> int | None:
        """Returns how many steps take the baseline's time; `None` if steps cost the same."""
        if not variant.cost:
            return None
        if variant.cost not in self.seconds:
            self._measure(variant, baseline)
        own, base = (self.seconds[variant.cost][name] for name in ("variant", "baseline"))
        if abs(own / base - 1) < SAME_COST:
            return None
        return max(1, round(self._form.steps * base / own))

    def _measure(self, variant: Variant, baseline: Variant) -> None:
        runners = {"variant": self._runner(variant), "baseline": self._runner(baseline)}
        fastest = dict.fromkeys(runners, float("inf"))
        for block in range(_BLOCKS + 1):
            for name, run in runners.items():
                started = time.process_time()
                run()
                if block:  # the first one includes compilation
                    each = (time.process_time() - started) / _BLOCK_STEPS
                    fastest[name] = min(fastest[name], each)
        self.seconds[variant.cost] = {name: round(value, 5) for name, value in fastest.items()}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_json(self._path, self.seconds)

    def _runner(self, variant: Variant) -> Callable[[], None]:
        """Returns a function that runs a block of steps on random images."""
        from gradnet_tf.training.engines.choose_engine import make_engine
        from gradnet_tf.training.teacher import teacher_of

        config = self._form.train_config(variant, self._form.steps, 0, self._sources.teacher)
        teacher = teacher_of(config) if variant.teacher else None
        engine = make_engine(config, functools.partial(build_network, self._form, variant))
        generator = np.random.default_rng(0)
        shape = (config.batch_size, config.crop_size, config.crop_size, config.channels)
        batch = [generator.random(shape, np.float32) for _ in range(2)]

        # With `teacher_crops` the teacher runs in the first steps alone.
        shown = config.steps * config.batch_size
        share = min(1.0, (config.teacher_crops or shown) / shown)

        def run():
            for step in range(_BLOCK_STEPS):
                taught = teacher and step < share * _BLOCK_STEPS
                target = teacher.targets(*batch) if taught else batch[1]
                engine.step((batch[0], target), 1e-3)["loss"]

        return run


def run_recipes(
    variants: Sequence[Variant],
    seeds: int,
    form: RecipeForm,
    output: str | Path,
    sources,
    time_budget: float | None = None,
) -> RecipeResults:
    """Makes the runs that have no result yet, all of seed 0 first, at equal steps and equal time.

    Args:
        variants: include the baseline.
        seeds: number of runs of each, with seeds from 0.
        form: their size.
        output: the study's folder.
        sources: see `RecipeSources`.
        time_budget: see `run_missing`.

    Raises:
        Interrupted: see `run_missing`.
        NotFiniteError: see `train_and_score`.
    """
    results = RecipeResults(output)
    times = StepTimes(output, form, sources)
    baseline = next(variant for variant in variants if variant.name == BASELINE)
    plan = [(variant, EQUAL_STEPS, form.steps) for variant in variants]
    for variant in variants:
        steps = times.steps_at_equal_time(variant, baseline)
        if steps is not None:
            plan.append((variant, EQUAL_TIME, steps))

    def make(job: RecipeJob, variant: Variant, steps: int, label: str) -> dict:
        return train_and_score(
            Path(output) / job.folder,
            form.train_config(variant, steps, job.seed, sources.teacher),
            functools.partial(build_network, form, variant),
            sources.training(variant),
            sources.tests,
            label,
        )

    runs = []
    for seed in range(seeds):
        for variant, compared, steps in plan:
            job = RecipeJob(seed, variant.name, compared)
            runs.append((job, functools.partial(make, job, variant, steps)))
    run_missing(runs, results, time_budget)
    return results
