"""Measures the noise of one picture: its level against brightness, its grain, its color.

Noise is measured where the picture is flat. Blocks are chosen by what surrounds them, not by what
is in them: choosing the blocks of least variance would choose those in which the noise happens to
be low. The typical spectrum of the chosen blocks is explained by three parts,

```
spectrum(k) = variance · grain(k; length) + structure · |k|^−e + rounding,
```

noise that is white noise blurred by a Gaussian of standard deviation `length` (see
`gradnet_tf.degradations.correlated`), what the picture itself adds, and the rounding to levels.
Spectra are cosine transforms without the coefficients that are constant along an axis, so that
slopes and horizontal or vertical edges do not count. The level against brightness is then fitted
to the blocks one by one: `variance = slope · brightness + offset`, on the scale of the image.

Accuracy is measured by `python -m benchmarks.quality.noise_accuracy`.
"""

import dataclasses
import functools
import math
from typing import Any

import cv2
import numpy as np

from gradnet_tf.degradations import unit_to_sigma
from gradnet_tf.degradations.noise_level import estimate_sigma
from gradnet_tf.images.channels import is_gray
from gradnet_tf.utils.console import inform
from gradnet_tf.utils.errors import UserError

#: Side of the blocks in which noise is measured, and of the places around them, in pixels.
BLOCK = 32
PLACE = 2 * BLOCK
# Pixels are averaged in cells of this side to find out where the picture is flat.
_CELL = 8
# Places that are looked at in a large picture, and their distance in a small one.
_MOST_PLACES = 1600
_STEP = 16
# The share of the places, in each class of brightness, around which the picture is flattest.
_FLATTEST = 0.15
_CLASSES = 8
_FEWEST = 48
# A place is not flat if its surroundings vary so much more than those of the flattest tenth.
_FLAT_RATIO = 2.0
# Blocks whose mean is so many standard deviations from black and white are free of clipping.
_CLEAR = 1.5
# Correlation lengths that are tried, in pixels; below 0.25 it is white noise.
_LENGTHS = np.concatenate([[0.0], np.geomspace(0.25, 4.0, 25)])
# A share of correlated noise that is white: rounding in the camera, for example.
_WHITE_SHARES = np.array([0.0, 0.003, 0.01])
# How the spectrum of a picture falls with the frequency.
_EXPONENTS = (2.0, 3.0)
# Frequencies are grouped in bands, whose first coefficients these are.
_BANDS = np.array([1, 2, 3, 4, 5, 6, 8, 10, 13, 17, 21, 26, BLOCK])
_ITERATIONS = 80
# Noise of at most this correlation length is white, measured with what is left of the picture.
_WHITE_LENGTH = 0.45
# White noise in color of less than this, 0-255 scale, may be rounding.
_LEAST_WHITE = 0.8
_TINY = 1e-12
#: Median of x² for x from N(0, 1).
_MEDIAN_SQUARE = 0.4549364231195724
#: Distances in pixels at which the correlation is reported.
DISTANCES = tuple(range(9))
# Orthonormal axes: luma, and two of chroma.
_AXES = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]]) / np.sqrt([[3], [2], [6]])


