"""What a training step of each recipe costs, and the network that it trains."""

import functools
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from experiments.recipe.recipe_variants import RecipeForm, Variant
from gradnet_tf.utils.files import write_json

# A step time that differs by less is the same, as well as it can be measured on a machine with
# other work: no run at equal time is made.
_SAME_COST = 0.05
# Steps are timed in turn with the baseline's, in so many blocks of so many steps.
_BLOCKS, _BLOCK_STEPS = 8, 5


def build_network(form: RecipeForm, variant: Variant):
    """Returns the variant's network with fresh weights."""
    from gradnet_tf.models.presets import build_model

    train = {**form.train, **variant.train}
    model = build_model(
        form.preset, precision=train.get("precision", "float32"), joint=train.get("joint", False)
    )
    if not variant.biases:
        for variable in model.variables:
            if variable.name == "bias":  # They begin at zero and stay there.
                variable.trainable = False
    return model


class StepTimes:
    """CPU seconds of a step by `Variant.cost` and, beside it, of the baseline; kept on the disk.

    CPU time, all threads together, since it hardly depends on what else the machine does.
    """

    def __init__(self, output: str | Path, form: RecipeForm, sources):
        """Args:
        output: the study's folder.
        form: its form.
        sources: of the teacher.
        """
        self._path = Path(output) / "step_times.json"
        self._form, self._sources = form, sources
        there = self._path.exists()
        self.seconds: dict = json.loads(self._path.read_text("utf-8")) if there else {}

    def steps_at_equal_time(self, variant: Variant, baseline: Variant) -> int | None:
        """Returns the steps that take as long as the baseline's; `None` if these are as many."""
        if not variant.cost:
            return None
        if variant.cost not in self.seconds:
            self._measure(variant, baseline)
        own, base = (self.seconds[variant.cost][name] for name in ("variant", "baseline"))
        if abs(own / base - 1) < _SAME_COST:
            return None
        return max(1, round(self._form.steps * base / own))

    def _measure(self, variant: Variant, baseline: Variant) -> None:
        runners = {
            "variant": self._runner(variant),
            "baseline": self._runner(baseline),
        }
        fastest = dict.fromkeys(runners, float("inf"))
        for block in range(_BLOCKS + 1):
            for name, run in runners.items():
                started = time.process_time()
                run()
                if block:  # The first one compiles.
                    each = (time.process_time() - started) / _BLOCK_STEPS
                    fastest[name] = min(fastest[name], each)
        self.seconds[variant.cost] = {name: round(value, 5) for name, value in fastest.items()}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_json(self._path, self.seconds)

    def _runner(self, variant: Variant) -> Callable[[], None]:
        """Returns what makes a block of steps on made-up images."""
        from gradnet_tf.training.engines.choose_engine import make_engine

        config = self._form.train_config(variant, self._form.steps, 0)
        engine = make_engine(config, functools.partial(build_network, self._form, variant))
        generator = np.random.default_rng(0)
        shape = (config.batch_size, config.crop_size, config.crop_size, config.channels)
        batch = [generator.random(shape, np.float32) for _ in range(2)]

        def run():
            for step in range(_BLOCK_STEPS):
                if variant.teacher and step % 2:  # It teaches for half of the steps.
                    self._sources.teacher(batch[0])
                engine.step(batch, 1e-3)["loss"]

        return run
