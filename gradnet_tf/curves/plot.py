"""Plots the curves of one or several runs into a PNG and prints a table.

Example:
  python -m gradnet_tf.curves.plot runs/small_s25 runs/tiny_blind --output=curves.png
It reads log.jsonl of each run and of its naive stage, so it works during a run and on any machine
with access to the folder.
"""

import argparse
import math
import os
import sys
from collections.abc import Sequence

import numpy as np

from gradnet_tf.curves.curve_figure import draw_curves
from gradnet_tf.curves.run_curves import Curve, read_runs
from gradnet_tf.utils.command import guarded
from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.files import atomic_path
from gradnet_tf.utils.options import ArgumentParser, path_text
from gradnet_tf.utils.ownership import DRAWN_BY, is_drawn_by, require_replaceable

#: Metadata of our pictures, which may be replaced.
_MADE_BY = f"{DRAWN_BY} curves"


def _length(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number of steps. Received: {text}")
    return value


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="python -m gradnet_tf.curves.plot",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "runs",
        nargs="+",
        type=path_text,
        metavar="RUN",
        help="a run's folder (--workdir), or one of runs",
    )
    parser.add_argument(
        "--output", type=path_text, default="curves.png", metavar="FILE", help="PNG to write"
    )
    parser.add_argument(
        "--x",
        choices=("step", "hours"),
        default="step",
        help="hours are computed from the examples per second",
    )
    parser.add_argument(
        "--smooth",
        type=_length,
        metavar="STEPS",
        help="number of steps to average the loss over; 0: none (default: 3%% of the longest run)",
    )
    return parser


def table(curves: Sequence[Curve]) -> str:
    """Returns a line for each stage: its progress, best PSNR and median speed."""
    rows = [("run", "last step", "last loss", "best PSNR", "at step", "examples/s")]
    # Cumulative, so the last value is the total.
    skipped = [int(curve.known("skipped")[1][-1:].sum()) for curve in curves]
    if any(skipped):
        rows[0] += ("skipped steps",)
    for curve, count in zip(curves, skipped, strict=True):
        loss, speed = curve.known("loss")[1], curve.known("examples_per_second")[1]
        index, psnr = curve.known("psnr")
        best = np.argmax(psnr) if psnr.size else None
        row = (
            curve.name + (" (naive)" if curve.naive else ""),
            str(curve.step[-1]),
            f"{loss[-1]:.4g}" if loss.size else "–",
            "–" if best is None else f"{psnr[best]:.2f} dB",
            "–" if best is None else str(curve.step[index[best]]),
            f"{np.median(speed):.4g}" if speed.size else "–",
        )
        rows.append(row + (str(count),) * any(skipped))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for name, *numbers in rows:
        cells = [text.rjust(width) for text, width in zip(numbers, widths[1:], strict=True)]
        lines.append("  ".join([name.ljust(widths[0]), *cells]))
    return "\n".join(lines)


def _require_own_picture(output: str) -> None:
    """Raises if a file would be replaced that this command did not write."""
    require_replaceable(output, f"--output={output}", lambda path: is_drawn_by(path, _MADE_BY))


def _run(arguments: argparse.Namespace) -> None:
    output = arguments.output
    if not output.lower().endswith(".png") or os.path.isdir(output):
        raise UserError(f"--output must be a file name that ends in .png. Received: {output}")
    _require_own_picture(output)
    curves = read_runs(arguments.runs)
    figure = draw_curves(curves, arguments.x, arguments.smooth)
    try:
        with atomic_path(output, lambda: _require_own_picture(output)) as temporary:
            figure.savefig(temporary, metadata={"Software": _MADE_BY})
    except OSError as error:
        raise UserError(
            f"--output={output} cannot be written: {error.strerror or error}"
        ) from error
    print(table(curves))
    print(f"wrote {output}")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code."""
    return guarded(lambda: _run(_parser().parse_args(argv)), argv)


if __name__ == "__main__":
    sys.exit(main())
