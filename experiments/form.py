"""The size of a study: the supplement's, or one that fits a budget of two cores."""

import dataclasses
import math
from collections.abc import Mapping

from gradnet_tf.training.config import TrainConfig
from gradnet_tf.utils.errors import UserError

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
