r"""What buys PSNR for an hour of CPU: the training recipe with one thing changed at a time.

Optimisers and rates, batches and crops, the loss and the schedule at the end, distillation, and
what is trained on. Every recipe runs at the baseline's number of steps and, where a step costs
something else, again with as many steps as take the baseline's time.

Example:
  python -m experiments.recipe_study --form=short --data_dir=DATA --output=out/recipe
--peers=PEERS adds distillation; --variants takes names of variants and of their groups
(optimizer, batch, objective, network, data). The same command goes on where it stopped;
--report writes table and chart of what is there.
"""

import dataclasses
import functools
import logging
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from experiments.recipe.recipe_report import write_recipe_report  # noqa: E402
from experiments.recipe.recipe_runs import (  # noqa: E402
    RecipeResults,
    RecipeSources,
    work_through_recipes,
)
from experiments.recipe.recipe_variants import FORMS, RecipeForm, chosen_variants  # noqa: E402
from experiments.recipe.step_times import StepTimes  # noqa: E402
from experiments.study_runs import agree_on_facts
from gradnet_tf.training.config import parse_duration, require
from gradnet_tf.utils.command import run_script
from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.files import jsonable
from gradnet_tf.utils.options import CommandLine, Given, option
from gradnet_tf.utils.quiet import quiet_native_logs
from gradnet_tf.utils.versions import installed_versions


@dataclasses.dataclass(frozen=True)
class RecipeOptions:
    """What the study is asked for.

    Attributes:
        data_dir: folder that holds the image sets.
        peers: folder of published weights; adds distillation.
        output: folder of the study.
        form: size of the runs.
        seeds: runs of everything, with seeds from 0.
        variants: only this variant or group, and the baseline; may be repeated.
        steps: optimizer steps at equal steps (default: the form's).
        time_budget: start no run after this time, such as 25m; the same command continues.
        report: run nothing; write table and chart of the results that are there.
    """

    data_dir: str | None = None
    peers: str | None = None
    output: str = "out/recipe"
    form: str = option("short", choices=tuple(FORMS))
    seeds: int = option(3, least=1)
    variants: tuple[str, ...] = option((), repeated=True)
    steps: int | None = option(None, least=1)
    time_budget: float | None = option(None, parse=functools.partial(parse_duration, "time_budget"))
    report: bool = False

    def __post_init__(self):
        require(self.form in FORMS, "form", self.form, f"one of {', '.join(FORMS)}")
        require(self.seeds >= 1, "seeds", self.seeds, "at least 1")
        require(self.steps is None or self.steps >= 1, "steps", self.steps, "at least 1")


COMMAND_LINE = CommandLine(RecipeOptions)


def run_recipe_study(options: RecipeOptions, form: RecipeForm, sources=None) -> None:
    """Runs what is missing, then writes table and chart.

    Args:
        options: what is asked for.
        form: the size of the runs.
        sources: instead of the images that the form names; see `RecipeSources`.

    Raises:
        UserError: for images or results that are not there, and for a folder of another study.
        Interrupted, NotFiniteError: see `work_through_recipes`.
    """
    times = StepTimes(options.output, form, None)
    if options.report:
        results = RecipeResults(options.output)
        if not results.rows:
            raise UserError(f"--output={options.output} holds no results.jsonl with results.")
        print(write_recipe_report(results.rows, times.seconds, options.output))
        return
    variants = chosen_variants(options.variants, bool(options.peers))
    sources = sources or RecipeSources(form, options.data_dir, options.peers)
    with quiet_native_logs():
        from gradnet_tf.training.engines.choose_engine import start_devices

        start_devices()
    # A new network for each run is what a study is, not a mistake to warn of.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    facts = {
        "study": "recipe",
        "form": jsonable({**vars(form), "train": dict(form.train)}),
        "free": {
            "seeds": options.seeds,
            "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
            "versions": installed_versions(),
        },
    }
    agree_on_facts(options.output, facts)
    results = work_through_recipes(
        variants, options.seeds, form, options.output, sources, options.time_budget
    )
    times = StepTimes(options.output, form, None)
    print(write_recipe_report(results.rows, times.seconds, options.output))


def main(given: Given) -> None:
    """Runs the study."""
    options = given.make(RecipeOptions)
    form = FORMS[options.form]
    if options.steps:
        form = dataclasses.replace(form, steps=options.steps)
    run_recipe_study(options, form)


if __name__ == "__main__":
    run_script(main, __doc__, COMMAND_LINE)
