r"""Where to fuse the gradient: SKDnCNN alone and as GradNet-I to IV (the paper's figure 2).

The paper's form is the experiment of figure 3 of the paper and figure 1 of its supplement: NYUv2
at σ = 15 and 50, and SIDD; see docs/paper.md.

Example:
  python -m experiments.fusion_study --form=paper --data_dir=DATA --output=out/figure_1
  python -m experiments.fusion_study --form=short --data_dir=DATA --output=out/fusion
The same command resumes an interrupted study; --report writes the table and chart of the existing
results.
"""

import dataclasses
import functools

from experiments.study_command import Options, Study, run
from experiments.study_runs import PAPER_TRAINING, TINY_TRAINING, Form, Job, Task
from experiments.study_statistics import NAIVE
from gradnet_tf.utils.command import run_script
from gradnet_tf.utils.options import CommandLine, Given, option

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


# The supplement gives no depth and no batch size: both are those of the authors' script.
FORMS = {
    "paper": Form("paper", {"num_layers": 20, "filters": 64}, **PAPER_TRAINING),
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
        sets=("nyuv2", "cbsd68", "renoir"),
        sigmas=("15", "50"),
    ),
    "tiny": Form("tiny", {"num_layers": 3, "filters": 4}, **TINY_TRAINING),
}


def _build_naive(form: Form, weights=None):
    from gradnet_tf.models import DnCNN
    from gradnet_tf.models.base import build_model

    names = ("num_layers", "filters", "details")
    size = {name: form.network[name] for name in names if name in form.network}
    model = build_model(DnCNN(**size, batch_norm=True, dtype=form.precision))
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


@dataclasses.dataclass(frozen=True)
class NetworkOptions:
    """How SKDnCNN is read, where the sources differ; each field is a flag.

    Attributes:
        network: the network as drawn in figure 2, or that of the authors' code.
        product: what GradNet-IV multiplies with: a factor learned from G (gate), 1 + G (gain), or
            G alone (gradient), which leaves the noise where the guide is flat.
        details: biases, initial values and the Sobel filter's border: ours or the authors'; see
            `DenoisingModel`.
    """

    network: str = option("drawn", choices=("drawn", "authors"))
    product: str = option("gate", choices=("gate", "gain", "gradient"))
    details: str = option("ours", choices=("ours", "authors"))


COMMAND_LINE = CommandLine(StudyOptions, NetworkOptions)


def study_of(network: NetworkOptions) -> Study:
    """Returns the study of one reading of SKDnCNN; its folder accepts no other."""
    more = {"variant": network.network, "product": network.product}
    if network.details != "ours":  # absent in studies of earlier versions
        more["details"] = network.details
    forms = {
        name: dataclasses.replace(form, network={**form.network, **more})
        for name, form in FORMS.items()
    }
    return dataclasses.replace(STUDY, forms=forms)


def main(given: Given) -> None:
    """Makes the missing runs, then writes the table and chart."""
    run(study_of(given.make(NetworkOptions)), given.make(StudyOptions))


if __name__ == "__main__":
    run_script(main, __doc__, COMMAND_LINE)
