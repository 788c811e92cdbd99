"""Apache Beam and its engines: the options they get, how they are started and what they raise."""

import difflib
import logging
import traceback
from collections.abc import Sequence

from gradnet_tf.utils.errors import Interrupted, UserError
from gradnet_tf.utils.quiet import quiet_native_logs


def require_beam() -> None:
    """Imports Apache Beam, which the wheel does not ask for.

    Raises:
        UserError: it is not installed.
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
    """Returns an empty `beam.Pipeline` for the options of an engine.

    Args:
        arguments: the command line less our own flags.
        own: our flags, to tell one that is misspelt.

    Raises:
        UserError: no such engine, an option that it misses, or what Beam would drop
            without an error: an argument that is no option, a misspelt flag of our own,
            a number of workers in a mode that has one.
    """
    import apache_beam as beam
    from apache_beam.options import pipeline_options as kinds

    with quiet_native_logs():
        options = kinds.PipelineOptions(arguments)
        known = options.get_all_options()
    _refuse_strays(arguments, own, known)
    # There are no triggers. But of the two engines behind the name DirectRunner, the one that
    # heeds --direct_num_workers is taken only for pipelines which may have unsafe ones; the
    # other is a program that Beam downloads.
    options.view_as(kinds.TypeOptions).allow_unsafe_triggers = True
    local = known["runner"] in (None, *kinds.StandardOptions.LOCAL_RUNNERS)
    if local and known["direct_num_workers"] != 1 and known["direct_running_mode"] == "in_memory":
        raise UserError(
            "--direct_num_workers: counts with --direct_running_mode=multi_processing only. Add it."
        )
    workers = options.view_as(kinds.WorkerOptions)
    if local and workers.default_sdk_harness_log_level is None:
        # What goes wrong is raised as well; the rest is how processes come and go.
        workers.default_sdk_harness_log_level = "CRITICAL"
    # Of engines elsewhere, the job's name and state are worth a line.
    logging.getLogger("apache_beam").setLevel(logging.CRITICAL if local else logging.INFO)
    try:
        return beam.Pipeline(options=options)
    except (ValueError, ImportError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"--runner={known['runner']}: {reason}") from error


def run(pipeline) -> None:
    """Runs a pipeline to its end.

    Raises:
        UserError: what a worker raised as such.
        Interrupted: the engine gave up, or a worker was lost.
    """
    goes_on = "What is written stays; the same command goes on with the rest."
    try:
        state = str(pipeline.run().wait_until_finish())
    except Exception as error:
        # What a worker raised arrives as text, with the worker's traceback; where this process
        # was the worker, as it is. Both with the step that it was raised in.
        _, found, told = str(error).rpartition("UserError: ")
        if found or isinstance(error, UserError):
            told = told.split("\n\n")[0].split(" [while running")[0].strip()
            raise UserError(told) from error
        # No file's fault: those are caught. Who has to find it needs all of it.
        traceback.print_exc()
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise Interrupted(f"the engine stopped: {reason[-1][:200]}\n{goes_on}") from error
    if state != "DONE":
        raise Interrupted(f"the engine ended with {state}; its own log says why.\n{goes_on}")


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
