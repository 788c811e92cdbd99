"""`python -m gradnet_tf.inference.batch`: one denoiser over any number of files; docs/batch.md.

Example:
  python -m gradnet_tf.inference.batch --input='photos/**/*.jpg' --output=denoised \
    --direct_num_workers=2 --direct_running_mode=multi_processing
"""

import difflib
import json
import os
import re
import sys
from collections.abc import Sequence

from gradnet_tf.command import guarded
from gradnet_tf.errors import EXIT_OK, EXIT_SOME_FAILED, EXIT_USAGE, UserError
from gradnet_tf.inference.batch import storage
from gradnet_tf.inference.batch.names import absolute, is_local, place_of, source_of
from gradnet_tf.inference.batch.pipeline import build
from gradnet_tf.inference.batch.settings import make_parser, settings_of
from gradnet_tf.inference.batch.steps import FAILED, SKIPPED, UNREADABLE, WRITTEN
from gradnet_tf.quiet import quiet_native_logs


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code, as `gradnet denoise` has them.

    Args:
        argv: arguments without the program's name; `sys.argv` by default.

    Raises:
        SystemExit: `--help`, or arguments that argparse refuses.
    """
    parser = make_parser()
    arguments, engine = parser.parse_known_args(argv)
    return guarded(lambda: _run(arguments, engine, list(parser._option_string_actions)))


def _run(arguments, engine: list[str], flags: list[str]) -> int:
    beam = _import_beam()
    _refuse_strays(engine, flags)
    output = absolute(arguments.output)
    if is_local(output) and os.path.exists(output) and not os.path.isdir(output):
        raise UserError(f"--output={arguments.output}: expected a folder. Received: a file.")
    sources = [source_of(text) for text in arguments.input]
    for text, source in zip(arguments.input, sources, strict=True):
        inside = (place_of(source.base).rstrip("/") + "/").startswith(place_of(output) + "/")
        if inside and not source.is_file:
            raise UserError(
                f"--output={arguments.output}: holds the inputs {text}, and inputs are never "
                "overwritten. Give another folder."
            )
    log = absolute(arguments.log) if arguments.log else f"{output}/_batch"
    options = beam.options.pipeline_options.PipelineOptions(engine)
    # There are no triggers. But of two engines behind the name DirectRunner, the one that
    # heeds --direct_num_workers is taken for pipelines with this option alone.
    options.view_as(beam.options.pipeline_options.TypeOptions).allow_unsafe_triggers = True
    pipeline = beam.Pipeline(options=options)
    build(pipeline, sources, output, log, settings_of(arguments))
    _finish(pipeline)
    return _summary(log, arguments.input)


def _import_beam():
    try:
        with quiet_native_logs():
            import apache_beam
            import apache_beam.options.pipeline_options
    except ModuleNotFoundError as error:
        raise UserError(
            f"batch inference needs Apache Beam; {error.name} is not installed.\n"
            "Install it: pip install 'gradnet-tf[batch]'."
        ) from error
    return apache_beam


def _refuse_strays(engine: Sequence[str], flags: Sequence[str]) -> None:
    """Refuses what Beam would drop without an error: files, and misspelt flags of our own."""
    for number, argument in enumerate(engine):
        if not argument.startswith("-"):
            before = engine[number - 1] if number else ""
            if not before.startswith("--") or "=" in before:
                raise UserError(
                    f"unexpected argument {argument}: every --input takes one file, folder or "
                    "pattern; put patterns in quotes."
                )
            continue
        name = argument.split("=")[0]
        close = difflib.get_close_matches(name.replace("_", "-"), flags, n=1, cutoff=0.8)
        if close and not _is_of_beam(name):
            raise UserError(f"unknown option {name}. Did you mean {close[0]}?")


def _is_of_beam(name: str) -> bool:
    from apache_beam.options.pipeline_options import PipelineOptions

    return name.lstrip("-") in PipelineOptions([]).get_all_options()


def _finish(pipeline) -> None:
    try:
        result = pipeline.run()
        state = str(result.wait_until_finish())
    except Exception as error:
        # An engine hands on what a worker raised as text, with the worker's traceback.
        told = re.search(r"UserError: (.*(?:\n(?!\s*(?:Traceback|During|The above|\n)).*)*)", str(error))
        if told is None:
            raise
        raise UserError(told[1].strip()) from error
    if state != "DONE":
        raise UserError(f"the engine ended with {state}: see its own log. The same command goes on.")


def _summary(log: str, inputs: Sequence[str]) -> int:
    """Prints what was written, skipped and failed; returns the exit code."""
    counts = json.loads(storage.read(f"{log}/summary.json"))
    if not counts:
        raise UserError(f"--input: {', '.join(inputs)} matches no images.")
    written, skipped = counts.get(WRITTEN, 0), counts.get(SKIPPED, 0)
    failed = counts.get(FAILED, 0) + counts.get(UNREADABLE, 0)
    print(f"{written} written, {skipped} skipped, {failed} failed")
    if failed:
        print(f"what failed, and why: {log}/failures.jsonl", file=sys.stderr)
    if failed == counts.get(UNREADABLE, 0) and not written and not skipped:
        return EXIT_USAGE
    return EXIT_SOME_FAILED if failed else EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
