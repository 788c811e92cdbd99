"""Draws PSNR against the noise level, with the levels a model was trained for."""

from collections.abc import Sequence
from typing import Any

from gradnet_tf.curves.curve_figure import PALETTE, STYLE
from gradnet_tf.utils.errors import UserError

_STYLE = {**STYLE, "axes.axisbelow": True}
_GREY = "#666666"


def _shade(axes, curves: Sequence[dict[str, Any]]) -> None:
    """Shades the range of training: one grey when all have the same, else each in its colour."""
    ranges = [curve["trained"] for curve in curves]
    shared = len({tuple(levels or ()) for levels in ranges}) == 1
    for levels, colour in zip(ranges[:1] if shared else ranges, PALETTE, strict=False):
        if levels:
            colour, alpha = (_GREY, 0.13) if shared else (colour, 0.08)
            axes.axvspan(*levels, color=colour, alpha=alpha, linewidth=0, gid="trained", zorder=0)


def draw_sweep(sweep: dict[str, Any]):
    """Draws two panels: PSNR of the output, and what it gains over the noisy input.

    Args:
        sweep: see `benchmarks.results.sigma_sweep.make_sweep`; up to seven models.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        UserError: when matplotlib is not installed, or for more models than colours.
    """
    try:
        from matplotlib import style
        from matplotlib.figure import Figure
        from matplotlib.patches import Patch
    except ImportError as error:
        raise UserError(
            "the sweep is drawn with matplotlib, which is not installed: "
            "pip install matplotlib==3.11.2"
        ) from error
    curves = sweep["models"]
    if len(curves) > len(PALETTE):
        raise UserError(
            f"`model` must be at most {len(PALETTE)} models to be drawn. Received: {len(curves)}"
        )
    noisy = [(s, value) for s, value in zip(sweep["sigmas"], sweep["noisy"], strict=True) if value]
    with style.context(["default", _STYLE]):
        figure = Figure(figsize=(10.4, 4.3), dpi=100, layout="constrained")
        left, right = figure.subplots(1, 2)
        for axes in (left, right):
            _shade(axes, curves)
            axes.set(xlabel="noise level σ (0–255 scale)", xlim=(0, sweep["sigmas"][-1]))
        dashed = {"color": _GREY, "linestyle": "--"}
        left.plot(*zip(*noisy, strict=True), gid="noisy", label="noisy input", **dashed)
        for curve, colour in zip(curves, PALETTE, strict=False):
            pairs = zip(sweep["sigmas"], curve["psnr"], strict=True)
            known = [pair for pair in pairs if pair[1] is not None]
            marks = {"color": colour, "marker": "o", "markersize": 3.5}
            left.plot(*zip(*known, strict=True), gid="psnr", label=curve["model"], **marks)
            before = dict(noisy)
            gains = [(s, v - before[s]) for s, v in known if s in before]
            right.plot(*zip(*gains, strict=True), gid="gain", **marks)
        left.set_title("PSNR of the output (dB)")
        right.set_title("Gain over the noisy input (dB)")
        right.axhline(0, color=_GREY, linewidth=0.8)
        handles, labels = left.get_legend_handles_labels()
        if any(curve["trained"] for curve in curves):
            handles.append(Patch(color=_GREY, alpha=0.2))
            labels.append("trained for")
        legend = figure.legend(handles, labels, loc="outside upper left", ncols=4, frameon=False)
        for text in legend.get_texts():
            text.set_parse_math(False)  # a dollar in a name is a dollar
        figure.draw_without_rendering()  # ticks are made when drawn, and are to have this style
    return figure
