r"""Does the guide pay? GradNet with its gradient, without it, and with better and worse ones.

At equal width and steps: no guide, λ on and off, the parameters of ψ spent on the body instead,
the estimate itself in place of its gradient, a worse and a better ψ, and the clean image's
gradient as the upper bound. Flat and textured regions are scored separately.

Example:
  python -m experiments.guide_study --form=short --data_dir=DATA --output=out/guide
The same command resumes an interrupted study; --report writes the table and chart of the existing
results.
"""

import dataclasses
import functools
from collections.abc import Mapping
from types import MappingProxyType

from experiments.gradient_study import FORMS, LOSS_WEIGHT
from experiments.study_command import Options, Study, run
from experiments.study_runs import Form, Job, Task
from experiments.study_statistics import NAIVE
from gradnet_tf.utils.command import run_script
from gradnet_tf.utils.options import CommandLine, Given

BASELINE = ("GradNet", "gradient of x̂")
COSTLIEST = ("better ψ", "gradient of x̂")
# A shipped ψ; blind, so it works for every noise level.
BETTER = "gradnet_small_color_blind"
# Fraction of a form's steps that the worse ψ is trained for.
WORSE_SHARE = 0.1
# The changes of each configuration; see `experiments.guides.build_guided`.
CONFIGURATIONS: Mapping[tuple[str, str], Mapping] = MappingProxyType(
    {
        ("no guide", "none"): {"filters": None},
        ("no guide, λ = 0", "none"): {"filters": None, "loss_weight": 0.0},
        # Widened to at least the number of parameters of GradNet with ψ: 34 instead of 32.
        ("no guide, wider", "none"): {"filters": None, "larger": True},
        BASELINE: {},
        ("GradNet, λ = 0", "gradient of x̂"): {"loss_weight": 0.0},
        ("worse ψ", "gradient of x̂"): {"worse": True},
        ("better ψ", "gradient of x̂"): {"naive": BETTER},
        ("x̂ as guide", "x̂ itself"): {"guide": "estimate"},
        ("clean gradient", "gradient of the clean image"): {"naive": "clean"},
    }
)


def larger_body(form: Form) -> int:
    """Returns how many channels a body without a guide needs more to match GradNet's parameters."""
    from experiments.guides import build_guided

    wanted = build_guided(form, {}).count_params()
    more = 0
    while build_guided(form, {"filters": None, "more_width": more}).count_params() < wanted:
        more += 1
    return more


def tasks(options: Options, form: Form) -> list[Task]:
    """Returns the runs; each ψ is trained once for each seed and noise, on plain L1."""
    from experiments.guides import build_guided, build_naive

    more = larger_body(form)
    made = []
    for seed, noise in options.seeds_and_noises():
        naive = Job(seed, noise, NAIVE, "none")
        worse = Job(seed, noise, NAIVE, "worse")
        made.append(Task(naive, functools.partial(build_naive, form), regions=True))
        made.append(
            Task(worse, functools.partial(build_naive, form), share=WORSE_SHARE, regions=True)
        )
        for (variant, gradient), change in CONFIGURATIONS.items():
            change = {**change, "more_width": more if change.get("larger") else 0}
            own_naive = "naive" not in change and change.get("filters", "sobel") is not None
            made.append(
                Task(
                    Job(seed, noise, variant, gradient),
                    functools.partial(build_guided, form, change),
                    (worse if change.get("worse") else naive) if own_naive else None,
                    change.get("loss_weight", LOSS_WEIGHT),
                    regions=True,
                )
            )
    return made


STUDY = Study("guide", FORMS, tasks, BASELINE, COSTLIEST)


@dataclasses.dataclass(frozen=True)
class StudyOptions(Options):
    """The options with this study's defaults.

    Attributes:
        train_set: clean images to train on.
        sets: test sets.
        sigmas: Gaussian noise levels on the 0-255 scale.
    """

    output: str = "out/guide_study"
    train_set: str | None = "bsds500"
    sets: tuple[str, ...] | None = ("cbsd68",)
    sigmas: tuple[str, ...] | None = ("25",)


COMMAND_LINE = CommandLine(StudyOptions)


def main(given: Given) -> None:
    """Makes the missing runs, then writes the table and chart."""
    run(STUDY, given.make(StudyOptions))


if __name__ == "__main__":
    run_script(main, __doc__, COMMAND_LINE)
