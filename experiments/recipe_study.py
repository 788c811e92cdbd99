r"""Which training recipe gains most PSNR per CPU hour: one change at a time from a baseline.

Optimizers and rates, batches and crops, the loss and the schedule at the end, distillation, the
network's shape, and the training set. Every recipe runs with the baseline's number of steps and,
where a step costs more or less, again for the baseline's time.

Example:
  python -m experiments.recipe_study --form=short --data_dir=DATA --output=out/recipe
--peers=PEERS adds distillation; --variants takes names of variants and of their groups
(optimizer, batch, objective, weight decay, network, shape, data). The same command resumes an
interrupted study; --report writes the table and chart of the existing results.
"""

import dataclasses

from experiments.recipe_report import write_recipe_report
from experiments.recipe_runs import RecipeResults, RecipeSources, StepTimes, run_recipes
from experiments.recipe_variants import FORMS, RecipeForm, chosen_variants
from experiments.study_command import CommonOptions, record, start
from gradnet_tf.models.presets import PRECISIONS
from gradnet_tf.utils.command import run_script
from gradnet_tf.utils.files import jsonable
from gradnet_tf.utils.options import CommandLine, Given, option


@dataclasses.dataclass(frozen=True)
class RecipeOptions(CommonOptions):
    """The options of the recipe study.

    Attributes:
        peers: folder of published weights; adds distillation.
        form: size of the runs.
        variants: run only this variant or group, and the baseline; may be repeated.
        precision: dtype policy (default: the form's); float32 on a CPU without bfloat16.
    """

    output: str = "out/recipe"
    form: str = option("short", choices=tuple(FORMS))
    peers: str | None = None
    precision: str | None = option(None, choices=PRECISIONS)


COMMAND_LINE = CommandLine(RecipeOptions)


def run_recipe_study(options: RecipeOptions, form: RecipeForm, sources=None) -> None:
    """Makes the missing runs, then writes the table and chart.

    Args:
        options: the command's options.
        form: the size of the runs.
        sources: instead of the images that the form names; see `RecipeSources`.

    Raises:
        UserError: for missing images or results, and for the folder of another study.
        Interrupted, NotFiniteError: see `run_recipes`.
    """
    if options.report:
        rows = RecipeResults(options.output).existing_rows()
    else:
        variants = chosen_variants(options.variants, bool(options.peers))
        sources = sources or RecipeSources(form, options.data_dir, options.peers)
        start()
        info = {"study": "recipe", "form": jsonable({**vars(form), "train": dict(form.train)})}
        record(options, info)
        limits = options.seeds, form, options.output, sources, options.time_budget
        rows = run_recipes(variants, *limits).rows
    times = StepTimes(options.output, form, None)
    print(write_recipe_report(rows, times.seconds, options.output))


def chosen_form(options: RecipeOptions) -> RecipeForm:
    """Returns the form that the options name, with their steps and precision."""
    form = FORMS[options.form]
    if options.steps:
        form = dataclasses.replace(form, steps=options.steps)
    if options.precision:
        form = dataclasses.replace(form, train={**form.train, "precision": options.precision})
    return form


def main(given: Given) -> None:
    """Runs the study."""
    options = given.make(RecipeOptions)
    run_recipe_study(options, chosen_form(options))


if __name__ == "__main__":
    run_script(main, __doc__, COMMAND_LINE)
