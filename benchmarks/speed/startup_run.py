"""One run of the `gradnet` command in a process of its own, with its times."""

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from gradnet_tf.utils.errors import UserError

PLAIN = ["-m", "gradnet_tf"]
START, EXIT = "starting Python", "leaving Python"


@dataclasses.dataclass(frozen=True)
class Run:
    """One run of the command.

    Attributes:
        written: seconds until the output was written.
        whole: seconds until the process had ended.
        cpu: seconds of all its threads.
        phases: seconds by phase, where it had the stopwatch.
        warm: seconds of the picture's second time, where it had the stopwatch.
    """

    written: float
    whole: float
    cpu: float
    phases: dict[str, float] = dataclasses.field(default_factory=dict)
    warm: float = 0.0


def run_command(
    start: Sequence[str],
    model: str,
    source: Path,
    runtime: str = "auto",
    backend: str | None = None,
) -> Run:
    """Denoises `source` in a new process, and removes the result.

    Args:
        start: what comes between the interpreter and `denoise`.
        model: a path or a name.
        source: the photograph.
        runtime: value of `--runtime`.
        backend: Keras' backend; the environment's by default.

    Raises:
        UserError: the command failed.
    """
    environment = {**os.environ, **({"KERAS_BACKEND": backend} if backend else {})}
    with tempfile.TemporaryDirectory(dir=source.parent) as folder:
        command = [sys.executable, *start, "denoise", str(source), f"--output={folder}"]
        command += [f"--model={model}", f"--runtime={runtime}"]
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            begin = time.time()
            process = subprocess.Popen(
                [*command, f"--model={model}", f"--runtime={runtime}"],
                stdout=out,
                stderr=err,
                env=environment,
            )
            _, status, usage = os.wait4(process.pid, 0)
            end = time.time()
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode:
                err.seek(0)
                raise UserError(f"{' '.join(command)} failed:\n{err.read().strip()}")
            out.seek(0)
            last = out.read().splitlines()[-1]
        written = (Path(folder) / source.name).stat().st_mtime - begin
    run = Run(written, end - begin, usage.ru_utime + usage.ru_stime)
    if not last.startswith("{"):
        return run
    told = json.loads(last)
    phases = {START: told["begin"] - begin, **told["phases"], EXIT: end - told["end"]}
    whole = run.whole - told["warm"]
    return dataclasses.replace(run, whole=whole, phases=phases, warm=told["warm"])


def probe(watch: bool = False, without: Sequence[str] = ()) -> list[str]:
    """Returns the `start` of `run_command` that measures, or that undoes savings."""
    options = json.dumps({"watch": watch, "without": list(without)})
    return ["-m", "benchmarks.speed.startup_probe", options]
