r"""Which gradient, and is it worth fixing it: GradNet with one thing changed at a time.

Fixed filters against learned ones and against none (section 3 of the paper's supplement), and
the choices that the sources leave open: the attention's place, r, λ, ψ frozen or fine-tuned.

Example:
  python -m experiments.gradient_study --form=short --data_dir=DATA --output=out/gradient
The same command goes on where it stopped; --report writes table and chart of what is there.
"""

import dataclasses
import functools
import os
from collections.abc import Mapping
from types import MappingProxyType

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


from experiments.study_command import (  # noqa: E402
    Options,  # noqa: E402
    Study,
    run,
)
from experiments.study_runs import (
    Form,  # noqa: E402
    Job,  # noqa: E402
    Task,  # noqa: E402
)
from experiments.study_statistics import NAIVE  # noqa: E402
from gradnet_tf.utils.command import run_script  # noqa: E402
from gradnet_tf.utils.options import CommandLine, Given

LOSS_WEIGHT = 0.1
BASELINE = ("Sobel", "fixed")
# What each configuration changes; all else is the baseline's.
CONFIGURATIONS: Mapping[tuple[str, str], Mapping] = MappingProxyType(
    {
        BASELINE: {},
        ("Scharr", "fixed"): {"filters": "scharr"},
        ("Prewitt", "fixed"): {"filters": "prewitt"},
        ("Sobel", "learned"): {"filters": "sobel", "learned": True},
        ("Scharr", "learned"): {"filters": "scharr", "learned": True},
        ("Prewitt", "learned"): {"filters": "prewitt", "learned": True},
        ("random", "learned"): {"filters": "random", "learned": True},
        ("no gradient", "none"): {"filters": None},
        ("attention after fusion", "fixed"): {"attention_position": "after_fusion"},
        ("r = 16", "fixed"): {"reduction": 16},
        ("λ = 0", "fixed"): {"loss_weight": 0.0},
        ("ψ fine-tuned", "fixed"): {"joint": True},
    }
)
COSTLIEST = ("ψ fine-tuned", "fixed")

# Sizes of `gradnet` and of `gradnet_tiny`, see gradnet_tf/models/presets.py.
FORMS = {
    "supplement": Form(
        "supplement",
        {
            "width": 67,
            "num_modules": 4,
            "num_units": 4,
            "scale": 1,
            "naive_layers": 20,
            "naive_filters": 64,
        },
        64,
        80,
        steps=0,
        epochs=50,
    ),
    "short": Form(
        "short",
        {
            "width": 32,
            "num_modules": 2,
            "num_units": 1,
            "scale": 2,
            "naive_layers": 4,
            "naive_filters": 16,
        },
        batch_size=8,
        crop_size=64,
        steps=1500,
        epochs=0,
        learning_rate=2e-3,
        schedule="cosine",
        warmup_steps=50,
        precision="mixed_bfloat16",
        test_crop=256,
    ),
}


def tasks(asked: Options, form: Form) -> list[Task]:
    """Returns the runs: all of seed 0 first; ψ once for each seed and noise, on plain L1."""
    from experiments.guides import build_guided, build_naive

    made = []
    for seed in range(asked.seeds):
        for noise in asked.noises():
            naive = Job(seed, noise, NAIVE, "none")
            made.append(Task(naive, functools.partial(build_naive, form)))
            for (variant, gradient), change in CONFIGURATIONS.items():
                made.append(
                    Task(
                        Job(seed, noise, variant, gradient),
                        functools.partial(build_guided, form, change),
                        naive,
                        change.get("loss_weight", LOSS_WEIGHT),
                        change.get("joint", False),
                    )
                )
    return made


STUDY = Study("gradient", FORMS, tasks, BASELINE, COSTLIEST)


@dataclasses.dataclass(frozen=True)
class StudyOptions(Options):
    """The options with this study's defaults."""

    output: str = "out/gradient_study"
    sets: tuple[str, ...] = ("bsds500", "cbsd68")
    sigmas: tuple[str, ...] = ("25",)


COMMAND_LINE = CommandLine(StudyOptions)


def main(given: Given) -> None:
    """Runs what is missing, then writes table and chart."""
    run(STUDY, given.make(StudyOptions))


if __name__ == "__main__":
    run_script(main, __doc__, COMMAND_LINE)
