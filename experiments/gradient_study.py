r"""Which gradient, and are fixed filters better: GradNet with one change at a time.

Fixed filters against learned ones and against none (section 3 of the paper's supplement), and
the choices that the paper leaves open: the attention's place, r, λ, ψ frozen or fine-tuned.

Example:
  python -m experiments.gradient_study --form=short --data_dir=DATA --output=out/gradient
The same command resumes an interrupted study; --report writes the table and chart of the existing
results.
"""

import dataclasses
import functools
from collections.abc import Mapping
from types import MappingProxyType

from experiments.study_command import Options, Study, run
from experiments.study_runs import PAPER_TRAINING, TINY_TRAINING, Form, Job, Task
from experiments.study_statistics import NAIVE
from gradnet_tf.utils.command import run_script
from gradnet_tf.utils.options import CommandLine, Given

LOSS_WEIGHT = 0.1
# What the authors' code has instead of the supplement's network; see docs/paper_sources.md.
AUTHORS = {
    "attention_position": "after_fusion",
    "reduction": 16,
    "batch_norm": True,
    "global_skip": False,
}
BASELINE = ("Sobel", "fixed")
# The changes of each configuration from the baseline.
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
        ("authors' network", "fixed"): AUTHORS,
        ("λ = 0", "fixed"): {"loss_weight": 0.0},
        ("ψ fine-tuned", "fixed"): {"joint": True},
    }
)
COSTLIEST = ("ψ fine-tuned", "fixed")

# Sizes of `gradnet` and of `gradnet_tiny`, see gradnet_tf/models/presets.py.
FORMS = {
    "paper": Form(
        "paper",
        {
            "width": 67,
            "num_modules": 4,
            "num_units": 4,
            "scale": 1,
            "naive_layers": 20,
            "naive_filters": 64,
        },
        **PAPER_TRAINING,
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
        sets=("bsds500", "cbsd68"),
        sigmas=("25",),
    ),
    "tiny": Form(
        "tiny",
        {
            "width": 16,
            "num_modules": 1,
            "num_units": 1,
            "scale": 2,
            "naive_layers": 2,
            "naive_filters": 4,
        },
        **TINY_TRAINING,
    ),
}


def tasks(options: Options, form: Form) -> list[Task]:
    """Returns the runs; ψ is trained once for each seed and noise, on plain L1."""
    from experiments.guides import build_guided, build_naive

    made = []
    for seed, noise in options.seeds_and_noises():
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


COMMAND_LINE = CommandLine(StudyOptions)


def main(given: Given) -> None:
    """Makes the missing runs, then writes the table and chart."""
    run(STUDY, given.make(StudyOptions))


if __name__ == "__main__":
    run_script(main, __doc__, COMMAND_LINE)
