r"""Validation PSNR over the steps of training runs, as one picture.

Example:
  python -m benchmarks.results.learning_curves --run="gray=runs/gray" --run="wider=runs/medium" \
      --output=out/learning
OUTPUT gets curves.csv and curves.png. Runs that curves.csv has from an earlier call stay in both,
so their folders may be gone; a run of the same label replaces its curve.
"""

import csv
import dataclasses
import io
import json
from collections.abc import Sequence
from pathlib import Path

from gradnet_tf.curves.curve_figure import PALETTE, STYLE
from gradnet_tf.utils.command import run_script
from gradnet_tf.utils.containers import parse_json
from gradnet_tf.utils.errors import UserError, install_command
from gradnet_tf.utils.options import CommandLine, Given, option

_COLUMNS = ("run", "validation", "step", "psnr")


@dataclasses.dataclass(frozen=True)
class Options:
    """The command's options.

    Attributes:
        run: LABEL=FOLDER of a training run; may be repeated.
        output: output folder.
    """

    run: tuple[str, ...] = option((), repeated=True)
    output: str = "out/learning"


COMMAND_LINE = CommandLine(Options)


@dataclasses.dataclass(frozen=True)
class LearningCurve:
    """The validations of a run.

    Attributes:
        run: its label.
        validation: what it was validated on, such as "16 of bsds500 and 8 of drawings".
        points: (step, PSNR in dB), in ascending order.
    """

    run: str
    validation: str
    points: tuple[tuple[int, float], ...]


def read_run(label: str, folder: str | Path) -> LearningCurve:
    """Reads the validations of a run from its config.json and log.jsonl.

    Raises:
        UserError: where the folder is not a run's, or the run has not been validated yet.
    """
    folder = Path(folder)
    try:
        config = parse_json((folder / "config.json").read_text("utf-8"))
        lines = (folder / "log.jsonl").read_text("utf-8").splitlines()
        images = config["facts"]["validation_images_by_set"]
        names = " and ".join(f"{count} of {name}" for name, count in images.items())
        rows = [json.loads(line) for line in lines]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            "`run` must name the work folder of a training run, with its config.json and "
            f"log.jsonl. Received: {str(folder)!r}"
        ) from error
    # The last step may be validated twice, the second time with the averaged weights.
    points = {row["step"]: float(row["psnr"]) for row in rows if row.get("psnr") is not None}
    if not points:
        raise UserError(f"{str(folder)!r} has no validation yet; see --validate_every of train.py")
    return LearningCurve(label, names, tuple(sorted(points.items())))


def read_curves(path: Path) -> list[LearningCurve]:
    """Returns the curves of a curves.csv; none where it does not exist."""
    points: dict[tuple[str, str], list[tuple[int, float]]] = {}
    if path.exists():
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                pair = int(row["step"]), float(row["psnr"])
                points.setdefault((row["run"], row["validation"]), []).append(pair)
    return [LearningCurve(*key, tuple(values)) for key, values in points.items()]


def curves_csv(curves: Sequence[LearningCurve]) -> str:
    """Returns the contents of curves.csv."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for curve in curves:
        for step, psnr in curve.points:
            writer.writerow([curve.run, curve.validation, step, f"{psnr:.4f}"])
    return file.getvalue()


def draw_curves(curves: Sequence[LearningCurve]):
    """Draws a panel for each set of validation images, since their PSNR cannot be compared.

    Returns:
        A `matplotlib.figure.Figure`; its axes are labelled with the images.

    Raises:
        UserError: when matplotlib is not installed, or for more runs in a panel than colors.
    """
    try:
        from matplotlib import style
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UserError(
            "the curves are drawn with matplotlib, which is not installed: "
            f"{install_command('matplotlib')}"
        ) from error
    panels: dict[str, list[LearningCurve]] = {}
    for curve in curves:
        panels.setdefault(curve.validation, []).append(curve)
    most = max(map(len, panels.values()))
    if most > len(PALETTE):
        raise UserError(f"a panel can show {len(PALETTE)} runs. Received: {most}")
    with style.context(["default", STYLE]):
        size = 5.2 * len(panels), 4.0
        figure = Figure(figsize=size, dpi=100, layout="constrained")
        for axes, (images, own) in zip(
            figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True
        ):
            for curve, color in zip(own, PALETTE, strict=False):
                steps, psnr = zip(*curve.points, strict=True)
                axes.plot([step / 1000 for step in steps], psnr, color=color, label=curve.run)
            axes.set_label(images)
            axes.set_title(f"PSNR (dB) of {images}", fontsize=10)
            axes.set_xlabel("thousand steps")
            for text in axes.legend(loc="lower right", frameon=False, fontsize=8).get_texts():
                text.set_parse_math(False)  # labels may contain dollar signs
        figure.draw_without_rendering()  # creates the ticks in this style
    return figure


def main(given: Given) -> None:
    """Reads the runs, and writes curves.csv and curves.png."""
    options = given.make(Options)
    from gradnet_tf.utils.files import atomic_path, atomic_write
    from gradnet_tf.utils.ownership import require_replaceable

    output = Path(options.output)
    table = output / "curves.csv"

    def is_own(_) -> bool:
        return table.exists() and table.read_text("utf-8").startswith(",".join(_COLUMNS))

    for name in ("curves.csv", "curves.png"):
        require_replaceable(output / name, f"--output={output}", is_own)
    curves = {curve.run: curve for curve in read_curves(table)}
    for each in options.run:
        label, equals, folder = each.partition("=")
        if not (label and equals and folder):
            raise UserError(f"`run` must be LABEL=FOLDER. Received: {each!r}")
        curves[label] = read_run(label, folder)
    if not curves:
        raise UserError("`run` must name at least one training run, as LABEL=FOLDER.")
    figure = draw_curves(list(curves.values()))
    output.mkdir(parents=True, exist_ok=True)
    atomic_write(table, curves_csv(list(curves.values())))
    with atomic_path(output / "curves.png") as path:
        figure.savefig(path, format="png")
    for curve in curves.values():
        step, best = max(curve.points, key=lambda point: point[1])
        print(f"{curve.run}: {best:.2f} dB at step {step:,}, {curve.validation}")
    print(f"The picture is {output / 'curves.png'}")


if __name__ == "__main__":
    run_script(main, __doc__, COMMAND_LINE)
