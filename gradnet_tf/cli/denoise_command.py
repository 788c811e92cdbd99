"""`gradnet denoise`: from its arguments to the work."""

import argparse
import contextlib
import functools
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

from gradnet_tf.cli.denoise_arguments import ResultOptions, refuse_sigma
from gradnet_tf.cli.denoise_plan import Plan, dry_run, plan_jobs
from gradnet_tf.loading.load import ModelInfo, model_info
from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.options import make_config


def denoise(arguments: argparse.Namespace) -> int:
    """Runs the command and returns its exit code.

    Args:
        arguments: those of `add_denoise`.

    Raises:
        UserError: for what is said before the work begins.
        Interrupted: see `denoise_files`.
    """
    from gradnet_tf.cli.denoise_files import denoise_files, denoise_stream
    from gradnet_tf.cli.denoise_plan import FileOptions
    from gradnet_tf.cli.file_progress import FileProgress

    wanted = make_config(ResultOptions, arguments)
    info = model_info(wanted.model)
    settings = _settings(wanted, info)
    options = FileOptions(
        changes_nothing=wanted.changes_nothing,
        quality=wanted.quality,
        overwrite=wanted.overwrite,
        max_megapixels=wanted.max_megapixels,
        jobs=arguments.jobs,
        waiting_memory=wanted.max_memory and wanted.max_memory / 4,
        settings=settings,
    )
    if arguments.inputs == ["-"]:
        _require_no_files(arguments)
        _check_sigma(wanted, info)
        return denoise_stream(sys.stdin.buffer, sys.stdout.buffer, wanted.load, options)
    if "-" in arguments.inputs:
        raise UserError("INPUT: - (standard input) stands alone. Received: other inputs beside it.")
    if arguments.output is None:
        raise UserError("--output: expected a folder for the results. Received: none.")
    plan = plan_jobs(arguments.inputs, arguments.output, not arguments.no_recursive)
    _check_sigma(wanted, info)
    report = _report(arguments, plan, settings, info)
    if arguments.dry_run:
        return dry_run(plan, wanted.overwrite)
    _check_unloaded(wanted, info, plan)
    progress = FileProgress()
    load = functools.partial(wanted.load, progress.on_tile)
    with _terminated_as_by_ctrl_c():
        return denoise_files(plan, load, options, progress, report)


def _settings(wanted: ResultOptions, info: ModelInfo | None) -> dict[str, Any]:
    """Returns all that decides the pixels of a result."""
    model = {
        "model": info.name if info else wanted.model,
        "sha256": info.sha256 if info else None,
        "gray": info.gray if info else None,
    }
    names = ("strength", "luma", "chroma", "sigma", "self_ensemble", "pooling", "quality")
    return model | {name: getattr(wanted, name) for name in names}


def _require_no_files(arguments: argparse.Namespace) -> None:
    for flag, value in (("output", arguments.output), ("report", arguments.report)):
        if value not in (None, "-"):
            raise UserError(f"--{flag}={value}: with - as INPUT leave the flag out.")
    if arguments.dry_run:
        raise UserError("--dry-run: with - as INPUT leave the flag out.")


def _check_sigma(wanted: ResultOptions, info: ModelInfo | None) -> None:
    """Refuses a noise level for a model that is known to take none."""
    if wanted.sigma is not None and info and info.needs_sigma is False:
        refuse_sigma(wanted.sigma, info.name)


def _check_unloaded(wanted: ResultOptions, info: ModelInfo | None, plan: Plan) -> None:
    """Loads a model that the run would not load, where nothing else tells if the flags fit it."""
    known = info and (wanted.sigma is None or info.needs_sigma is not None)
    skips_all = not wanted.overwrite and all(job.target.exists() for job in plan.jobs)
    if not known and skips_all and not wanted.changes_nothing:
        wanted.load()


def _report(arguments, plan: Plan, settings, info: ModelInfo | None):
    if arguments.report is None:
        return None
    from gradnet_tf.cli.denoise_report import DenoiseReport, check_report_path

    path = check_report_path(arguments.report, plan)
    names = settings["model"], (info.gray if info else None) or settings["model"]
    return DenoiseReport(path, plan, settings, names, ["gradnet", *sys.argv[1:]])


@contextlib.contextmanager
def _terminated_as_by_ctrl_c() -> Iterator[None]:
    """Lets a polite kill and a closed terminal end the work as Ctrl-C does."""

    def stop(*_):
        raise KeyboardInterrupt

    wanted = [getattr(signal, name, None) for name in ("SIGTERM", "SIGHUP")]
    changed = []
    # Only the main thread may, and what somebody ignores (nohup) stays ignored.
    if threading.current_thread() is threading.main_thread():
        changed = [each for each in wanted if each and signal.getsignal(each) is signal.SIG_DFL]
    for each in changed:
        signal.signal(each, stop)
    try:
        yield
    finally:
        for each in changed:
            signal.signal(each, signal.SIG_DFL)
