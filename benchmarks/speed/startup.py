r"""Time from the command to the first picture written, and where it goes.

Example:
  python -m benchmarks.speed.startup --model=default --size=1 --repeats=5
Runs `gradnet denoise` on one generated JPEG, each time in a fresh process. First the phases, by a
stopwatch in the command's process (see `startup_probe`): exclusive times, so that they add up;
the sum is set against the plain command; once as the command is, once with Keras. Then what each
saving is worth: the command with Keras, with a saving undone, and with Keras on JAX, the variants
taking turns, as ratios to the plain command of the same run.
CPU seconds count all threads and are steadier than the clock where a machine is shared.
"""

import importlib.util
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.memory.tiled_memory import in_its_own_process
from benchmarks.speed.startup_probe import REST, RUNNING, SAVINGS
from benchmarks.speed.startup_run import EXIT, PLAIN, Run, probe, run_command
from gradnet_tf.utils.command import guarded
from gradnet_tf.utils.options import ArgumentParser

AS_IT_IS = "as it is"
#: What each saving is called where it is undone.
UNDONE = {
    "hidden_packages": "packages not needed are imported too",
    "collector_off": "garbage is collected as ever, also at exit",
    "no_autograph": "AutoGraph translates before a trace",
}


def spread(values: Sequence[float]) -> str:
    """Returns "minimum | median" as cells of a table."""
    return f"{min(values):.2f} | {statistics.median(values):.2f}"


def phase_table(watched: Sequence[Run], plain: Sequence[Run]) -> str:
    """Returns where the time goes, a row for each phase, and the sum beside the plain command."""
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
    """Runs every row `repeats` times, one after the other, so that all see the same machine."""
    runs: dict[str, list[Run]] = {name: [] for name in rows}
    for _ in range(repeats):
        for name, (start, model, *how) in rows.items():
            runs[name].append(run_command(start, model, source, *how))
    return runs


def _arguments(argv: Sequence[str] | None):
    parser = ArgumentParser(prog="startup", description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="default", help="what denoises: a path or a name")
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
        in_its_own_process("generate", str(source), arguments.size)
        for runtime in ("auto", "keras"):
            print(f"gradnet denoise --model={model} --runtime={runtime}, {arguments.size:g} MP\n")
            rows = {
                "plain": (PLAIN, model, runtime),
                "watched": (probe(watch=True), model, runtime),
            }
            take_turns(rows, source, 1)  # files come into the disk cache
            runs = take_turns(rows, source, repeats)
            print(phase_table(runs["watched"], runs["plain"]) + "\n", flush=True)

        rows = {AS_IT_IS: (PLAIN, model), "Keras": (PLAIN, model, "keras")}
        for saving, text in UNDONE.items():
            rows[f"Keras, {text}"] = (probe(without=[saving]), model, "keras")
        rows["Keras, all three undone"] = (probe(without=SAVINGS), model, "keras")
        if not arguments.no_jax and importlib.util.find_spec("jax"):
            rows["Keras on JAX"] = (PLAIN, model, "keras", "jax")
        runs = take_turns(rows, source, repeats)
        print(ratio_table(runs, AS_IT_IS))


if __name__ == "__main__":
    sys.exit(main())
