r"""Where to fuse the gradient: SKDnCNN alone and as GradNet-I to IV (the paper's figure 2).

Example:
  python -m experiments.fusion_study --form=short --data_dir=DATA --output=out/fusion
The same command resumes an interrupted study; --report writes the table and chart of the existing
results.
"""

import dataclasses
import functools

from experiments.study_command import Options, Study, run
from experiments.study_runs import Form, Job, Task
from experiments.study_statistics import NAIVE
from gradnet_tf.utils.command import run_script
from gradnet_tf.utils.options import CommandLine, Given

# The paper's figures: every place, with the clean gradient (figure 3) and with the approximate
# one (the supplement's figure 1); the noisy image's own gradient at place II as a control.
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
# The step that is timed to share out a budget.
COSTLIEST = ("II", "approximate")


# The supplement gives no depth (here as in color DnCNN) and no batch size (here as in ours).
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


def tasks(options: Options, form: Form) -> list[Task]:
    """Returns the runs.

    ψ is trained once for each seed and noise, before the runs that need it. All networks train on
    plain L1, because the gradient term of GradNet's loss is a separate question.
    """
    made = []
    for seed, noise in options.seeds_and_noises():
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
    """Makes the missing runs, then writes the table and chart."""
    run(STUDY, given.make(StudyOptions))


if __name__ == "__main__":
    run_script(main, __doc__, COMMAND_LINE)
