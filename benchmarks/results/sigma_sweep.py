r"""PSNR of models over the noise level, inside and outside the range of their training.

Example:
  python -m benchmarks.results.sigma_sweep --model=gradnet_small,gradnet_tiny --dataset=cbsd68 \
      --data_dir=DATA --max_images=16 --output=out/sweep
OUTPUT gets sweep.json, sweep.png and a file for each finished level, so the same command resumes.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.results.cells import parse_sigmas
from gradnet_tf.curves.curve_figure import PALETTE, STYLE
from gradnet_tf.evaluation.protocol import MAX_PSNR
from gradnet_tf.models.presets import PRECISIONS
from gradnet_tf.utils.command import run_script
from gradnet_tf.utils.errors import UserError, install_command
from gradnet_tf.utils.options import CommandLine, Given, option

_STYLE = {**STYLE, "axes.axisbelow": True}
_GRAY = "#666666"


def _shade(axes, curves: Sequence[dict[str, Any]]) -> None:
    """Shades the noise levels of training: in gray if all are equal, else in each curve's color."""
    ranges = [curve["trained"] for curve in curves]
    shared = len({tuple(levels or ()) for levels in ranges}) == 1
    for levels, color in zip(ranges[:1] if shared else ranges, PALETTE, strict=False):
        if levels:
            color, alpha = (_GRAY, 0.13) if shared else (color, 0.08)
            axes.axvspan(*levels, color=color, alpha=alpha, linewidth=0, gid="trained", zorder=0)


def draw_sweep(sweep: dict[str, Any]):
    """Draws two panels: PSNR of the output, and its gain over the noisy input.

    Args:
        sweep: from `make_sweep`, with up to seven models.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        UserError: when matplotlib is not installed, or for more models than colors.
    """
    try:
        from matplotlib import style
        from matplotlib.figure import Figure
        from matplotlib.patches import Patch
    except ImportError as error:
        raise UserError(
            "the sweep is drawn with matplotlib, which is not installed: "
            f"{install_command('matplotlib')}"
        ) from error
    curves = sweep["models"]
    if len(curves) > len(PALETTE):
        raise UserError(f"`model` must list at most {len(PALETTE)} models. Received: {len(curves)}")
    noisy = [(s, value) for s, value in zip(sweep["sigmas"], sweep["noisy"], strict=True) if value]
    with style.context(["default", _STYLE]):
        figure = Figure(figsize=(10.4, 4.3), dpi=100, layout="constrained")
        left, right = figure.subplots(1, 2)
        for axes in (left, right):
            _shade(axes, curves)
            axes.set(xlabel="noise level σ (0–255 scale)", xlim=(0, sweep["sigmas"][-1]))
        dashed = {"color": _GRAY, "linestyle": "--"}
        left.plot(*zip(*noisy, strict=True), gid="noisy", label="noisy input", **dashed)
        for curve, color in zip(curves, PALETTE, strict=False):
            pairs = zip(sweep["sigmas"], curve["psnr"], strict=True)
            # Exact results have no place on the axis of the others.
            known = [(s, v) for s, v in pairs if v is not None and v < MAX_PSNR]
            marks = {"color": color, "marker": "o", "markersize": 3.5}
            left.plot(*zip(*known, strict=True), gid="psnr", label=curve["model"], **marks)
            before = dict(noisy)
            gains = [(s, v - before[s]) for s, v in known if s in before]
            right.plot(*zip(*gains, strict=True), gid="gain", **marks)
        left.set_title("PSNR of the output (dB)")
        right.set_title("Gain over the noisy input (dB)")
        right.axhline(0, color=_GRAY, linewidth=0.8)
        handles, labels = left.get_legend_handles_labels()
        if any(curve["trained"] for curve in curves):
            handles.append(Patch(color=_GRAY, alpha=0.2))
            labels.append("trained for")
        legend = figure.legend(handles, labels, loc="outside upper left", ncols=4, frameon=False)
        for text in legend.get_texts():
            text.set_parse_math(False)  # names may contain dollar signs
        figure.draw_without_rendering()  # creates the ticks in this style
    return figure


@dataclasses.dataclass(frozen=True)
class Options:
    """The command's options.

    Attributes:
        model: one or more paths or names of models.
        dataset: image set by name.
        data_dir: folder that holds the data set, or the set's parent.
        sigmas: noise levels, 0-255 scale.
        max_images: use the first so many images in byte order.
        seed: seed of the noise.
        precision: dtype policy that the models are built under.
        output: output folder.
    """

    model: tuple[str, ...] = ("default",)
    dataset: str = "cbsd68"
    data_dir: str | None = None
    sigmas: tuple[str, ...] = tuple([str(s) for s in range(0, 80, 5)])
    max_images: int | None = None
    seed: int = 0
    precision: str = option("float32", choices=PRECISIONS)
    output: str = "out/sweep"


