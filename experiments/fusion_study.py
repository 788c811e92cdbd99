r"""Where to fuse the gradient: SKDnCNN alone and as GradNet-I to IV (the paper's figure 2).

Example:
  python -m experiments.fusion_study --form=short --data_dir=DATA --output=out/fusion
The same command goes on where it stopped; --report writes table and chart of what is there.
"""

import dataclasses
import functools
import os

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

# The paper's figures: every place, with the clean gradient (figure 3) and with the approximate
# one (the supplement's figure 1); the noisy image's own at the paper's place as a control.
CONFIGURATIONS = (
    ("none", "none"),
    *(
        (fusion, gradient)
        for gradient in ("clean", "approximate")
        for fusion in "I II III IV".split()
    ),
    ("II", "noisy"),
)
BASELINE = ("none", "none")
# Seconds of the study are those of its costliest runs where a budget is shared out.
COSTLIEST = ("II", "approximate")


# The supplement says depth and batch size of neither network: as the colour DnCNN's, and ours.
FORMS = {
    "supplement": Form("supplement", {"num_layers": 20, "filters": 64}, 64, 80, steps=0, epochs=50),
    "short": Form(
        "short",
        {"num_layers": 6, "filters": 32},
        batch_size=8,
        crop_size=40,
        steps=800,
        epochs=0,
        warmup_steps=50,
        precision="mixed_bfloat16",
        test_crop=256,
    ),
}


def _build_naive(form: Form, weights=None):
    from gradnet_tf.models import DnCNN
    from gradnet_tf.models.base import build_model

    model = build_model(DnCNN(**form.network, batch_norm=True, dtype=form.precision))
    if weights is not None:
        model.load_weights(weights)
    return model


def _build(form: Form, fusion: str, gradient: str, weights):
    from gradnet_tf.models import SKDnCNN
    from gradnet_tf.models.base import build_model

    naive = None
    if gradient == "approximate":
        naive = _build_naive(form, weights)
        naive.trainable = False
    return build_model(SKDnCNN(fusion, gradient, naive, **form.network, dtype=form.precision))


def tasks(asked: Options, form: Form) -> list[Task]:
    """Returns the runs: all of seed 0 first, so that a part of the study is balanced.

    ψ is trained once for each seed and noise, before the runs that need it.
    All train on plain L1: the gradient in GradNet's loss is another question.
    """
    made = []
    for seed in range(asked.seeds):
        for noise in asked.noises():
            naive = Job(seed, noise, NAIVE, "none")
            made.append(Task(naive, functools.partial(_build_naive, form)))
            for fusion, gradient in CONFIGURATIONS:
                made.append(
                    Task(
                        Job(seed, noise, fusion, gradient),
                        functools.partial(_build, form, fusion, gradient),
                        naive if gradient == "approximate" else None,
                    )
                )
    return made


STUDY = Study("fusion", FORMS, tasks, BASELINE, COSTLIEST)


@dataclasses.dataclass(frozen=True)
class StudyOptions(Options):
    """The options with this study's defaults."""

    output: str = "out/fusion_study"
    sets: tuple[str, ...] = ("nyuv2", "cbsd68", "renoir")
    sigmas: tuple[str, ...] = ("15", "50")


COMMAND_LINE = CommandLine(StudyOptions)


def main(given: Given) -> None:
    """Runs what is missing, then writes table and chart."""
    run(STUDY, given.make(StudyOptions))


if __name__ == "__main__":
    run_script(main, __doc__, COMMAND_LINE)
