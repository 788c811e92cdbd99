"""Measures the time from starting the command to the first written picture, by phase.

Example:
  python -m benchmarks.speed.startup --model=gradnet_small --size=1 --repeats=5
Runs `gradnet denoise` on one generated JPEG, each time in a fresh process. The first tables have
the phases, timed inside the command's process (see `startup_probe`), with the default runtime and
with Keras. The times are exclusive, so they add up; their sum is compared with the plain command.
The last table has the effect of each start-up optimization: Keras with one optimization disabled
and Keras on JAX, as ratios to the plain command. Variants alternate within a run.
CPU seconds include all threads and vary less than elapsed time on a shared machine.
"""

import dataclasses
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measuring import in_own_process
from benchmarks.speed.startup_probe import REST, RUNNING, SAVINGS
from gradnet_tf.utils.command import guarded
from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.options import ArgumentParser

PLAIN = ["-m", "gradnet_tf"]
START, EXIT = "starting Python", "leaving Python"


@dataclasses.dataclass(frozen=True)
class Run:
    """One run of the command.

    Attributes:
        written: seconds until the output was written.
        whole: seconds until the process ended.
        cpu: CPU seconds of all threads.
        phases: seconds by phase, if phases were timed.
        warm: seconds for the same picture a second time, if phases were timed.
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
        start: arguments between the interpreter and `denoise`.
        model: path or name of the model.
        source: the photograph.
        runtime: value of `--runtime`.
        backend: Keras backend; the environment's by default.

    Raises:
        UserError: the command failed.
    """
    environment = {**os.environ, **({"KERAS_BACKEND": backend} if backend else {})}
    with tempfile.TemporaryDirectory(dir=source.parent) as folder:
        command = [sys.executable, *start, "denoise", str(source), f"--output={folder}"]
        command += [f"--model={model}", f"--runtime={runtime}"]
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            begin = time.time()
            process = subprocess.Popen(command, stdout=out, stderr=err, env=environment)
            _, status, usage = os.wait4(process.pid, 0)
            end = time.time()
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode:
                err.seek(0)
                raise UserError(f"{' '.join(command)} failed:\n{err.read().strip()}")
            out.seek(0)
            last = out.read().splitlines()[-1]
        # The result has its photograph's time of modification.
        written = (Path(folder) / source.name).stat().st_ctime - begin
    run = Run(written, end - begin, usage.ru_utime + usage.ru_stime)
    if not last.startswith("{"):
        return run
    times = json.loads(last)
    phases = {START: times["begin"] - begin, **times["phases"], EXIT: end - times["end"]}
    whole = run.whole - times["warm"]
    return dataclasses.replace(run, whole=whole, phases=phases, warm=times["warm"])


def probe(watch: bool = False, without: Sequence[str] = ()) -> list[str]:
    """Returns the `start` of `run_command` that times phases or disables optimizations."""
    options = json.dumps({"watch": watch, "without": list(without)})
    return ["-m", "benchmarks.speed.startup_probe", options]


AS_IT_IS = "as it is"
#: Table labels of the disabled optimizations.
UNDONE = {
    "hidden_packages": "unneeded packages are imported too",
    "collector_off": "garbage collector enabled, also at exit",
    "no_autograph": "AutoGraph enabled",
}


def spread(values: Sequence[float]) -> str:
    """Returns "minimum | median" as cells of a table."""
    return f"{min(values):.2f} | {statistics.median(values):.2f}"


def phase_table(watched: Sequence[Run], plain: Sequence[Run]) -> str:
    """Returns the time of each phase, and the sum next to the plain command."""
    names = list(dict.fromkeys(name for run in watched for name in run.phases))
    names = sorted(names, key=lambda name: (name == EXIT, name == REST))
    lines = ["| phase | least | median, s |", "|---|---:|---:|"]
    for name in names:
        lines.append(f"| {name} | {spread([run.phases.get(name, 0.0) for run in watched])} |")
        if name == RUNNING:
            lines.append(f"| – of it a second time | {spread([run.warm for run in watched])} |")
    lines.append(f"| sum | {spread([sum(run.phases.values()) for run in watched])} |")
    lines.append(f"| the command itself | {spread([run.whole for run in plain])} |")
    lines.append(f"| – until the picture is written | {spread([run.written for run in plain])} |")
    return "\n".join(lines)


def ratio_table(rows: dict[str, Sequence[Run]], base: str) -> str:
    """Returns medians, and how each row compares with the row called `base`."""
    lines = [
        "| | written, s | ended, s | CPU, s | written | ended | CPU |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, runs in rows.items():
        own = _medians(runs)
        ratios = " | ".join(f"{a / b:.2f}×" for a, b in zip(own, _medians(rows[base]), strict=True))
        lines.append(f"| {name} | {' | '.join(f'{value:.2f}' for value in own)} | {ratios} |")
    return "\n".join(lines)


def _medians(runs: Sequence[Run]) -> list[float]:
    return [statistics.median(getattr(r, key) for r in runs) for key in ("written", "whole", "cpu")]


def take_turns(rows: dict[str, tuple], source: Path, repeats: int) -> dict[str, list[Run]]:
    """Runs every row `repeats` times in turn, so that other work affects all rows alike."""
    runs: dict[str, list[Run]] = {name: [] for name in rows}
    for _ in range(repeats):
        for name, (start, model, *how) in rows.items():
            runs[name].append(run_command(start, model, source, *how))
    return runs


def _arguments(argv: Sequence[str] | None):
    parser = ArgumentParser(prog="startup", description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="gradnet_small", help="path or name of the model")
    parser.add_argument("--size", type=float, default=1.0, help="megapixels")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each row")
    parser.add_argument("--no-jax", action="store_true", help="leave out Keras on JAX")
    arguments = parser.parse_args(argv)
    if arguments.repeats < 1:
        parser.error("expected --repeats from 1")
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the tables."""
    arguments = _arguments(argv)
    return guarded(lambda: _run(arguments))


def _run(arguments) -> None:
    model, repeats = arguments.model, arguments.repeats
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "noisy.jpg")
        in_own_process("benchmarks.measuring:write_photograph", str(source), arguments.size)
        for runtime in ("auto", "keras"):
            print(f"gradnet denoise --model={model} --runtime={runtime}, {arguments.size:g} MP\n")
            rows = {
                "plain": (PLAIN, model, runtime),
                "watched": (probe(watch=True), model, runtime),
            }
            take_turns(rows, source, 1)  # fills the disk cache
            runs = take_turns(rows, source, repeats)
            print(phase_table(runs["watched"], runs["plain"]) + "\n", flush=True)

        rows = {AS_IT_IS: (PLAIN, model), "Keras": (PLAIN, model, "keras")}
        for saving, text in UNDONE.items():
            rows[f"Keras, {text}"] = (probe(without=[saving]), model, "keras")
        rows["Keras, all three disabled"] = (probe(without=SAVINGS), model, "keras")
        if not arguments.no_jax and importlib.util.find_spec("jax"):
            rows["Keras on JAX"] = (PLAIN, model, "keras", "jax")
        runs = take_turns(rows, source, repeats)
        print(ratio_table(runs, AS_IT_IS))


if __name__ == "__main__":
    sys.exit(main())