@dataclasses.dataclass(frozen=True)
class NoiseAnalysis:
    """What `analyse_noise` measures. Everything is a number, a string or a tuple of these.

    Attributes:
        sigma: standard deviation of the noise over the whole picture, 0-255 scale.
        slope: a of `variance = a · x + b`, x and the variance on the [0, 1] scale of the image:
            shot noise if the image is linear. Tone curves make it smaller, or negative.
        offset: b.
        length: correlation length in pixels: neighbors at distance d have the correlation
            `exp(−d² / (4 · length²))`. 0 for white noise.
        chroma_share: share of the noise's energy that is color, not brightness: 2/3 for independent
            noise in R, G and B, 0 for gray noise; `None` for gray pictures.
        luma_sigma: standard deviation of the noise in the mean of R, G and B, times √3: the same
            as `sigma` for independent noise. 0-255 scale.
        chroma_sigma: the same of the two directions of color; `None` for gray pictures.
        luma_length: correlation length of the noise in brightness.
        chroma_length: of the noise in color; `None` for gray pictures.
        evenness: how alike the blocks are whose brightness is alike: about 1 for noise, less for
            texture, which comes and goes.
        brightness: mean brightness of groups of blocks, [0, 1] scale.
        levels: σ in these groups, 0-255 scale.
        correlation: measured correlation at `DISTANCES` pixels, along rows and columns.
        blocks: number of flat blocks that were measured; 0 if the picture is too small.
        flattest: (row, column) of the flattest place, a square of `PLACE` pixels.
    """

    sigma: float
    slope: float
    offset: float
    length: float
    chroma_share: float | None
    luma_sigma: float
    chroma_sigma: float | None
    luma_length: float
    chroma_length: float | None
    evenness: float
    brightness: tuple[float, ...]
    levels: tuple[float, ...]
    correlation: tuple[float, ...]
    blocks: int
    flattest: tuple[int, int]

    def sigma_at(self, brightness: float | np.ndarray) -> np.ndarray:
        """Returns σ (0-255 scale) that the fit gives at a brightness on the [0, 1] scale."""
        variance = self.slope * np.asarray(brightness) + self.offset
        return unit_to_sigma(np.sqrt(np.maximum(variance, 0)))

    def to_json(self) -> dict[str, Any]:
        """Returns the fields as a dictionary that `json.dumps` takes."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class Grain:
    """Noise in a spectrum: its variance, and the shapes of noise and structure over frequencies."""

    variance: float
    length: float
    shape: np.ndarray
    structure: np.ndarray


def analyse_noise(image: np.ndarray) -> NoiseAnalysis:
    """Measures the noise of a picture.

    A picture with both sides of at least 64 pixels is measured; of a smaller one, `blocks` is 0
    and everything else 0 or empty. Large pictures are sampled.

    Args:
        image: (H, W) or (H, W, C) uint8, uint16 or float with nominal range [0, 1]. C = 1 gray,
            3 RGB, 2 and 4 the same with alpha, which is ignored.

    Raises:
        UserError: another shape or dtype.
    """
    image = _colors(np.asarray(image))
    if min(image.shape[:2]) < PLACE:
        return _nothing(image.shape[-1])
    corners, score, means, clipped = _survey_places(image)
    rounding = _quantum(image) ** 2 / 12
    relative = np.ones(len(means))
    clear = np.ones(means.shape, bool)
    for _ in range(2):
        chosen = _choose(score / relative, means.mean(1), clear.all(1))
        blocks = _cut_blocks(image, corners[chosen])
        spectra = _Spectra(_transform(blocks), relative[chosen], rounding)
        measured = spectra.measure(means[chosen], clear[chosen])
        # Beyond the brightness that was measured, the line says nothing.
        inside = np.clip(means, measured.groups[0].min(), measured.groups[0].max())
        fitted = measured.slope * inside + measured.offset
        fitted = np.maximum(fitted, max(0.05 * float(fitted.mean()), _TINY))
        relative = fitted.mean(1) / fitted.mean()
        if clipped:
            reach = _CLEAR * np.sqrt(fitted)
            clear = (means > reach) & (means < 1 - reach)
    total = float(np.mean(np.maximum(measured.slope * inside + measured.offset, 0)))
    luma, chroma = spectra.luma, spectra.chroma
    share = luma_part = chroma_part = None
    if chroma is None:
        luma_part = 1.0
    else:
        energies = luma.variance, 2 * chroma.variance
        share = 2 / 3 if spectra.white else energies[1] / max(sum(energies), _TINY)
        luma_part, chroma_part = 3 * (1 - share), 1.5 * share
    return NoiseAnalysis(
        sigma=unit_to_sigma(math.sqrt(total)),
        slope=measured.slope,
        offset=measured.offset,
        length=spectra.grain.length,
        chroma_share=share,
        luma_sigma=unit_to_sigma(math.sqrt(total * luma_part)),
        chroma_sigma=None if chroma is None else unit_to_sigma(math.sqrt(total * chroma_part)),
        luma_length=spectra.grain.length if spectra.white else luma.length,
        chroma_length=None if chroma is None else chroma.length,
        evenness=measured.evenness,
        brightness=tuple(float(v) for v in measured.groups[0]),
        levels=tuple(float(v) for v in unit_to_sigma(np.sqrt(measured.groups[1]))),
        correlation=_correlation(blocks),
        blocks=len(chosen),
        flattest=tuple(int(v) for v in corners[chosen[np.argmin(score[chosen])]]),
    )


def estimate_level(image: np.ndarray) -> float:
    """Returns the standard deviation of a picture's noise, 0-255 scale.

    That of `analyse_noise`, and of pictures that are too small for it, of `estimate_sigma`, which
    takes fine texture for noise and underestimates grain.

    Args:
        image: (H, W, C) float, nominal range [0, 1].
    """
    analysis = analyse_noise(image)
    return analysis.sigma if analysis.blocks else estimate_sigma(image)


def estimate_and_tell(image: np.ndarray, what: str) -> float:
    """Returns `estimate_level(image)`, and prints it as a notice on standard error."""
    sigma = estimate_level(image)
    inform(f"{what}: noise level not given, estimated: sigma={sigma:.1f}")
    return sigma


def _colors(image: np.ndarray) -> np.ndarray:
    """Returns (H, W, 1 or 3): without alpha, and gray if all channels are equal."""
    image = image[..., np.newaxis] if image.ndim == 2 else image
    if image.ndim != 3 or image.shape[-1] not in (1, 2, 3, 4):
        raise UserError(
            "image: expected (H, W) or (H, W, C) with 1 to 4 channels. "
            f"Received: shape {image.shape}."
        )
    if image.dtype.kind != "f" and image.dtype not in (np.uint8, np.uint16):
        raise UserError(f"image: expected uint8, uint16 or float. Received: {image.dtype}.")
    if image.shape[-1] in (2, 4):
        image = image[..., :-1]
    return image[..., :1] if is_gray(image) else image


def _nothing(channels: int) -> NoiseAnalysis:
    none = 0.0 if channels == 3 else None
    return NoiseAnalysis(
        0.0, 0.0, 0.0, 0.0, none, 0.0, none, 0.0, none, 0.0, (), (), (), blocks=0, flattest=(0, 0)
    )


def _unit(image: np.ndarray) -> np.float32:
    return np.float32(1.0 if image.dtype.kind == "f" else 1.0 / np.iinfo(image.dtype).max)


def _quantum(image: np.ndarray) -> float:
    """Returns the step between levels on the [0, 1] scale, 0 for floats that are not of 8 bits."""
    if image.dtype.kind != "f":
        return float(_unit(image))
    sample = image[:: max(1, image.shape[0] // 64)].astype(np.float32) * np.float32(255)
    return 1 / 255 if np.abs(sample - np.rint(sample)).max() < 1e-3 else 0.0


def _survey_places(image: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, bool]:
    """Looks where a picture is flat.

    Returns:
        The top left corners of the places (N, 2); how much the picture varies around the block in
        the middle of each, (N,), as a variance; the block's mean color, (N, C); whether no value
        is outside [0, 1], so that noise may have been clipped.
    """
    height, width, channels = image.shape
    step = _STEP
    while ((height - PLACE) // step + 1) * ((width - PLACE) // step + 1) > _MOST_PLACES:
        step += _CELL
    rows = np.arange(0, height - PLACE + 1, step)
    columns = np.arange(0, width - PLACE + 1, step)
    # Far apart, places need not be read with what is between them.
    strips = [(row, PLACE) for row in rows] if step >= PLACE else [(0, int(rows[-1]) + PLACE)]
    results, clipped = [], True
    for top, tall in strips:
        part = image[top : top + tall, : columns[-1] + PLACE].astype(np.float32) * _unit(image)
        if image.dtype.kind == "f":
            clipped = clipped and part.min() >= 0 and part.max() <= 1
        size = part.shape[1] // _CELL, tall // _CELL
        part = part[:, : size[0] * _CELL]
        cells = [
            cv2.resize(values, size, interpolation=cv2.INTER_AREA).reshape(*size[::-1], channels)
            for values in (part, part * part)
        ]
        many = PLACE // _CELL
        views = [
            np.lib.stride_tricks.sliding_window_view(values, (many, many), (0, 1))[
                :: step // _CELL, :: step // _CELL
            ].reshape(-1, channels, many, many)
            for values in cells
        ]
        results.append(_flatness(*views))
    score, means = (np.concatenate(values) for values in zip(*results, strict=True))
    corners = np.stack(np.meshgrid(rows, columns, indexing="ij"), -1).reshape(-1, 2)
    return corners, score, means, clipped


def _flatness(mean: np.ndarray, square: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns how much the rings of places vary, (N,), and the means of their blocks, (N, C).

    Args:
        mean: mean of each cell, (N, C, 8, 8).
        square: mean of the squares.
    """
    mean, square = (
        values.reshape(*values.shape[:2], 4, 2, 4, 2).mean((3, 5)) for values in (mean, square)
    )
    ring = np.ones((4, 4), bool)
    ring[1:3, 1:3] = False
    within = (square - mean**2)[..., ring].mean((1, 2))
    # Slopes are no structure: the means are compared with a plane.
    offsets = np.arange(4) - 1.5
    y, x = (part[ring] for part in np.meshgrid(offsets, offsets, indexing="ij"))
    basis, _ = np.linalg.qr(np.stack([np.ones(len(x)), y, x], 1))
    around = mean[..., ring]
    between = ((around - around @ (basis @ basis.T)) ** 2).sum((1, 2)) / (
        (len(x) - 3) * mean.shape[1]
    )
    return np.maximum(within + between, 0), mean[..., 1:3, 1:3].mean((2, 3))


