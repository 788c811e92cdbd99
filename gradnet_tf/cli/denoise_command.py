"""`gradnet denoise`: from its arguments to the work."""

import argparse
import contextlib
import functools
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

from gradnet_tf.cli.denoise_plan import Plan, dry_run, plan_jobs
from gradnet_tf.cli.quick_start import picture_function, refuse_sigma
from gradnet_tf.loading.model_info import ModelFacts, model_facts
from gradnet_tf.tiling.tile_config import TileConfig
from gradnet_tf.utils.errors import UserError


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

    facts = model_facts(arguments.model)
    settings = _settings(arguments, facts)
    options = FileOptions(
        changes_nothing=arguments.strength == 0.0 or arguments.luma == arguments.chroma == 0.0,
        quality=arguments.quality,
        overwrite=arguments.overwrite,
        max_megapixels=arguments.max_megapixels,
        jobs=arguments.jobs,
        waiting_memory=arguments.max_memory and arguments.max_memory / 4,
        settings=settings,
    )
    if arguments.inputs == ["-"]:
        _require_no_files(arguments)
        _check_sigma(arguments, facts)
        load = functools.partial(_load, arguments)
        return denoise_stream(sys.stdin.buffer, sys.stdout.buffer, load, options)
    if "-" in arguments.inputs:
        raise UserError("INPUT: - (standard input) stands alone. Received: other inputs beside it.")
    if arguments.output is None:
        raise UserError("--output: expected a folder for the results. Received: none.")
    plan = plan_jobs(arguments.inputs, arguments.output, not arguments.no_recursive)
    _check_sigma(arguments, facts)
    report = _report(arguments, plan, settings, facts)
    if arguments.dry_run:
        return dry_run(plan, arguments.overwrite)
    _check_unloaded(arguments, facts, plan, options)
    progress = FileProgress()
    load = functools.partial(_load, arguments, progress.on_tile)
    with _terminated_as_by_ctrl_c():
        return denoise_files(plan, load, options, progress, report)


def _settings(arguments: argparse.Namespace, facts: ModelFacts | None) -> dict[str, Any]:
    """Returns all that decides the pixels of a result."""
    return {
        "model": facts.name if facts else arguments.model,
        "sha256": facts.sha256 if facts else None,
        "gray": facts.gray if facts else None,
        "strength": arguments.strength,
        "luma": arguments.luma,
        "chroma": arguments.chroma,
        "sigma": arguments.sigma,
        "self_ensemble": arguments.self_ensemble,
        "quality": arguments.quality,
    }


def _require_no_files(arguments: argparse.Namespace) -> None:
    for flag, value in (("output", arguments.output), ("report", arguments.report)):
        if value not in (None, "-"):
            raise UserError(f"--{flag}={value}: with - as INPUT leave the flag out.")
    if arguments.dry_run:
        raise UserError("--dry-run: with - as INPUT leave the flag out.")


def _check_sigma(arguments: argparse.Namespace, facts: ModelFacts | None) -> None:
    """Refuses a noise level for a model that is known to take none."""
    if arguments.sigma is not None and facts and facts.needs_sigma is False:
        refuse_sigma(arguments.sigma, facts.name)


def _check_unloaded(arguments, facts: ModelFacts | None, plan: Plan, options) -> None:
    """Loads a model that the run would not load, where nothing else tells if the flags fit it."""
    known = facts and (arguments.sigma is None or facts.needs_sigma is not None)
    skips_all = not options.overwrite and all(job.target.exists() for job in plan.jobs)
    if not known and skips_all and not options.changes_nothing:
        _load(arguments)


def _report(arguments, plan: Plan, settings, facts: ModelFacts | None):
    if arguments.report is None:
        return None
    from gradnet_tf.cli.denoise_report import DenoiseReport, check_report_path

    path = check_report_path(arguments.report, plan)
    names = settings["model"], (facts.gray if facts else None) or settings["model"]
    return DenoiseReport(path, plan, settings, names, ["gradnet", *sys.argv[1:]])


def _load(arguments: argparse.Namespace, on_tile=None):
    """Loads the model and returns the function that `denoise_files` applies to pixels."""
    return picture_function(
        arguments.model,
        arguments.sigma,
        arguments.runtime,
        strength=arguments.strength,
        luma=arguments.luma,
        chroma=arguments.chroma,
        self_ensemble=arguments.self_ensemble,
        tiles=TileConfig(arguments.tile, arguments.max_memory),
        on_tile=on_tile,
    )


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
