"""`python -m gradnet_tf.batch`: denoises any number of files; see docs/batch.md.

Example:
  python -m gradnet_tf.batch --input='photos/**/*.jpg' --output=denoised \
    --direct_num_workers=2 --direct_running_mode=multi_processing
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence

from gradnet_tf.batch import beam_engine as engine
from gradnet_tf.batch import storage
from gradnet_tf.batch.batch_names import Source, absolute, is_local, place_of, source_of
from gradnet_tf.batch.batch_settings import make_parser, settings_of
from gradnet_tf.batch.batch_steps import FAILED, SKIPPED, UNREADABLE, WRITTEN
from gradnet_tf.batch.beam_pipeline import FAILURES, SUMMARY, build
from gradnet_tf.utils.command import guarded
from gradnet_tf.utils.errors import EXIT_OK, EXIT_SOME_FAILED, EXIT_USAGE, UserError


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code, as for `gradnet denoise`.

    Args:
        argv: arguments without the program's name; `sys.argv` by default.

    Raises:
        SystemExit: `--help`, or arguments that argparse refuses.
    """
    return guarded(lambda: _run(*make_parser().parse_known_args(argv)), argv)


def _run(arguments: argparse.Namespace, others: Sequence[str]) -> int:
    engine.require_beam()
    output = absolute(arguments.output)
    if is_local(output) and os.path.exists(output) and not os.path.isdir(output):
        raise UserError(f"--output={arguments.output}: expected a folder. Received: a file.")
    sources = [_source(text, output) for text in arguments.input]
    log = absolute(arguments.log) if arguments.log else f"{output}/_batch"
    pipeline = engine.make_pipeline(others, list(vars(arguments)))
    build(pipeline, sources, output, log, settings_of(arguments))
    engine.run(pipeline)
    counts = json.loads(storage.read(f"{log}/{SUMMARY}"))
    if not counts:
        raise UserError(f"--input: {', '.join(arguments.input)} matches no images.")
    return _summary(counts, f"{log}/{FAILURES}")


def _source(text: str, output: str) -> Source:
    source = source_of(text)
    inside = place_of(source.base).rstrip("/") + "/"
    if not source.is_file and inside.startswith(place_of(output).rstrip("/") + "/"):
        raise UserError(
            f"--output={output}: contains the inputs {text}, and files in the output folder "
            "count as results.\nGive another folder."
        )
    return source


def _summary(counts: dict[str, int], failures: str) -> int:
    """Prints what was written, skipped and failed; returns the exit code."""
    written, skipped = counts.get(WRITTEN, 0), counts.get(SKIPPED, 0)
    unreadable = counts.get(UNREADABLE, 0)
    failed = counts.get(FAILED, 0) + unreadable
    print(f"{written} written, {skipped} skipped, {failed} failed", flush=True)
    if not failed:
        return EXIT_OK
    print(f"failed files and reasons: {failures}", file=sys.stderr)
    return EXIT_USAGE if not written and not skipped and failed == unreadable else EXIT_SOME_FAILED


if __name__ == "__main__":
    sys.exit(main())