def _choose(score: np.ndarray, brightness: np.ndarray, clear: np.ndarray) -> np.ndarray:
    """Returns the indices of the flattest places of each brightness."""
    places = np.flatnonzero(clear)
    if len(places) < _FEWEST:
        places = np.arange(len(score))
    limit = _FLAT_RATIO * np.quantile(score[places], 0.1)
    found = []
    for part in np.array_split(places[np.argsort(brightness[places])], _CLASSES):
        count = max(int(_FLATTEST * len(part)), min(len(part), _FEWEST // _CLASSES))
        found.append(part[np.argsort(score[part])[:count]])
    chosen = np.concatenate(found)
    flat = chosen[score[chosen] <= limit]
    return flat if len(flat) >= _FEWEST else chosen[np.argsort(score[chosen])[:_FEWEST]]


def _cut_blocks(image: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Returns the blocks in the middle of places, float32 (N, 32, 32, C)."""
    margin = (PLACE - BLOCK) // 2
    starts = corners + margin
    blocks = np.stack([image[r : r + BLOCK, c : c + BLOCK] for r, c in starts])
    return blocks.astype(np.float32) * _unit(image)


@functools.cache
def _cosines() -> np.ndarray:
    """Returns the orthonormal cosine transform, (32, 32)."""
    frequency, place = np.meshgrid(np.arange(BLOCK), np.arange(BLOCK), indexing="ij")
    matrix = np.sqrt(2 / BLOCK) * np.cos(np.pi * frequency * (2 * place + 1) / (2 * BLOCK))
    matrix[0] /= np.sqrt(2)
    return matrix


def _transform(blocks: np.ndarray) -> np.ndarray:
    """Returns the coefficients (N, C, 31, 31) of blocks (N, 32, 32, C)."""
    matrix = _cosines()[1:].astype(np.float32)
    return matrix @ np.ascontiguousarray(blocks.transpose(0, 3, 1, 2)) @ matrix.T


@functools.cache
def _grain_lines() -> np.ndarray:
    """Returns the energy along one axis of noise of variance 1 for each length, (L, 31)."""
    matrix = _cosines()
    lag = np.abs(np.subtract.outer(np.arange(BLOCK), np.arange(BLOCK)))
    lines = []
    for length in _LENGTHS:
        covariance = np.eye(BLOCK)
        if length:
            reach = max(1, math.ceil(4 * length))
            kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / length) ** 2)
            products = np.convolve(kernel, kernel)[2 * reach :]
            covariance = np.pad(products / products[0], (0, BLOCK))[lag]
        lines.append(np.einsum("ki,ij,kj->k", matrix, covariance, matrix)[1:])
    return np.maximum(np.array(lines), 1e-9)


@functools.cache
def _structures() -> np.ndarray:
    """Returns spectra of pictures, (exponents, 31, 31)."""
    frequency = np.hypot(*np.meshgrid(np.arange(1, BLOCK), np.arange(1, BLOCK)))
    return np.stack([(frequency / frequency[0, 0]) ** -e for e in _EXPONENTS])


@functools.cache
def _bands() -> tuple[np.ndarray, np.ndarray]:
    """Returns the means over bands, (12, 31), and which bands are kept: (ky, kx) with ky ≤ kx."""
    means = np.zeros((len(_BANDS) - 1, BLOCK - 1))
    for band, (first, end) in enumerate(zip(_BANDS[:-1], _BANDS[1:], strict=True)):
        means[band, first - 1 : end - 1] = 1 / (end - first)
    return means, np.triu(np.ones((len(means), len(means)), bool))


def _banded(spectra: np.ndarray) -> np.ndarray:
    """Returns the means over bands, (..., B), of spectra (..., 31, 31)."""
    means, kept = _bands()
    result = means @ spectra @ means.T
    return ((result + result.swapaxes(-1, -2)) / 2)[..., kept]


@functools.cache
def _candidates() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns banded shapes of noise (L, S, 1, B) and structure (E, B), and the bands' sizes."""
    lines = _grain_lines() @ _bands()[0].T
    grain = np.einsum("la,lb->lab", lines, lines)[..., _bands()[1]]
    shares = _WHITE_SHARES[:, np.newaxis]
    grain = (1 - shares) * grain[:, np.newaxis] + shares
    widths = np.diff(_BANDS)
    sizes = np.outer(widths, widths) * (2.0 - np.eye(len(widths)))
    return grain[:, :, np.newaxis], _banded(_structures()), sizes[_bands()[1]]


def _fit_grain(energy: np.ndarray, rounding: float) -> Grain:
    """Explains a typical spectrum by noise and structure.

    Maximizes the likelihood (Whittle's) of all combinations of length, white share and exponent by
    the multiplicative updates of Itakura and Saito's divergence, which keep both parts positive.

    Args:
        energy: squared coefficients (N, C, 31, 31), of comparable noise.
        rounding: variance of the rounding to levels.
    """
    # The median ignores the blocks that hold more than noise.
    typical = np.median(energy.reshape(-1, *energy.shape[2:]), axis=0) / _MEDIAN_SQUARE
    measured = _banded(typical)
    grain, structure, sizes = _candidates()
    parts = (grain, structure)
    start = np.full((*grain.shape[:2], len(structure), 1), 0.5)
    amounts = [start * max(np.median(measured), _TINY), start * max(measured.max(), _TINY)]
    for _ in range(_ITERATIONS):
        model = amounts[0] * grain + amounts[1] * structure + (rounding + _TINY)
        up, down = sizes * measured / model**2, sizes / model
        for amount, part in zip(amounts, parts, strict=True):
            amount *= (up * part).sum(-1, keepdims=True) / (down * part).sum(-1, keepdims=True)
    model = amounts[0] * grain + amounts[1] * structure + (rounding + _TINY)
    loss = (sizes * (np.log(model) + measured / model)).sum(-1)
    best = np.unravel_index(loss.argmin(), loss.shape)
    line = _grain_lines()[best[0]]
    share = _WHITE_SHARES[best[1]]
    return Grain(
        variance=float(amounts[0][best][0]),
        length=_refined(loss[:, best[1], best[2]], best[0]),
        shape=(1 - share) * np.outer(line, line) + share,
        structure=float(amounts[1][best][0]) * _structures()[best[2]],
    )


def _refined(loss: np.ndarray, best: int) -> float:
    """Returns the length between the candidates at which a parabola through the losses is least."""
    if best < 2 or best == len(loss) - 1:
        return float(_LENGTHS[best])
    before, here, after = loss[best - 1 : best + 2]
    shift = 0.5 * (before - after) / max(before - 2 * here + after, _TINY)
    ratio = _LENGTHS[2] / _LENGTHS[1]
    return float(_LENGTHS[best] * ratio ** np.clip(shift, -0.5, 0.5))


@dataclasses.dataclass(frozen=True)
class _Measured:
    """The level of the noise against brightness; see `NoiseAnalysis`."""

    slope: float
    offset: float
    groups: np.ndarray
    evenness: float


class _Spectra:
    """The spectra of the chosen blocks, and what explains them.

    Attributes:
        luma: noise in brightness.
        chroma: noise in color, of each of two axes; `None` for gray pictures.
        white: whether the noise in color is white, as strong as the rest. It then tells the level
            better than brightness does, in which pictures have most of their structure.
        grain: the noise of all channels.
    """

    def __init__(self, coefficients: np.ndarray, relative: np.ndarray, rounding: float):
        """Args:
        coefficients: of the blocks, (N, C, 31, 31).
        relative: variance of the noise in each block by its brightness, relative to the mean.
        rounding: variance of the rounding to levels.
        """
        self._scale = relative[:, np.newaxis, np.newaxis, np.newaxis].astype(np.float32)
        self._rounding = rounding / float(relative.mean())
        self._energy = coefficients**2
        self.chroma = None
        self.white = False
        if coefficients.shape[1] == 1:
            self.luma = self.grain = self._fit(self._energy)
            return
        turned = np.einsum("ac,nckl->nakl", _AXES.astype(np.float32), coefficients) ** 2
        self.luma, self.chroma = self._fit(turned[:, :1]), self._fit(turned[:, 1:])
        own = self.luma.length > _LENGTHS[2] or self.luma.variance < 2 * self.chroma.variance
        visible = self.chroma.variance > (_LEAST_WHITE / 255) ** 2
        self.white = self.chroma.length < _WHITE_LENGTH and visible and own
        if self.white:
            self._energy = turned[:, 1:]
            self.grain = self.chroma
        else:
            self.grain = self._fit(self._energy)

    def _fit(self, energy: np.ndarray) -> Grain:
        return _fit_grain(energy / self._scale, self._rounding)

    def measure(self, means: np.ndarray, clear: np.ndarray) -> _Measured:
        """Measures the level against brightness.

        Args:
            means: mean color of the blocks, (N, C).
            clear: which of them are clear of clipping.
        """
        if self.white:
            # The variance along an axis of color is a mean of those of the channels.
            means = means @ (_AXES[1:] ** 2).T
            clear = np.repeat(clear.all(1, keepdims=True), 2, 1)
        grain = self.grain
        variance = max(grain.variance, _TINY)
        noise = variance * grain.shape
        model = noise + grain.structure + self._rounding + _TINY
        # Frequencies where the noise is most of the spectrum.
        weights = (noise / model) ** 4 + _TINY
        weights[weights < 0.05 * weights.max()] = 0
        freedom = float(weights.sum() ** 2 / (weights**2).sum())
        weights = variance * weights / weights.sum() / model
        usable = clear if np.count_nonzero(clear) >= _FEWEST else np.ones_like(clear)
        x, y = means[usable], np.einsum("nckl,kl->nc", self._energy, weights)[usable]
        slope, offset, groups = _fit_line(x, y, freedom)
        fitted = slope * x + offset
        low, middle = np.quantile(y / np.maximum(fitted, 0.1 * fitted.mean() + _TINY), (0.1, 0.5))
        return _Measured(slope, offset, groups, _evenness(low, middle, freedom))


def _fit_line(x: np.ndarray, y: np.ndarray, freedom: float) -> tuple[float, float, np.ndarray]:
    """Fits `y = slope · x + offset`; points above the line, which hold structure, count less.

    Args:
        x: brightness, (M,).
        y: variances, (M,).
        freedom: of each variance, as of a χ² distribution.

    Returns:
        The slope, the offset, and the medians of groups of points, (2, groups).
    """
    parts = np.array_split(np.argsort(x), min(16, max(1, len(x) // 8)))
    # The median of χ² with f degrees of freedom is less than its mean, by this factor.
    median = (1 - 2 / (9 * max(freedom, 1))) ** 3
    groups = np.array([[np.median(x[part]), np.median(y[part]) / median] for part in parts]).T
    level = max(float(np.median(groups[1])), _TINY)
    slope, offset, weights = 0.0, level, np.ones(len(parts))
    design = np.stack([groups[0], np.ones(len(parts))], 1)
    # One brightness has no slope.
    narrow = np.ptp(groups[0]) < 0.05
    for _ in range(8):
        root = np.sqrt(weights)
        if narrow:
            offset = float((weights * groups[1]).sum() / weights.sum())
        else:
            slope, offset = np.linalg.lstsq(design * root[:, None], groups[1] * root, rcond=None)[0]
        fitted = np.maximum(slope * groups[0] + offset, 0.1 * level)
        weights = 1 / fitted**2 / np.maximum(1, groups[1] / fitted / 1.1) ** 4
    return float(slope), float(offset), groups


def _evenness(low: float, middle: float, freedom: float) -> float:
    """Compares the 10% quantile of blocks' variances with that of χ² with as much freedom."""
    part = 2 / (9 * max(freedom, 1))
    expected = ((1 - part - 1.2816 * math.sqrt(part)) / (1 - part)) ** 3
    return float(max(low, 0) / max(middle, _TINY) / max(expected, 0.05))


def _correlation(blocks: np.ndarray) -> tuple[float, ...]:
    """Returns the mean correlation at `DISTANCES` along both axes, after removing planes."""
    place = np.linspace(-1, 1, BLOCK, dtype=np.float32)
    place /= np.sqrt(BLOCK * np.sum(place**2))
    rest = blocks - blocks.mean((1, 2), keepdims=True)
    for ramp in (place[:, np.newaxis], place[np.newaxis]):
        ramp = np.broadcast_to(ramp, (BLOCK, BLOCK))
        amount = np.einsum("nijc,ij->nc", rest, ramp)
        rest = rest - amount[:, np.newaxis, np.newaxis] * ramp[..., np.newaxis]
    products = []
    for d in DISTANCES:
        along = rest[:, : BLOCK - d] * rest[:, d:], rest[:, :, : BLOCK - d] * rest[:, :, d:]
        means = sum(values.mean((1, 2)) for values in along) / 2
        products.append(np.median(means))
    return tuple(float(v / max(products[0], _TINY)) for v in products)
