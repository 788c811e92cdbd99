r"""Denoises a benchmark's images and writes the files that its server takes.

Example:
  python -m datasets.commands.submit sidd --model=runs/sidd --data_dir=DATA --output=out/sidd
  python -m datasets.commands.submit dnd --model=runs/sidd --data_dir=DATA --output=out/dnd

sidd writes SubmitSrgb.mat and SubmitSrgb.csv, dnd the folder bundled. The clean images are with
the benchmarks, so nothing is scored here. Repeat the command to resume an interrupted run.
"""

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from datasets.commands.submission_sidd import OPTIONAL_FIELDS  # noqa: E402
from gradnet_tf.models.presets import PRECISIONS  # noqa: E402
from gradnet_tf.utils.command import guarded  # noqa: E402
from gradnet_tf.utils.errors import EXIT_OK, UserError  # noqa: E402
from gradnet_tf.utils.options import ArgumentParser  # noqa: E402

_SPLITS = {"sidd": "benchmark", "dnd": "test"}


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="python -m datasets.commands.submit",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("benchmark", choices=sorted(_SPLITS), help="which benchmark")
    parser.add_argument("--model", required=True, help="a path or a name, as for evaluate.py")
    parser.add_argument("--data_dir", required=True, help="folder that holds the set")
    parser.add_argument("--output", required=True, help="folder to write")
    parser.add_argument("--precision", default="float32", help="one of " + ", ".join(PRECISIONS))
    for field, what in zip(
        OPTIONAL_FIELDS,
        ("method's name (default: the model's)", "authors", "paper's title", "venue", "machine"),
        strict=True,
    ):
        parser.add_argument(f"--{field}", default="", help=f"sidd, OptionalData: {what}")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Finds the noisy images, loads the model, denoises and says where the files are."""
    options = _parser().parse_args(arguments)
    if options.precision not in PRECISIONS:
        raise UserError(
            f"`precision` must be one of {', '.join(PRECISIONS)}. "
            f"Received: precision={options.precision}"
        )
    from datasets.resolve import find_dataset
    from gradnet_tf.utils.matlab_version import require_scipy

    output = Path(options.output)
    require_scipy(output)
    image_set = find_dataset(options.benchmark, options.data_dir, _SPLITS[options.benchmark])

    from datasets.commands import submission_dnd, submission_sidd
    from datasets.commands.submission import Submission
    from gradnet_tf.denoiser import load_denoiser
    from gradnet_tf.utils.versions import installed_versions

    denoiser = load_denoiser(options.model, options.precision)
    command = [
        "python",
        "-m",
        "datasets.commands.submit",
        *map(shlex.quote, arguments or sys.argv[1:]),
    ]
    about = {"command": command, "versions": installed_versions()}
    try:
        output.mkdir(parents=True, exist_ok=True)
        submission = Submission(denoiser, image_set, output, options.precision, about)
        if options.benchmark == "sidd":
            texts = {field: getattr(options, field) for field in OPTIONAL_FIELDS}
            files = submission_sidd.submit(submission, texts)
            print(f"Submit one of: {', '.join(map(str, files))}")
        else:
            files = submission_dnd.submit(submission)
            print(f"Submit the content of {files[0].parent}: {len(files)} files")
    except OSError as error:
        raise UserError(
            f"--output={options.output} cannot be written: {error.strerror or error}.\n"
            "What is finished there is kept when the command runs again."
        ) from error
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(guarded(main))
