r"""Scores one or more denoisers on a set of images and writes a report.

Example:
  python evaluate.py --model=gradnet_small --dataset=cbsd68 --data_dir=DATA --sigma=25 \
      --output=out/cbsd68
  python evaluate.py --model=runs/small,gradnet_tiny    # compares, on the sample photographs

OUTPUT gets metrics.json, metrics.csv, report.html and images/. Several models get a folder each,
and OUTPUT a ranking.json, a gallery/ and a report.html that compares them. The files of an earlier
evaluation in OUTPUT are replaced; other files are kept. It is an error if another file, or one of
the input images, has the name of a result.
"""

import dataclasses
import os
import shlex
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from datasets.sets.catalog import DATASETS
from datasets.sets.sample import require_packages
from gradnet_tf.evaluation.evaluate_set import EvaluateConfig, check_noise, takes_overlap
from gradnet_tf.utils.command import run_script
from gradnet_tf.utils.errors import EXIT_NAN, EXIT_OK, UserError
from gradnet_tf.utils.options import CommandLine, Given


@dataclasses.dataclass(frozen=True)
class Places:
    """The models, the images and the output.

    Attributes:
        model: a path or a name; several, as a,b, are compared.
        trust_model: run SavedModels although their graphs could read or write files.
        data_dir: folder of the data set, or its parent.
        output: folder to write.
    """

    model: tuple[str, ...] = ("auto",)
    trust_model: bool = False
    data_dir: str | None = None
    output: str = "out/evaluation"


COMMAND_LINE = CommandLine(Places, EvaluateConfig, names={"dataset": DATASETS})


def main(given: Given) -> int:
    """Finds the images, loads the models, scores them and prints where the report is."""
    if given["degradation"] and given.is_explicit("sigma"):
        raise UserError("--sigma and --degradation both determine the noise; use only one of them.")
    config, places = given.make(EvaluateConfig), given.make(Places)
    specs = [spec.strip() for spec in places.model if spec.strip()]
    if not specs or len(set(specs)) < len(specs):
        raise UserError(
            f"`model` must be one or more different models. Received: {list(places.model)}"
        )
    require_packages(config.dataset)
    from datasets.sets.catalog import find_dataset
    from gradnet_tf.evaluation.protocol import protocol_lines
    from gradnet_tf.evaluation.tables import rank, ranking_table, result_table, worse_note
    from gradnet_tf.reporting.result_folder import check_images, evaluate_into
    from gradnet_tf.reporting.result_names import model_folders

    image_set = find_dataset(config.dataset, places.data_dir, config.split, config.max_images)
    check_noise(image_set, config)
    check_images(image_set)

    from gradnet_tf.denoiser import load_denoiser
    from gradnet_tf.reporting.watch import Watch
    from gradnet_tf.tiling.tile_config import TileConfig
    from gradnet_tf.utils.backend import backend_name
    from gradnet_tf.utils.console import warn
    from gradnet_tf.utils.framework_start import quick_start, quiet_native_logs
    from gradnet_tf.utils.versions import installed_versions

    with quiet_native_logs(), quick_start():
        backend_name()
        import gradnet_tf.evaluation.metrics  # noqa: F401 - silences the backend's startup messages
    # Loads all models first, to detect wrong names before the evaluation.
    more = {"precision": config.precision, "runtime": config.runtime}
    denoisers = [load_denoiser(spec, **more, trust_model=places.trust_model) for spec in specs]
    if config.overlap is not None and not any(map(takes_overlap, denoisers)):
        TileConfig(overlap=config.overlap).refuse_overlap()
    folders = model_folders(specs, [denoiser.name for denoiser in denoisers])
    watch = Watch(len(image_set.names), show_model=len(specs) > 1)
    results = evaluate_into(
        places.output,
        dict(zip(folders, denoisers, strict=True)),
        image_set,
        config,
        {"command": ["python", *map(shlex.quote, sys.argv)], "versions": installed_versions()},
        watch,
        # Several models are scored by the same protocol, which is printed once, at the end.
        lambda result: print(result_table(result, protocol=len(specs) == 1) + "\n"),
    )
    if len(results) > 1:
        print(ranking_table(rank(results, folders), results[0]) + "\n")
        print("\n".join([*protocol_lines(results[0]), ""]))
    print(f"The report is {os.path.join(places.output, 'report.html')}")
    for name, result in zip(folders, results, strict=True):
        if worse := worse_note(result):
            warn(f"{name}: {worse}")
    broken = [name for name, result in zip(folders, results, strict=True) if result["nan_outputs"]]
    if broken:
        print(f"error: NaN output of {', '.join(broken)}", file=sys.stderr)
    return EXIT_NAN if broken else EXIT_OK


if __name__ == "__main__":
    run_script(main, __doc__, COMMAND_LINE)
