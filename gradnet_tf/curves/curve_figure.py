"""Draws the curves of runs into one matplotlib figure."""

from collections.abc import Sequence

import numpy as np

from gradnet_tf.curves.run_curves import Curve, smoothed
from gradnet_tf.utils.errors import UserError, install_command

# Okabe and Ito's colors for all kinds of color vision, without the yellow, which is too pale on
# white; black is last.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
_GRAY = "#666666"
#: matplotlib settings of the project's charts.
STYLE = {
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "font.size": 9.5,
    "grid.alpha": 0.3,
    "grid.linewidth": 0.6,
    "lines.solid_capstyle": "round",
}


def _colors(names: Sequence[str]) -> dict[str, object]:
    """Assigns a color to each run; many runs use a scale from dark to light."""
    if len(names) <= len(PALETTE):
        return dict(zip(names, PALETTE, strict=False))
    from matplotlib import colormaps

    # Without the pale yellow end of the scale.
    places = np.linspace(0.0, 0.9, len(names))
    return dict(zip(names, colormaps["viridis"](places), strict=True))


def _panels(figure, curves: Sequence[Curve], unit: str) -> dict:
    """Returns the axes by field; there is one for input wait only if a run recorded it."""
    from matplotlib.ticker import LogLocator, NullLocator

    waits = any(curve.known("input_wait")[0].size for curve in curves)
    grid = figure.add_gridspec(6, 2)
    axes = {"loss": figure.add_subplot(grid[:3, 0])}
    shared = {"sharex": axes["loss"]}
    axes["psnr"] = figure.add_subplot(grid[:3, 1], **shared)
    axes["learning_rate"] = figure.add_subplot(grid[3:, 0], **shared)
    axes["examples_per_second"] = figure.add_subplot(grid[3 : 5 if waits else 6, 1], **shared)
    naive = any(curve.naive for curve in curves)
    axes["loss"].set(
        title="Training loss" + (" (dashed: plain L1, not to compare)" if naive else "")
    )
    axes["psnr"].set(title="Validation PSNR (dB)")
    axes["learning_rate"].set(title="Learning rate")
    axes["examples_per_second"].set(title="Examples per second")
    if waits:
        axes["input_wait"] = figure.add_subplot(grid[5:, 1], **shared)
        axes["input_wait"].set(title="Share of time waiting for input", ylim=(0, 1))
    # The naive denoiser trains ten times as fast, so a linear scale would compress the rest.
    for field in ("loss", "examples_per_second"):
        axes[field].set_yscale("log")
        axes[field].yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
        axes[field].yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes[field].yaxis.set_minor_locator(NullLocator())
    for field, panel in axes.items():
        panel.set_label(field)
        if field in ("learning_rate", list(axes)[-1]):
            panel.set_xlabel(unit)
    return axes


def _draw(axes: dict, curve: Curve, x: np.ndarray, length: float, style: dict) -> None:
    for field, panel in axes.items():
        index, values = curve.known(field)
        if panel.get_yscale() == "log":
            index, values = index[values > 0], values[values > 0]
        if field == "loss":
            faint = {"color": style["color"], "alpha": 0.2, "linewidth": 0.8}
            panel.plot(x[index], values, gid="raw", **faint)
            values = smoothed(curve.step[index], values, length)
        # A single row is not visible as a line.
        dots = field == "psnr" or len(index) == 1
        marks = {"marker": "o", "markersize": 3} if dots else {}
        panel.plot(x[index], values, gid=field, **style, **marks)
        if field == "psnr" and values.size:
            best = np.argmax(values)
            ring = {"marker": "o", "markersize": 8, "markerfacecolor": "none", "linestyle": "none"}
            panel.plot(x[index][best], values[best], gid="best", color=style["color"], **ring)
        # Small ticks mark where the run was resumed.
        for step in curve.resumes:
            place = np.interp(step, curve.step, x)
            panel.axvline(place, 0.0, 0.05, gid="resume", color=style["color"], linewidth=1.5)


def _label_short_ranges(axes: dict) -> None:
    """Uses linear steps for logarithmic axes of less than a decade, to get enough labels."""
    from matplotlib.ticker import MaxNLocator

    for panel in axes.values():
        low, high = panel.get_ylim()
        if panel.get_yscale() == "log" and high < 10 * low:
            panel.yaxis.set_major_locator(MaxNLocator(5))


def _legend(figure, curves: Sequence[Curve], colors: dict) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color=color, linewidth=2.5) for color in colors.values()]
    labels = list(colors)
    if any(curve.naive for curve in curves):
        handles.append(Line2D([], [], color=_GRAY, linestyle="--"))
        labels.append("naive denoiser's stage")
    handles.append(Line2D([], [], color=_GRAY, marker="o", fillstyle="none", linestyle="none"))
    labels.append("best PSNR")
    if any(curve.resumes for curve in curves):
        handles.append(Line2D([], [], color=_GRAY, marker="|", linestyle="none"))
        labels.append("resumed")
    # One line if it fits the width of the picture, else columns of the widest label.
    fits = sum(map(len, labels)) + 7 * len(labels) < 175
    columns = len(labels) if fits else max(1, 175 // (max(map(len, labels)) + 7))
    place = "outside upper left"
    legend = figure.legend(handles, labels, loc=place, ncols=columns, frameon=False)
    for text in legend.get_texts():
        text.set_parse_math(False)  # folder names may contain dollars


def draw_curves(curves: Sequence[Curve], x: str = "step", smooth: float | None = None):
    """Draws loss, validation PSNR, learning rate, speed and, where recorded, waiting for input.

    Args:
        curves: see `read_runs`.
        x: "step" or "hours" of training, each stage from 0.
        smooth: length of the loss's average in steps, see `smoothed`; 0 shows only the rows,
            `None` uses 3% of the longest stage.

    Returns:
        A `matplotlib.figure.Figure` whose axes are labeled by field.

    Raises:
        UserError: if matplotlib is not installed, or the log has no data for hours.
    """
    try:
        from matplotlib import style as styles
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UserError(
            "the curves are drawn with matplotlib, which is not installed: "
            f"{install_command('matplotlib')}"
        ) from error
    if smooth is None:
        smooth = 0.03 * max(int(curve.step[-1]) for curve in curves)
    colors = _colors(list(dict.fromkeys(curve.name for curve in curves)))
    # The default style instead of the user's matplotlibrc; without pyplot there is no window.
    with styles.context(["default", STYLE]):
        figure = Figure(figsize=(12.8, 7.2), dpi=110, layout="constrained")
        axes = _panels(figure, curves, "Step" if x == "step" else "Hours of training")
        for curve in curves:
            places = curve.step if x == "step" else curve.hours()
            style = {
                "color": colors[curve.name],
                "linestyle": "--" if curve.naive else "-",
                "linewidth": 1.2 if curve.naive else 1.6,
            }
            _draw(axes, curve, places, smooth, style)
        axes["learning_rate"].set_ylim(bottom=0)
        _label_short_ranges(axes)
        _legend(figure, curves, colors)
        figure.draw_without_rendering()  # creates the ticks while the style is active
    return figure
