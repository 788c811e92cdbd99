"""Configures and runs Apache Beam pipelines, and translates their errors."""

import difflib
import logging
import re
from collections.abc import Sequence

from gradnet_tf.utils.errors import Interrupted, UserError, install_command
from gradnet_tf.utils.framework_start import quiet_native_logs


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
            f"Install it: {install_command('apache_beam')}."
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


#: Signs of errors that the same command may not meet again: lost workers and connections.
_PASSING = re.compile(
    r"\b(Connection\w*Error|BrokenPipeError|TimeoutError|UNAVAILABLE|DEADLINE_EXCEEDED|ABORTED|"
    r"CANCELLED|worker \S+ (was lost|disconnected)|lost contact|heartbeat|preempt\w*|"
    r"channel closed|(status|HTTP|code)\W{0,3}(429|500|502|503|504))\b",
    re.IGNORECASE,
)
_HINT = "Finished results are kept; run the same command again to continue."


def run(pipeline) -> None:
    """Runs a pipeline until it finishes.

    Raises:
        UserError: a worker raised it, or the runner stopped because of an error that the same
            command would meet again.
        Interrupted: a worker or a connection was lost, or the job was cancelled.
    """
    try:
        state = str(pipeline.run().wait_until_finish())
    except Exception as error:
        raise error_of(error) from error
    if state == "FAILED":
        raise UserError(
            "the runner ended with FAILED; its own log tells why.\n"
            "Finished results are kept. Correct the cause before running the command again."
        )
    if state != "DONE":
        raise Interrupted(f"the runner ended with {state}; see its own log.\n{_HINT}")


def error_of(error: Exception) -> Exception:
    """Returns what an exception of a runner means for the command.

    Exit code 75 says that the same command continues, so schedulers repeat it. Only errors that
    pass get it: an error that stays would be repeated for ever.

    Args:
        error: raised by the runner. An exception of a worker process arrives as text with its
            traceback; one raised in this process arrives unchanged. Both name the step.
    """
    text = str(error)
    _, found, message = text.rpartition("UserError: ")
    if found or isinstance(error, UserError):
        return UserError(message.split("\n\n")[0].split(" [while running")[0].strip())
    reason = (text.strip().splitlines() or [type(error).__name__])[-1][:200]
    if isinstance(error, ConnectionError | TimeoutError) or _PASSING.search(text):
        return Interrupted(f"the runner stopped: {reason}\n{_HINT}")
    # Errors of single files are caught elsewhere, so this one needs its full traceback.
    logging.getLogger(__name__).error("the runner stopped", exc_info=error)
    return UserError(
        f"the runner stopped: {type(error).__name__}: {reason}\n"
        "Finished results are kept. Correct the cause before running the command again."
    )


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
