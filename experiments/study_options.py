"""The options that the studies share."""

import dataclasses
import functools

from gradnet_tf.models.presets import PRECISIONS
from gradnet_tf.training.config import parse_duration, require
from gradnet_tf.utils.options import option

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
