"""Runs .tflite files under emulated ARM64, as on a phone, and compares with this machine.

    python -m tools.checks_arm64 FILE.tflite ... [--root=out/arm64/root]

Needs root, debootstrap and QEMU's user mode (`make arm64-setup`). The first run makes the folder
of ARM64 programs, later ones use it again; --remove deletes it at the end. Emulated, an image of
64×64 takes seconds: the times say nothing about a phone.
"""

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from export.verify.checks import CheckFailed, probe_image
from gradnet_tf.utils.command import guarded
from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.options import ArgumentParser
from tools import arm64_process
from tools.arm64_root import PROCESSORS, make_root, require_tools, run_python

SIDE = 64
#: Agreement with the native result in dB that each kind of file must reach: the floats differ in
#: the last digit, integers where such a digit turns a rounding.
LEAST = {"float32": 110.0, "float16": 100.0, "int8": 55.0, "dynamic": 50.0}
ROOT = Path("out/arm64/root")


def kind_of(name: str) -> str:
    """Returns the key of `LEAST` that a file's name tells, float32 where it tells none."""
    return next((kind for kind in LEAST if f"_{kind}" in name), "float32")


def decibels(found: np.ndarray, expected: np.ndarray) -> float:
    """Returns the agreement of two arrays, peak 1.0; infinite where they are equal."""
    power = np.mean((found.astype(np.float64) - expected) ** 2)
    return float(-10 * np.log10(power)) if power else float("inf")


def inputs_for(path: Path) -> dict[str, np.ndarray]:
    """Returns what `arm64_process` feeds a file with."""
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(model_path=str(path)).get_signature_runner("serving_default")
    shape = runner.get_input_details()["images"]["shape_signature"]
    window = int(shape[1]) if shape[1] > 0 else SIDE
    channels = int(shape[-1])
    return {
        "images": probe_image(SIDE, SIDE, channels),
        "window": probe_image(window, window, channels),
        "crop": probe_image(80, 80, channels),
    }


def check(paths: Sequence[Path], root: Path, processors: Sequence[str]) -> list[str]:
    """Runs the files natively and on each processor; returns a line for each comparison.

    Args:
        paths: .tflite files.
        root: folder of `make_root`.
        processors: keys of `PROCESSORS`.

    Raises:
        CheckFailed: a file agrees less than `LEAST` says, or does not run.
    """
    lines, failed = [], []
    guest = root / "check"
    try:
        for path in paths:
            shutil.rmtree(guest, ignore_errors=True)
            guest.mkdir()
            shutil.copy(path, guest)
            shutil.copy(arm64_process.__file__, guest / "process.py")
            given = inputs_for(path)
            np.savez(guest / "inputs.npz", **given)
            expected = arm64_process.run_file(path, given, threads=1)
            for processor in processors:
                done = run_python(root, processor, "/check/process.py", "/check")
                if done.returncode != 0:
                    said = (done.stderr.strip().splitlines() or ["nothing"])[-1]
                    raise CheckFailed(f"{path.name} fails on {processor}: {said[:300]}")
                told = json.loads(done.stdout.splitlines()[-1])
                with np.load(guest / f"{path.stem}.outputs.npz") as found:
                    line, fault = _compare(path.name, expected, dict(found), told)
                lines.append(f"{path.name:<52}{processor:<12}{line}")
                failed += [f"{path.name} on {processor}: {fault}"] if fault else []
    finally:
        shutil.rmtree(guest, ignore_errors=True)
    if failed:
        raise CheckFailed("\n".join([*lines, *failed]))
    return lines


def _compare(name: str, expected: dict, found: dict, told: dict) -> tuple[str, str | None]:
    """Returns the figures of a file, and what is wrong with them."""
    worst = min(decibels(found[key], expected[key]) for key in expected)
    largest = max(float(np.abs(found[key] - expected[key]).max()) for key in expected)
    line = f"{worst:>7.1f} dB  largest difference {largest:.1e}  {told['seconds'][name]:5.1f} s"
    least = LEAST[kind_of(name)]
    if told["machine"] != "aarch64":
        return line, f"ran on {told['machine']}, not on aarch64"
    # Written this way round, NaN fails too.
    return line, None if worst >= least else f"{worst:.1f} dB, at least {least:.0f} expected"


def main(arguments: Sequence[str] | None = None) -> int:
    """Parses the command line and prints a line for each file; returns the exit code."""
    parser = ArgumentParser(prog="python -m tools.checks_arm64", description=__doc__)
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE.tflite")
    parser.add_argument("--root", type=Path, default=ROOT, help=f"the folder (default: {ROOT})")
    parser.add_argument(
        "--processors",
        nargs="+",
        choices=PROCESSORS,
        default=list(PROCESSORS),
        help="what QEMU stands for (default: both)",
    )
    parser.add_argument("--remove", action="store_true", help="delete the folder at the end")
    options = parser.parse_args(arguments)
    for path in options.files:
        if not path.is_file():
            raise UserError(f"{path}: no such file. `python -m export` writes .tflite files.")
    require_tools()
    try:
        make_root(options.root)
        print("\n".join(check(options.files, options.root, options.processors)))
    except CheckFailed as error:
        raise UserError(str(error)) from error
    finally:
        if options.remove:
            shutil.rmtree(options.root, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