COMMAND_LINE = CommandLine(Options)


def make_sweep(denoisers, image_set, sigmas, options: dict[str, Any], output: Path) -> dict:
    """Scores every model at every level.

    Args:
        denoisers: from `load_denoiser`.
        image_set: the images.
        sigmas: levels in ascending order.
        options: fields of `EvaluateConfig`: `seed`, `precision`, `max_images`.
        output: output folder; its cells/ caches the scores.

    Returns:
        The contents of sweep.json: `dataset`, `images`, `sigmas`, `noisy` (PSNR in dB by level,
        `None` without noise) and `models` (`model`, `weights`, `trained`, `psnr`, `ssim`).
    """
    from benchmarks.results.cells import Cells
    from benchmarks.results.table_models import trained_range
    from gradnet_tf.evaluation.evaluate_set import EvaluateConfig
    from gradnet_tf.reporting.watch import Watch

    cells, curves, noisy = Cells(output / "cells"), [], []
    watch = Watch(len(image_set.names) * len(sigmas), show_model=True)
    for denoiser in denoisers:
        done = []
        for sigma in sigmas:
            config = EvaluateConfig(dataset=image_set.name, sigma=sigma, **options)
            name = f"{denoiser.name} σ={sigma:g}"
            done.append(
                cells.score(denoiser, image_set, config, lambda row, name=name: watch(name, row))
            )
        pairs = zip(sigmas, done, strict=True)
        noisy = [cell["mean"]["psnr_noisy"] if sigma else None for sigma, cell in pairs]
        curves.append(
            {
                "model": denoiser.name,
                "weights": done[0]["key"]["weights"],
                "trained": trained_range(denoiser),
                "psnr": [cell["mean"]["psnr"] for cell in done],
                "ssim": [cell["mean"]["ssim"] for cell in done],
            }
        )
    size = len(image_set.names)
    head = {"dataset": image_set.name, "images": size, **options}
    return {**head, "sigmas": list(sigmas), "noisy": noisy, "models": curves}


def table(sweep: dict[str, Any]) -> str:
    """Returns the sweep as Markdown: a row for each level."""
    from gradnet_tf.evaluation.tables import number

    names = [curve["model"] for curve in sweep["models"]]
    rows = [["σ", "noisy input", *names], ["---:"] * (2 + len(names))]
    for place, sigma in enumerate(sweep["sigmas"]):
        values = [sweep["noisy"][place], *(curve["psnr"][place] for curve in sweep["models"])]
        rows.append([f"{sigma:g}", *(number(value, 2) for value in values)])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def main(given: Given) -> None:
    """Scores the models, writes sweep.json and sweep.png and prints the table."""
    options = given.make(Options)
    sigmas = parse_sigmas(options.sigmas)
    specs = [spec.strip() for spec in options.model if spec.strip()]
    if not specs or len(set(specs)) < len(specs):
        raise UserError(
            f"`model` must be one or more different models. Received: {list(options.model)}"
        )
    from benchmarks.results.table_work import find_sets
    from gradnet_tf.denoiser import load_denoiser
    from gradnet_tf.utils.files import atomic_path, write_json
    from gradnet_tf.utils.ownership import is_json_with, require_replaceable

    image_set = find_sets([options.dataset], options.data_dir, options.max_images)[0]
    denoisers = [load_denoiser(spec, options.precision) for spec in specs]
    fields = {name: getattr(options, name) for name in ("seed", "precision", "max_images")}
    output = Path(options.output)

    def check_place():
        own = is_json_with(output / "sweep.json", "dataset", "sigmas", "noisy", "models")
        for name in ("sweep.json", "sweep.png"):
            require_replaceable(output / name, f"--output={output}", lambda _: own)

    check_place()
    sweep = make_sweep(denoisers, image_set, sigmas, fields, output)
    check_place()
    write_json(output / "sweep.json", sweep)
    print(table(sweep))
    with atomic_path(output / "sweep.png") as path:
        draw_sweep(sweep).savefig(path, format="png")
    print(f"The picture is {output / 'sweep.png'}")


if __name__ == "__main__":
    run_script(main, __doc__, COMMAND_LINE)
