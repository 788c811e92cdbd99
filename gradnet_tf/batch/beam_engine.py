"""Configures and runs Apache Beam pipelines, and translates their errors."""

import difflib
import logging
import traceback
from collections.abc import Sequence

from gradnet_tf.utils.errors import Interrupted, UserError
from gradnet_tf.utils.quiet import quiet_native_logs


def require_beam() -> None:
    """Imports Apache Beam, which is an optional dependency.

    Raises:
        UserError: Apache Beam is not installed.
    """
    try:
        with quiet_native_logs():
            import apache_beam  # noqa: F401
    except ModuleNotFoundError as error:
        raise UserError(
            f"batch inference needs Apache Beam; {error.name} is not installed.\n"
            "Install it: pip install 'gradnet-tf[batch]'."
        ) from error


def make_pipeline(arguments: Sequence[str], own: Sequence[str]):
    """Returns an empty `beam.Pipeline` with the given options.

    Args:
        arguments: the command line without our own flags.
        own: names of our own flags, to detect misspelled ones.

    Raises:
        UserError: there is no such runner, a required option is missing, or an argument is one
            that Beam would silently ignore: a positional argument, a misspelled flag of ours,
            or a number of workers in a mode with a single worker.
    """
    import apache_beam as beam
    from apache_beam.options import pipeline_options as kinds

    with quiet_native_logs():
        options = kinds.PipelineOptions(arguments)
        known = options.get_all_options()
    _refuse_strays(arguments, own, known)
    # We use no triggers. But there are two implementations of DirectRunner, and Beam selects the
    # one that supports --direct_num_workers only if unsafe triggers are allowed; the other one is
    # a program that Beam downloads.
    options.view_as(kinds.TypeOptions).allow_unsafe_triggers = True
    local = known["runner"] in (None, *kinds.StandardOptions.LOCAL_RUNNERS)
    if local and known["direct_num_workers"] != 1 and known["direct_running_mode"] == "in_memory":
        raise UserError(
            "--direct_num_workers: needs --direct_running_mode=multi_processing. Add that flag."
        )
    workers = options.view_as(kinds.WorkerOptions)
    if local and workers.default_sdk_harness_log_level is None:
        # Errors are raised as well; the other messages are about starting and ending workers.
        workers.default_sdk_harness_log_level = "CRITICAL"
    # For remote runners, the job's name and state are logged.
    logging.getLogger("apache_beam").setLevel(logging.CRITICAL if local else logging.INFO)
    try:
        return beam.Pipeline(options=options)
    except (ValueError, ImportError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"--runner={known['runner']}: {reason}") from error


def run(pipeline) -> None:
    """Runs a pipeline until it finishes.

    Raises:
        UserError: a worker raised it.
        Interrupted: the runner gave up, or a worker was lost.
    """
    hint = "Finished results are kept; run the same command again to continue."
    try:
        state = str(pipeline.run().wait_until_finish())
    except Exception as error:
        # An exception of a worker process arrives as text with its traceback; one raised in this
        # process arrives unchanged. Both name the step that raised it.
        _, found, message = str(error).rpartition("UserError: ")
        if found or isinstance(error, UserError):
            message = message.split("\n\n")[0].split(" [while running")[0].strip()
            raise UserError(message) from error
        # Errors of single files are caught elsewhere, so this one needs its full traceback.
        traceback.print_exc()
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise Interrupted(f"the runner stopped: {reason[-1][:200]}\n{hint}") from error
    if state != "DONE":
        raise Interrupted(f"the runner ended with {state}; see its own log.\n{hint}")


def _refuse_strays(arguments: Sequence[str], own: Sequence[str], known: dict) -> None:
    for number, argument in enumerate(arguments):
        if argument.startswith("-"):
            name = argument.split("=")[0].lstrip("-").replace("-", "_")
            close = difflib.get_close_matches(name, own, n=1, cutoff=0.8)
            if close and name not in known:
                raise UserError(f"unknown option {argument}. Did you mean --{close[0]}?")
        else:
            before = arguments[number - 1] if number else ""
            if not before.startswith("--") or "=" in before:
                raise UserError(
                    f"unexpected argument {argument}: every --input takes one file, folder or "
                    "pattern; put patterns in quotes."
                )
