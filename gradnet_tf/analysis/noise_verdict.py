"""Says in words what noise a picture has, and recommends a model and a strength.

The rules were found on pictures whose noise is known: CBSD68 and free photographs as they are and
with white noise, PolyU and RENOIR; docs/noise.md has the counts. What separates them:

* White noise is white in color, where pictures have little structure.
* Cameras smooth noise. Demosaicking leaves it correlated by 0.5 to 0.9 pixels in brightness, and a
  camera's own denoiser by more in color. Texture is mostly brightness: color is less than half of
  its energy.
* Texture comes and goes; noise is in every flat block (`NoiseAnalysis.evenness`).
"""

import dataclasses

from gradnet_tf import weights
from gradnet_tf.analysis.noise_analysis import PLACE, NoiseAnalysis

#: The kinds of verdicts.
CLEAN, WHITE, CAMERA, UNKNOWN = "clean", "white", "camera", "unknown"
#: Weights for color pictures by the kind of their noise.
COLOR_MODELS = {WHITE: weights.DEFAULT, CAMERA: weights.CAMERA}

# Measured correlation lengths of white noise are less: a little structure is left.
_WHITE_LENGTH = 0.45
# Less than that, 0-255 scale, is what clean photographs have.
_LEAST_WHITE, _LEAST_CAMERA, _LEAST_SMOOTHED = 1.5, 1.0, 0.6
# Where noise is measured only in brightness, it must be stronger, and not as strong as texture is.
_LEAST_LUMA, _LEAST_GRAY, _MOST_LUMA = 1.5, 2.0, 9.5
# Correlation lengths of a camera's noise in brightness, and of color that was smoothed.
_GRAIN = 0.6, 1.45
_FINEST = 0.42
_SMOOTHED = 3.75
# Of 194 pictures that are clean, one with as much in brightness is as even.
_EVEN = 0.8
_COARSE = 1.0
# Noise whose energy is color by at least this share is a camera's; so is some with less.
_COLORED, _SOMEWHAT_COLORED = 0.5, 0.3
# Variances at black and at white that differ by less than this factor count as one level.
_LEVEL_FACTOR = 1.5


@dataclasses.dataclass(frozen=True)
class NoiseVerdict:
    """What `judge_noise` says.

    Attributes:
        kind: `CLEAN`, `WHITE`, `CAMERA` or `UNKNOWN`.
        text: one line in words.
        lines: details for a person, one line each.
        model: name of the weights that remove this noise best; `None` if nothing is to remove.
        strength: recommended strength for these weights, 0 if nothing is to remove.
    """

    kind: str
    text: str
    lines: tuple[str, ...]
    model: str | None
    strength: float


def judge_noise(analysis: NoiseAnalysis) -> NoiseVerdict:
    """Says what noise a picture has and what removes it."""
    kind = _kind(analysis)
    color = analysis.chroma_share is not None
    model = None
    if kind in (WHITE, CAMERA):
        model = COLOR_MODELS[kind] if color else weights.GRAY
    lines = () if kind == UNKNOWN else _details(analysis, kind)
    if model:
        lines += (f"recommended: --model={model} --strength=1",)
    elif kind == CLEAN:
        lines += ("recommended: leave it as it is",)
    return NoiseVerdict(kind, _words(analysis, kind), lines, model, 1.0 if model else 0.0)


def _kind(found: NoiseAnalysis) -> str:
    if not found.blocks:
        return UNKNOWN
    if found.length < _WHITE_LENGTH and found.sigma >= _LEAST_WHITE and found.evenness >= 0.8:
        return CAMERA if _is_colored(found) else WHITE
    grainy = _GRAIN[0] <= found.luma_length <= _GRAIN[1]
    bounded = _LEAST_LUMA <= found.luma_sigma < _MOST_LUMA
    if found.chroma_share is None:
        return CAMERA if grainy and bounded and found.evenness >= 0.75 else CLEAN
    if found.chroma_share >= _COLORED and found.sigma >= _LEAST_CAMERA:
        return CAMERA
    if found.chroma_share >= _SOMEWHAT_COLORED and found.luma_length < _GRAIN[1]:
        if found.evenness >= 0.6 and found.sigma >= _LEAST_LUMA:
            return CAMERA
    # Hardly any texture is as even, however strong; a sharpened photograph's grain is finer.
    if found.evenness >= _EVEN and found.luma_sigma >= _LEAST_GRAY:
        if _FINEST <= found.luma_length <= _GRAIN[1]:
            return CAMERA
    if not grainy or found.luma_sigma >= _MOST_LUMA:
        return CLEAN
    smoothed = found.chroma_length >= _SMOOTHED and found.chroma_sigma >= 0.15
    if smoothed and found.evenness >= 0.35 and found.sigma >= _LEAST_SMOOTHED:
        return CAMERA
    # Color without any noise at all: compression or a denoiser removed it.
    bare = found.chroma_sigma < 0.1 and found.chroma_length == 0 and found.evenness >= 0.4
    if bare and found.luma_sigma >= _LEAST_CAMERA:
        return CAMERA
    return CLEAN


def _is_colored(found: NoiseAnalysis) -> bool:
    """Whether noise that is white in brightness has color that was smoothed."""
    if found.chroma_share is None or found.chroma_share < 0.03:
        return False
    return found.chroma_length >= _WHITE_LENGTH


def _words(found: NoiseAnalysis, kind: str) -> str:
    if kind == UNKNOWN:
        return f"too small to tell: noise is measured in pictures of {PLACE}×{PLACE} pixels or more"
    if kind == CLEAN:
        return "clean: no noise to remove"
    if kind == WHITE:
        grows = _growth(found) > _LEVEL_FACTOR
        return f"white noise, σ ≈ {found.sigma:.1f}" + (
            ", more where it is bright" if grows else ""
        )
    grain = "coarse" if found.length >= _COARSE else "fine"
    words = [f"camera noise, {grain} grain, σ ≈ {found.sigma:.1f}"]
    if found.chroma_share is not None:
        if found.chroma_share >= 0.7:
            words.append("mostly color")
        elif found.chroma_share < 0.2:
            words.append("mostly brightness")
        if found.chroma_length >= 2 and found.chroma_share >= 0.2:
            words.append("color in blotches")
    return ", ".join(words)


def _growth(found: NoiseAnalysis) -> float:
    """Returns the variance in the brightest group of blocks over that in the darkest."""
    low, high = (max(float(found.sigma_at(found.brightness[i])), 0.3) for i in (0, -1))
    return (high / low) ** 2


def _details(found: NoiseAnalysis, kind: str) -> tuple[str, ...]:
    if kind == CLEAN:
        # Texture may have been measured: its numbers say nothing about noise.
        return ()
    fit = f"variance = {found.slope:.2e} · x + {found.offset:.2e} on the [0, 1] scale"
    lines = [f"σ {found.sigma:.2f} of 255; {fit}"]
    parts = [f"brightness σ {found.luma_sigma:.2f}, grain {found.luma_length:.2f} pixels"]
    if found.chroma_share is not None:
        parts.append(f"color σ {found.chroma_sigma:.2f}, grain {found.chroma_length:.2f} pixels")
        parts.append(f"{100 * found.chroma_share:.0f}% of the energy is color")
    lines.append("; ".join(parts))
    return tuple(lines)
