"""Draws what `gradnet noise` found, one page per photograph."""

import contextlib
import os

import numpy as np

from gradnet_tf.analysis.noise_analysis import DISTANCES, PLACE, NoiseAnalysis
from gradnet_tf.analysis.noise_verdict import NoiseVerdict
from gradnet_tf.curves.curve_figure import PALETTE, STYLE
from gradnet_tf.denoiser import to_unit
from gradnet_tf.utils.console import NAME_ESCAPES
from gradnet_tf.utils.errors import UserError, install_command
from gradnet_tf.utils.ownership import DRAWN_BY

#: Side of the crop that is shown, in pixels.
_CROP = 3 * PLACE // 2
#: The noise in the crop is amplified to this standard deviation, 0-255 scale.
_VISIBLE = 32.0
_MOST_GAIN = 16.0


def draw_noise(name: str, image: np.ndarray, analysis: NoiseAnalysis, verdict: NoiseVerdict):
    """Draws a page about the noise of a photograph.

    Args:
        name: of the photograph, for the title.
        image: the photograph, as `analyse_noise` takes it, (H, W, C).
        analysis: of the photograph.
        verdict: on it.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        UserError: matplotlib is not installed.
    """
    try:
        from matplotlib import style as styles
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UserError(
            "--output: the sheet is drawn with matplotlib, which is not installed: "
            f"{install_command('matplotlib')}"
        ) from error
    with styles.context(["default", STYLE]):
        figure = Figure(figsize=(11.7, 8.3), dpi=110, layout="constrained")
        # A name is no formula, and may have bytes that are no text.
        name = os.fsencode(name).decode("utf-8", "replace").translate(NAME_ESCAPES)
        title = f"{name}\n{verdict.text}"
        figure.suptitle(title, x=0.01, ha="left", fontsize=12, parse_math=False)
        axes = figure.subplots(2, 3, width_ratios=(3, 3, 2))
        if analysis.blocks:
            _draw_levels(axes[0, 0], analysis)
            _draw_correlation(axes[0, 1], analysis)
            _draw_shares(axes[0, 2], analysis)
            _draw_crops(axes[1, :2], image, analysis)
            _write_numbers(axes[1, 2], analysis, verdict)
        else:
            for axis in axes.flat:
                axis.axis("off")
        figure.draw_without_rendering()  # creates the ticks while the style is active
    return figure


def save_noise_page(figure, path) -> None:
    """Writes a page as PNG."""
    figure.savefig(path, format="png", metadata={"Software": MADE_BY})


#: Metadata of our pictures, which may be replaced.
MADE_BY = f"{DRAWN_BY} noise sheet"


def _draw_levels(axis, analysis: NoiseAnalysis) -> None:
    x = np.linspace(0, 1, 101)
    brightness = np.array(analysis.brightness)
    axis.plot(255 * brightness, analysis.levels, "o", color=PALETTE[0], label="flat blocks")
    inside = np.linspace(brightness.min(), brightness.max(), 101)
    axis.plot(255 * x, analysis.sigma_at(x), ":", color=PALETTE[1], linewidth=1)
    axis.plot(255 * inside, analysis.sigma_at(inside), color=PALETTE[1], label="√(a · x + b)")
    axis.set(
        title="Noise level against brightness",
        xlabel="Brightness, 0-255",
        ylabel="σ, 0-255",
        xlim=(0, 255),
        ylim=(0, 1.3 * max(*analysis.levels, analysis.sigma, 0.5)),
    )
    axis.legend(loc="lower right")


def _draw_correlation(axis, analysis: NoiseAnalysis) -> None:
    d = np.linspace(0, DISTANCES[-1], 161)
    axis.axhline(0, color="#666666", linewidth=0.8)
    axis.plot(DISTANCES, analysis.correlation, "o", color=PALETTE[0], label="flat blocks")
    if analysis.length:
        fitted = np.exp(-(d**2) / (4 * analysis.length**2))
        axis.plot(d, fitted, color=PALETTE[1], label=f"length {analysis.length:.2f} pixels")
    else:
        axis.plot([0, 0.03, d[-1]], [1, 0, 0], color=PALETTE[1], label="white noise")
    axis.set(
        title="Correlation of neighbors",
        xlabel="Distance in pixels",
        ylabel="Correlation",
        ylim=(-0.25, 1.05),
    )
    axis.legend(loc="upper right", frameon=False)


def _draw_shares(axis, analysis: NoiseAnalysis) -> None:
    if analysis.chroma_share is None:
        axis.axis("off")
        axis.set_title("Gray: no color noise")
        return
    shares = np.array([1 - analysis.chroma_share, analysis.chroma_share])
    bars = axis.bar(["brightness", "color"], 100 * shares, color=[PALETTE[0], PALETTE[1]])
    axis.bar_label(bars, fmt="%.0f%%")
    axis.axhline(100 / 3, color=PALETTE[0], linestyle=":", linewidth=1)
    axis.axhline(200 / 3, color=PALETTE[1], linestyle=":", linewidth=1)
    axis.set(
        title="Energy of the noise", ylabel="Percent (dotted: independent R, G, B)", ylim=(0, 108)
    )


def _draw_crops(axes, image: np.ndarray, analysis: NoiseAnalysis) -> None:
    side = min(_CROP, *image.shape[:2])
    row, column = (
        int(np.clip(start - (side - PLACE) // 2, 0, size - side))
        for start, size in zip(analysis.flattest, image.shape[:2], strict=True)
    )
    colors = image[row : row + side, column : column + side]
    colors = colors[..., : 1 if colors.shape[-1] < 3 else 3]
    crop = np.repeat(to_unit(colors), 3 // colors.shape[-1], axis=-1)
    strongest = max(analysis.sigma, 0.05)
    gain = float(np.clip(_VISIBLE / strongest, 1, _MOST_GAIN))
    amplified = 0.5 + gain * (crop - crop.mean((0, 1), keepdims=True))
    pictures = (crop, "Flattest part"), (amplified, f"The same, contrast × {gain:.1f}")
    for axis, (picture, title) in zip(axes, pictures, strict=True):
        axis.imshow(np.clip(picture, 0, 1), interpolation="nearest")
        axis.set_title(f"{title}, {side}×{side} pixels")
        axis.set_xticks([])
        axis.set_yticks([])
        axis.grid(False)


def _write_numbers(axis, analysis: NoiseAnalysis, verdict: NoiseVerdict) -> None:
    axis.axis("off")
    rows = [
        ("σ", f"{analysis.sigma:.2f} of 255"),
        ("a", f"{analysis.slope:.2e}"),
        ("b", f"{analysis.offset:.2e}"),
        ("length", f"{analysis.length:.2f} px"),
        ("brightness", f"σ {analysis.luma_sigma:.2f}, {analysis.luma_length:.2f} px"),
    ]
    if analysis.chroma_sigma is not None:
        rows.append(("color", f"σ {analysis.chroma_sigma:.2f}, {analysis.chroma_length:.2f} px"))
    rows += [("evenness", f"{analysis.evenness:.2f}"), ("blocks", f"{analysis.blocks}")]
    rows += [("model", verdict.model or "none"), ("strength", f"{verdict.strength:g}")]
    for line, (label, text) in enumerate(rows):
        place = 0.98 - 0.085 * line
        axis.text(0.0, place, label, transform=axis.transAxes, color="#666666")
        axis.text(0.42, place, text, transform=axis.transAxes)
    with contextlib.suppress(AttributeError):
        axis.set_in_layout(False)
