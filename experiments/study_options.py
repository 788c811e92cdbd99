"""The flags that the studies share."""

import dataclasses

from absl import flags

from gradnet_tf.models.presets import PRECISIONS
from gradnet_tf.training.config import parse_duration, require

FORMS = ("supplement", "short")
# Sets with real noise: they bring what is trained on, and no noise is added.
REAL_NOISE = ("renoir",)


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
        variants: only these, by name, and the ψ that they need; empty for all.
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
    variants: tuple[str, ...] = ()
    train_set: str = "bsds500"
    sets: tuple[str, ...] = ("nyuv2", "cbsd68", "renoir")
    sigmas: tuple[str, ...] = ("15", "50")
    steps: int | None = None
    precision: str | None = None
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


def define_flags(output: str, sets: list[str], sigmas: list[str]) -> None:
    """Defines the flags of a study; not on import, since a process may import several."""
    flags.DEFINE_string("data_dir", None, "folder that holds the image sets")
    flags.DEFINE_string("output", output, "folder of the study")
    flags.DEFINE_string("form", "supplement", "one of " + ", ".join(FORMS))
    flags.DEFINE_string("budget", None, 'scale the steps so that the study takes this, as "65m"')
    flags.DEFINE_string("time_budget", None, "begin no run after this; the same command goes on")
    flags.DEFINE_integer("seeds", 3, "runs of everything, with seeds from 0")
    flags.DEFINE_multi_string("variants", [], "only this variant; may be repeated (default: all)")
    flags.DEFINE_string("train_set", "bsds500", "clean images to train on under Gaussian noise")
    flags.DEFINE_list("sets", sets, "test sets")
    flags.DEFINE_list("sigmas", sigmas, "Gaussian noise levels, 0-255 scale")
    flags.DEFINE_integer("steps", None, "optimiser steps of every run (default: the form's)")
    flags.DEFINE_string("precision", None, "one of " + ", ".join(PRECISIONS))
    flags.DEFINE_bool("report", False, "run nothing; write table and chart of what is there")


def read_flags() -> Options:
    """Fills the options from the flags."""
    values = {name: flags.FLAGS[name].value for name in Options.__dataclass_fields__}
    for name in ("budget", "time_budget"):
        values[name] = parse_duration(name, values[name])
    values |= {name: tuple(values[name]) for name in ("sets", "sigmas", "variants")}
    return Options(**values)
