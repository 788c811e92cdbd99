"""`Denoiser`: denoises arrays with any model, on any runtime."""

import dataclasses
import os
import sys
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from gradnet_tf import weights
from gradnet_tf.analysis.noise_analysis import estimate_and_tell, estimate_level
from gradnet_tf.degradations.sampling import orient
from gradnet_tf.images.channels import (
    PER_CHANNEL,
    REPLICATED,
    adapt_channels,
    adaptation,
    fill_hidden,
    is_gray,
)
from gradnet_tf.images.noise_survey import NoiseSurvey, survey_noise
from gradnet_tf.loading.load import Resolved, load_runner, resolve
from gradnet_tf.tiling.shared_noise import luma_format, unchanged, with_luma
from gradnet_tf.tiling.tile_config import AUTO, TileConfig
from gradnet_tf.tiling.tiler import FLOATS, WHOLE_PIXELS, OnTile, PixelFormat, run_whole, to_unit
from gradnet_tf.utils.console import note
from gradnet_tf.utils.errors import NotFiniteOutputError, UserError

if TYPE_CHECKING:
    import keras

_DTYPES = "uint8, uint16 or float"
#: From this share of blocks without noise on, the attention leaves them out. A camera's smoothing
#: makes such blocks, too, so there it takes a frame: leaving out 6% cost one crop of PolyU 2.7 dB.
_STILL_SHARE, _STILL_SHARE_OF_CAMERAS = 0.05, 0.2
#: Limit on float values: far beyond [0, 1] plus noise, and below pictures on the 0-255 scale.
_MOST = 16.0
#: The largest strength, for networks that take the noise level.
MOST_STRENGTH = 2.0


@dataclasses.dataclass(frozen=True)
class Strength:
    """How much of the noise to remove.

    The change that the network makes to a pixel is split along orthonormal axes of RGB: luma is
    the component along gray, (1, 1, 1)/√3, chroma is the rest, in the plane of (1, -1, 0)/√2 and
    (1, 1, -2)/√6. White noise is equally strong along all three axes. (YCbCr is not used: its Y
    weighs green most, and its axes are not orthogonal, so less chroma would change brightness.)

    Attributes:
        overall: 1 returns the network's result, 0 the input, values in between a blend. Above 1, at
            most `MOST_STRENGTH`, a network that takes the noise level is told that many times it.
        luma: the same for luma only; multiplies `overall`.
        chroma: the same for chroma only; gray pictures have none.

    Raises:
        UserError: `overall` is outside [0, 2], or another value outside [0, 1].
    """

    overall: float = 1.0
    luma: float = 1.0
    chroma: float = 1.0

    def __post_init__(self):
        for name, value, most in (
            ("strength", self.overall, MOST_STRENGTH),
            ("luma", self.luma, 1.0),
            ("chroma", self.chroma, 1.0),
        ):
            if not 0.0 <= value <= most:
                raise UserError(f"{name}: expected a number in [0, {most:g}]. Received: {value}.")

    def is_nothing(self, channels: int = 3) -> bool:
        """Whether pictures with this many color channels are not changed."""
        chroma = self.chroma if channels == 3 else 0.0
        return self.overall == 0.0 or (self.luma == 0.0 and chroma == 0.0)

    def blend(self, noisy: np.ndarray, denoised: np.ndarray) -> np.ndarray:
        """Blends two pictures, float (..., C) with C = 1 or 3."""
        overall = min(self.overall, 1.0)
        luma, chroma = np.float32(overall * self.luma), np.float32(overall * self.chroma)
        if noisy.shape[-1] == 1:
            chroma = luma
        if luma == chroma == 1.0:
            return denoised
        noisy = to_unit(noisy)
        change = denoised - noisy
        if luma == chroma:
            return noisy + luma * change
        gray = change.mean(axis=-1, keepdims=True)
        return noisy + chroma * change + (luma - chroma) * gray


# Orientations of `self_ensemble` by their number: 1 flips rows, 2 columns, 4 transposes.
_ORIENTATIONS = {1: (0,), 4: (0, 3, 5, 6), 8: tuple(range(8))}


def self_ensemble(
    function: Callable[[np.ndarray], np.ndarray], images: np.ndarray, count: int = 8
) -> np.ndarray:
    """Averages a denoiser's results over the flips and quarter turns of its input.

    Args:
        function: maps (N, H, W, C) to the same shape, any H and W.
        images: (N, H, W, C) float.
        count: 8 for all orientations, 4 for the quarter turns, 1 for the input as it is.

    Returns:
        float32, shaped like `images`; takes `count` times as long.
    """
    total = np.zeros(images.shape, np.float32)
    for orientation in _ORIENTATIONS[count]:
        turned = np.stack([orient(image, orientation) for image in images])
        for place, result in zip(total, function(turned), strict=True):
            place += _orient_back(result, orientation)
    return total / np.float32(count)


def _orient_back(image: np.ndarray, orientation: int) -> np.ndarray:
    if orientation & 4:
        image = image.swapaxes(0, 1)
    return orient(image, orientation & 3)  # Flips are their own inverse.


def denoise_picture(
    denoiser,
    picture: np.ndarray,
    strength: Strength,
    sigma: float | None = None,
    ensemble: bool = False,
    tiles: TileConfig = AUTO,
    on_tile: OnTile | None = None,
) -> np.ndarray:
    """Denoises a picture or a batch in its own dtype; see `Denoiser.__call__`.

    Args:
        denoiser: with `denoise`, `run_picture`, `for_gray`, `channels`, `needs_sigma` and `name`.
        picture: uint8, uint16 or float: (H, W), (H, W, 1 to 4) or (N, H, W, 1 to 4).
        strength: how much of the noise to remove.
        sigma: noise level on the 0-255 scale, a number or one for each picture.
        ensemble: averages over the eight flips; see `self_ensemble`.
        tiles: how each picture is cut.
        on_tile: called with the number of pixels done and the total of a picture.

    Returns:
        A new array of the same shape and dtype.

    Raises:
        UserError: the shape or the dtype is not supported, or σ is outside [0, 255].
    """
    picture = np.asarray(picture)
    known = picture.dtype in (np.uint8, np.uint16) or picture.dtype.kind == "f"
    shape = picture.shape
    if (
        not known
        or len(shape) not in (2, 3, 4)
        or (len(shape) > 2 and shape[-1] not in (1, 2, 3, 4))
    ):
        raise UserError(
            f"image: expected {_DTYPES} of shape (H, W), (H, W, 1 to 4) or (N, H, W, 1 to 4). "
            f"Received: {picture.dtype} of shape {shape}."
        )
    result = picture.copy()
    channels = 1 if len(shape) == 2 else shape[-1] - 1 + shape[-1] % 2
    if picture.size == 0 or strength.is_nothing(channels):
        return result
    # A view (N, H, W, 1 to 4) of `result`: writing to `images` changes `result`.
    images = result[..., np.newaxis] if len(shape) == 2 else result
    images = images[np.newaxis] if images.ndim == 3 else images
    is_told = denoiser.needs_sigma and sigma is not None
    levels = each_level(sigma, len(images)) if is_told else [None] * len(images)
    for image, level in zip(images, levels, strict=True):
        colors = image[..., :channels]  # Without the alpha channel, which is not changed.
        hidden = image[..., -1] == 0 if image.shape[-1] > channels else np.zeros(1, bool)
        if hidden.all():
            continue  # Nothing is visible.
        shown = fill_hidden(colors, ~hidden) if hidden.any() else colors
        _require_sane_floats(shown)
        survey = survey_noise(shown) if getattr(denoiser, "averages_picture", False) else None
        own, part = denoiser, shown
        if is_gray(shown) and (own := denoiser.for_gray(survey)) is not denoiser:
            part = shown[..., :1]  # The result is copied to all channels.
        rule = adaptation(part.shape[-1], own.channels)
        denoised = _denoise(own, part, rule, strength, level, ensemble, tiles, on_tile, survey)
        np.copyto(colors, denoised, where=~hidden[..., np.newaxis] if hidden.any() else True)
    return result


def each_level(sigma: float | np.ndarray, count: int) -> np.ndarray:
    """Returns σ of each of `count` pictures, float32 (N,), from a number or from one for each.

    Raises:
        UserError: a level is outside [0, 255], or there is another number of them.
    """
    levels = np.asarray(sigma, np.float32)
    fits = levels.shape in ((), (1,), (count,))
    if not fits or not ((levels >= 0) & (levels <= 255)).all():
        raise UserError(
            f"sigma: expected a number in [0, 255], or one for each of {count} images. "
            f"Received: {sigma}."
        )
    return np.broadcast_to(levels, (count,))


def finished(denoised: np.ndarray, noisy: np.ndarray, strength: Strength) -> np.ndarray:
    """Blends denoised pixels with the noisy ones and converts them to the same dtype.

    Args:
        denoised: float32 (..., C) in [0, 1].
        noisy: uint8, uint16 or float (..., C), C = 1 or 3.
        strength: how much of the noise to remove.
    """
    # A share of noisy floats, which may lie outside [0, 1], may leave it as well.
    blended = np.clip(strength.blend(noisy, denoised), 0.0, 1.0)
    if noisy.dtype.kind != "u":
        return blended.astype(noisy.dtype)
    top = np.float32(np.iinfo(noisy.dtype).max)
    return np.rint(blended * top).astype(noisy.dtype)


def _require_sane_floats(colors: np.ndarray) -> None:
    """Raises `UserError` for floats that would make a network return NaN."""
    if colors.dtype.kind == "u":
        return
    with np.errstate(invalid="ignore"):  # Comparisons with NaN are false, so NaN is refused.
        low, high = float(colors.min()), float(colors.max())
    if not -_MOST <= low <= high <= _MOST:
        raise UserError(
            "image: expected finite floats, nominal range [0, 1]; scale others first. "
            f"Received: values from {low:g} to {high:g}."
        )


def _denoise(
    denoiser, colors, rule, strength, sigma, ensemble, tiles, on_tile, survey
) -> np.ndarray:
    if denoiser.needs_sigma:
        # Estimate before channels are replicated or separated.
        level = estimate_and_tell(to_unit(colors), denoiser.name) if sigma is None else sigma
        sigma = np.minimum(np.multiply(level, max(strength.overall, 1.0)), 255.0)
    if ensemble or (rule == PER_CHANNEL and strength.luma != strength.chroma):
        # These need the results of all flips or of all three channels before they are stored.
        return _denoise_floats(denoiser, colors, strength, sigma, ensemble, tiles, on_tile)
    pixels = _pixel_format(strength, rule == REPLICATED)
    if rule != PER_CHANNEL:
        return denoiser.run_picture(colors, sigma, tiles, pixels, on_tile, survey)
    parts = np.split(colors, colors.shape[-1], axis=-1)
    results = [denoiser.run_picture(part, sigma, tiles, pixels, on_tile, survey) for part in parts]
    return np.concatenate(results, axis=-1)


def _denoise_floats(denoiser, colors, strength, sigma, ensemble, tiles, on_tile) -> np.ndarray:
    def run(images):
        return adapt_channels(
            lambda adapted: denoiser.denoise(adapted, sigma, tiles), images, denoiser.channels
        )

    noisy = to_unit(colors)[np.newaxis]
    denoised = self_ensemble(run, noisy) if ensemble else run(noisy)
    result = finished(denoised[0], colors, strength)
    if on_tile:
        size = colors.shape[0] * colors.shape[1]
        on_tile(size, size)
    return result


def _pixel_format(strength: Strength, replicate: bool) -> PixelFormat:
    """Returns how pixels are read, blended and stored; with `replicate`, gray is read as RGB."""

    def store(denoised, part):
        return finished(denoised, part, strength)

    def read_replicated(part):
        return np.repeat(to_unit(part), 3, axis=-1)

    def store_replicated(denoised, part):
        mean = denoised.mean(axis=-1, keepdims=True, dtype=denoised.dtype)
        return finished(mean, part, strength)

    return (
        PixelFormat(read_replicated, store_replicated) if replicate else PixelFormat(to_unit, store)
    )


#: Keys of `Denoiser.source`; missing values are `None`.
_SOURCE_KEYS = (
    *("kind", "path", "preset", "sha256", "run", "trained_sigma"),
    *("runtime", "precision", "camera"),
)


class Runner(Protocol):
    """Interface of the runtimes in `gradnet_tf.runtimes`.

    Runners that support tiles also have `run_picture`; see `gradnet_tf.tiling.tiler.TiledRunner`.
    """

    channels: int | None
    needs_sigma: bool
    parameters: int | None
    model: Any

    def run(self, images: np.ndarray, sigma: np.ndarray | None = None) -> np.ndarray:
        """Maps float32 (N, H, W, C) to the denoised images of the same shape.

        With `needs_sigma`, `sigma` is float32 (N,) on the 0-255 scale, otherwise `None`.
        """

    def naive(self, images: np.ndarray, sigma: np.ndarray | None = None) -> np.ndarray | None:
        """Returns the naive estimate, or `None` if the network has none."""


class Denoiser:
    """Maps noisy images to denoised images of the same shape, at any height and width from 1 up.

    Args:
        model: a name or a path, as for `gradnet_tf.denoiser.load_denoiser`; a Keras model that maps
            images (N, H, W, 1 or 3) in [0, 1] of any size to images of the same shape, one of ours
            or any other; or a `Runner`.
        name: the name used in reports and folders, such as "gradnet_small_color_blind"; only
            needed with a Keras model or a `Runner`.
        source: the origin of the model: `kind`, `path`, `preset`, `sha256`, `run`,
            `trained_sigma` (the lowest and the highest noise level of its training),
            `runtime` and `precision` (for shipped weights that do not run in Keras) and `camera`
            (the weights for pictures with a camera's noise); missing values are `None`. Only needed
            with a Keras model or a `Runner`.
        runtime: runtime for shipped weights; see `load_denoiser`.
        precision: precision of the computation; see `load_denoiser`.
        trust_model: whether a SavedModel may read and write files; see `load_denoiser`.

    Attributes:
        channels: channels of the images that `denoise` takes: 3 (RGB) or 1 (gray), or `None` if
            it takes both.
        needs_sigma: whether the network takes the noise level as a second input.
        model: the Keras model, or `None` (SavedModel, TFLite).
        parameters: number of weights, or `None` if unknown.
        used: the `label` of each network that the calling thread's last `__call__` went through, of
            this denoiser and those that stand in for it; empty where there was nothing to remove.
            `denoise` adds to it.

    Raises:
        UserError: there is no model of that name or path.

    A denoiser made from a name or a path can be pickled and copied; the model is loaded again.

    Example:

    >>> denoiser = Denoiser("gradnet_tiny")
    >>> denoised = denoiser(photograph)  # same dtype: uint8, uint16 or float
    """

    def __init__(
        self,
        model: "str | os.PathLike | Runner | keras.Model" = weights.AUTO,
        name: str = "denoiser",
        source: Mapping[str, Any] | None = None,
        *,
        runtime: str = "auto",
        precision: str = "auto",
        trust_model: bool = False,
    ):
        self._made_from: tuple[str, str, str | None, str, bool] | None = None
        if isinstance(model, str | os.PathLike):
            found = load_denoiser(os.fspath(model), precision, None, runtime, trust_model)
            runner: Any = found.runner
            name, source = found.name, found.source
            self._made_from = found._made_from
        elif hasattr(model, "run"):
            runner = model
        else:
            runner, source = _runner_in_memory(model), {"kind": "keras", **(source or {})}
        self.runner: Runner = runner
        self.name = name
        self.channels: int | None = runner.channels
        self.needs_sigma: bool = runner.needs_sigma
        self.averages_picture: bool = getattr(runner, "averages_picture", False)
        self.takes_overlap: bool = getattr(runner, "takes_overlap", False)
        blank = dict.fromkeys(_SOURCE_KEYS)
        self.source = {**blank, **(source or {})}
        self._uses = threading.local()
        self._for_gray: Denoiser | None = None
        self._for_camera: Denoiser | None = None
        self._in_keras: Denoiser | None = None

    def __repr__(self) -> str:
        colors = {1: "gray", 3: "RGB", None: "gray or RGB"}[self.channels]
        return f"<Denoiser {self.name}, runtime {self.runtime}, {colors}>"

    def __reduce__(self) -> tuple[Any, ...]:
        if self._made_from is None:
            raise TypeError(
                f"{self!r} cannot be pickled or copied: it was made from a network in memory. "
                "Create it from a name or a path, Denoiser(NAME), or save the network first."
            )
        return load_denoiser, self._made_from

    @property
    def runtime(self) -> str:
        """One of `runtimes.choose_runtime.RUNTIMES`, "saved_model", "classical", or a class."""
        return getattr(self.runner, "runtime", type(self.runner).__name__)

    @property
    def label(self) -> str:
        """Weights, runtime and precision: "gradnet_small_gray_blind (litert int8)"."""
        name = weights.DEFAULT if self.name == weights.AUTO else self.name
        # Other exported files than the shipped ones do not tell in what they compute.
        precision = self.source["precision"] or ("float32" if self.runtime == "keras" else "")
        return f"{name} ({f'{self.runtime} {precision}'.strip()})"

    @property
    def model(self) -> Any:
        """The Keras model, if there is one."""
        return self.runner.model

    @property
    def parameters(self) -> int | None:
        """Number of weights, if known."""
        return self.runner.parameters

    def denoise(
        self,
        images: np.ndarray,
        sigma: float | np.ndarray | None = None,
        tiles: TileConfig = AUTO,
    ) -> np.ndarray:
        """Denoises a batch; gives the same pixels as `__call__`.

        Except that color weights denoise gray pictures in three equal channels by themselves,
        which `__call__` sends through the gray weights.

        Args:
            images: (N, H, W, C), float, nominal range [0, 1] (noise may leave it),
                C = `channels`.
            sigma: noise level on the 0-255 scale, a number or (N,); ignored by blind models. If
                the network needs it and none is given, it is estimated for each image and
                printed.
            tiles: how images are cut, and the area that the attention averages over: by default
                the whole of a picture of up to half a megapixel, and crops of a larger one.
                `TileConfig(pooling="whole")` averages over the whole picture at any size.

        Returns:
            float32, shaped like `images`, clipped to [0, 1].

        Raises:
            UserError: `images` has an unsupported shape or dtype, σ is outside [0, 255], the
                network does not support such tiles, or it returns another shape.
            NotFiniteOutputError: a `UserError`; the network returned NaN or infinities.
        """
        images = self._checked(images)
        if images.size == 0:
            return images
        sigma = self._levels(images, sigma, lambda image: estimate_and_tell(image, self.name))
        if tiles == AUTO and len(images) > 1 and self._run_whole(images):
            # Each image would be run and pooled whole, so a single batch is faster.
            self._note_use()
            result = np.asarray(self.runner.run(images, sigma), np.float32)
            self._require_valid(result, images.shape)
            return np.clip(result, 0.0, 1.0)
        levels = [None if sigma is None else sigma[i : i + 1] for i in range(len(images))]
        pairs = zip(images, levels, strict=True)
        return np.stack([self.run_picture(image, level, tiles) for image, level in pairs])

    def _run_whole(self, images: np.ndarray) -> bool:
        """Whether each picture of a batch would be run whole, pooled whole and by itself."""
        if images[..., 0].size > WHOLE_PIXELS:
            return False
        if not self.averages_picture:
            return True
        surveys = [survey_noise(image) for image in images]
        return not any(s.flat_share > 0 or s.tone is not None or s.is_camera for s in surveys)

    def naive(self, images: np.ndarray, sigma: float | None = None) -> np.ndarray | None:
        """Returns the naive estimate ψ(y), clipped to [0, 1], or `None` if there is none.

        Takes the same images as `denoise`. Only GradNets on Keras have a naive estimate; for
        shipped weights on LiteRT, Keras computes it if it is installed. With `auto` it is that
        of the weights that the picture goes through.
        """
        images = self._checked(images)
        chosen = [self.chosen_for(image) for image in images]
        if any(each is not self for each in chosen):
            pairs = zip(chosen, images, strict=True)
            parts = [each._own_naive(image[None], sigma) for each, image in pairs]
            return None if any(part is None for part in parts) else np.concatenate(parts)
        return self._own_naive(images, sigma)

    def _own_naive(self, images: np.ndarray, sigma: float | None) -> np.ndarray | None:
        if self.source["kind"] == "weights" and self.runtime != "keras":
            if self._in_keras is None:
                try:
                    self._in_keras = _load_shipped(self.name, "auto", "keras")
                except UserError:
                    return None  # Keras or its backend is not installed.
            return self._in_keras.naive(images, sigma)
        estimate = self.runner.naive(images, self._levels(images, sigma, estimate_level))
        return None if estimate is None else np.clip(np.asarray(estimate, np.float32), 0.0, 1.0)

    def __call__(
        self,
        image: np.ndarray,
        strength: float = 1.0,
        sigma: float | None = None,
        *,
        luma: float = 1.0,
        chroma: float = 1.0,
        self_ensemble: bool = False,
        tiles: TileConfig = AUTO,
        on_tile: OnTile | None = None,
    ) -> np.ndarray:
        """Denoises a picture or a batch in its own dtype.

        Args:
            image: uint8, uint16 or float with nominal range [0, 1], (H, W),
                (H, W, C) or (N, H, W, C): C = 1 gray, 3 RGB, 2 and 4 the same with alpha,
                which is not changed. A gray picture, even if stored as RGB with equal
                channels, is denoised by `for_gray`; if the number of channels does not fit
                the model, see `adapt_channels`.
            strength: 1 returns the network's result, 0 the picture itself bit for bit, values
                in between a blend; up to 2 for models with `needs_sigma`, which are told a noise
                level that is as much higher.
            sigma: see `denoise`.
            luma: strength for brightness only; multiplies `strength`. See
                `gradnet_tf.denoiser.Strength`.
            chroma: strength for color only.
            self_ensemble: averages over the eight flips and quarter turns; slightly better and
                eight times slower.
            tiles: how a large picture is cut, and the area that the attention averages over;
                see `denoise`.
            on_tile: called after each tile with the number of pixels done and the total of an
                image; once per image with `self_ensemble`.

        Returns:
            A new array like `image`; integers are rounded to the nearest level, floats
            are in [0, 1] unless nothing is changed.

        Raises:
            UserError: an unsupported shape or dtype, values that are not finite, a strength that
                the network does not support, too small a memory limit in `tiles`, tiles that it
                does not support, or an invalid result; see `denoise`.
            MemoryError: there is not enough memory for the smallest tiles.
        """
        wanted = Strength(strength, luma, chroma)
        self.used.clear()
        if strength > 1.0 and not self.needs_sigma:
            raise UserError(
                f"strength: more than 1 is for models that take a noise level, and {self.name} "
                f"takes none. Expected a number in [0, 1]. Received: {strength:g}."
            )
        return denoise_picture(self, image, wanted, sigma, self_ensemble, tiles, on_tile)

    def for_gray(self, survey: NoiseSurvey | None = None) -> "Denoiser":
        """Returns the denoiser for gray pictures: the shipped gray weights, or this denoiser.

        The first call loads the gray weights and names them on standard error.

        Args:
            survey: of the gray picture. Without noise it needs no gray weights, which are for noise
                that is equal in all channels; the color weights change it less.
        """
        if survey is not None and self.channels == 3 and survey.noise_free:
            return self
        if self._for_gray is None:
            self._for_gray = load_gray_partner(self) or self
        return self._for_gray

    def for_camera(self) -> "Denoiser":
        """Returns the denoiser for pictures with a camera's noise; this one unless it is `auto`.

        The first call loads its weights and names them on standard error.
        """
        if self._for_camera is None:
            name = self.source["camera"]
            self._for_camera = _load_partner(self, name) if name else self
            if name:
                how = _other_precision(self._for_camera, self)
                note(f"pictures with a camera's noise are denoised by {name}{how}")
        return self._for_camera

    def chosen_for(self, image: np.ndarray, survey: NoiseSurvey | None = None) -> "Denoiser":
        """Returns the denoiser that a color picture, (H, W, 3), goes through: see `for_camera`.

        Args:
            image: the picture.
            survey: of the picture; by default it is made here.
        """
        if not self.source["camera"]:
            return self
        survey = survey or survey_noise(image)
        is_camera = not survey.is_drawing and _is_for_camera_weights(image, survey)
        return self.for_camera() if is_camera else self

    def run_picture(
        self,
        image: np.ndarray,
        sigma: float | None,
        tiles: TileConfig,
        pixels: PixelFormat = FLOATS,
        on_tile: OnTile | None = None,
        survey: NoiseSurvey | None = None,
    ) -> np.ndarray:
        """Denoises one picture in tiles; pixels are converted tile by tile.

        Args:
            image: (H, W, ·), which `pixels.read` converts to float32 with `channels` channels.
            sigma: noise level on the 0-255 scale; see `denoise`.
            tiles: how the picture is cut and pooled.
            pixels: how pixels are read and stored.
            on_tile: see `__call__`.
            survey: of the picture; by default it is made here.

        Returns:
            (H, W, ·), as returned by `pixels.store`.

        Raises:
            UserError: see `__call__`.
            MemoryError: see `__call__`.
        """
        level = self._levels(
            image[None], sigma, lambda own: estimate_and_tell(pixels.read(own[None])[0], self.name)
        )
        pixels = dataclasses.replace(pixels, check=self._require_valid)
        if not self.averages_picture:
            return self._run(image, level, tiles, pixels, on_tile)
        survey = survey or survey_noise(image)
        if survey.is_drawing:
            return unchanged(image, pixels, on_tile)
        if (chosen := self.chosen_for(image, survey)) is not self:
            return chosen.run_picture(image, sigma, tiles, pixels, on_tile, survey)
        least = _STILL_SHARE_OF_CAMERAS if survey.is_camera else _STILL_SHARE
        if survey.still_share > least and not survey.noise_free:
            pixels = dataclasses.replace(pixels, still=survey.still)
        inner, plain = image[survey.box], pixels
        if survey.tone is not None and (gray := self._for_luma()) is not None:
            read_luma = luma_format(pixels, survey.tone, gray._require_valid)
            luma = gray._run(inner, level, tiles, read_luma)
            inner, pixels = with_luma(inner, luma, pixels, survey.tone)
        if inner.shape[:2] == image.shape[:2]:
            return self._run(inner, level, tiles, pixels, on_tile)
        result = unchanged(image, plain)
        size, around = image[..., 0].size, image[..., 0].size - inner[..., 0].size
        result[survey.box] = self._run(
            inner,
            level,
            tiles,
            pixels,
            on_tile and (lambda done, total: on_tile(done + around, size)),
        )
        return result

    def _for_luma(self) -> "Denoiser | None":
        """Returns what denoises the brightness where noise is alike in all channels."""
        gray = self.for_gray() if self.channels == 3 else self
        return None if gray is self else gray

    def _run(self, image, level, tiles, pixels, on_tile=None) -> np.ndarray:
        """Runs the network on a picture as it is; see `run_picture`."""
        self._note_use()
        if hasattr(self.runner, "run_picture"):
            return self.runner.run_picture(image, level, tiles, pixels, on_tile)

        def clipped(*inputs):
            result = np.asarray(self.runner.run(*inputs), np.float32)
            # Check before clipping, which would hide infinities.
            self._require_valid(result, inputs[0].shape)
            return np.clip(result, 0.0, 1.0)

        reason = f"{self.name} runs whole pictures only"
        return run_whole(clipped, image, level, tiles, pixels, on_tile, reason)

    @property
    def used(self) -> list[str]:
        """The labels of the networks that this thread's last call went through; see the class."""
        if not hasattr(self._uses, "labels"):
            self._uses.labels = []
        return self._uses.labels

    def _note_use(self) -> None:
        if self.label not in self.used:
            self.used.append(self.label)

    def _require_valid(self, result: np.ndarray, shape: tuple[int, ...]) -> None:
        """Checks the result of a runner.

        Args:
            result: float32, as returned by the runner.
            shape: shape of its input, (N, H, W, ·).

        Raises:
            UserError: the shape does not fit the input.
            NotFiniteOutputError: there are NaN or infinities.
        """
        wanted = (*shape[:3], self.channels or shape[-1])
        if result.shape != wanted:
            raise UserError(
                f"{self.name}: the network returned shape {result.shape} for images of shape "
                f"{shape}; expected {wanted}.\nIt is not a denoiser, or its file is damaged: try "
                "another one."
            )
        if not np.isfinite(result).all():
            raise NotFiniteOutputError(
                f"{self.name}: the network's output is not finite: "
                f"{np.count_nonzero(~np.isfinite(result))} of {result.size} values are NaN or "
                "infinite.\nIts weights are damaged, or its training failed: try another one."
            )

    def _levels(self, images, sigma, estimate) -> np.ndarray | None:
        """Returns σ of each image, float32 (N,), or `None` if the network takes none."""
        if not self.needs_sigma:
            return None
        if sigma is None:
            return np.array([estimate(image) for image in images], np.float32)
        return each_level(sigma, len(images))

    def _checked(self, images: np.ndarray) -> np.ndarray:
        images = np.asarray(images)
        taken = (1, 3) if self.channels is None else (self.channels,)
        if images.ndim != 4 or images.shape[-1] not in taken:
            raise UserError(
                f"images: {self.name} takes (N, H, W, {' or '.join(map(str, taken))}). "
                f"Received: shape {images.shape}."
            )
        if not np.issubdtype(images.dtype, np.floating):
            raise UserError(
                "images: expected float values with nominal range [0, 1]. "
                f"Received: {images.dtype}."
            )
        if images.size:
            _require_sane_floats(images)
        return images.astype(np.float32, copy=False)


def _runner_in_memory(model: Any) -> Runner:
    """Returns the runner of a Keras model; see `Denoiser`."""
    keras = sys.modules.get("keras")  # Whoever made a model has imported it.
    if keras is None or not isinstance(model, keras.Model):
        raise UserError(
            "model: expected a name, a path, a Keras model or a `Runner`. "
            f"Received: {type(model).__name__}."
        )
    from gradnet_tf.models.base import DenoisingModel, build_model
    from gradnet_tf.runtimes.keras_file import as_denoising_model
    from gradnet_tf.runtimes.keras_runtime import runner_for

    if isinstance(model, DenoisingModel) and not model.built:
        build_model(model)
    return runner_for(as_denoising_model(model, "model"))


def _is_for_camera_weights(image: np.ndarray, survey: NoiseSurvey) -> bool:
    """Whether a picture has a camera's noise; where it is weak, the whole analysis has to agree."""
    if survey.is_strong_camera or not survey.is_camera:
        return survey.is_strong_camera
    from gradnet_tf.analysis.noise_analysis import analyse_noise
    from gradnet_tf.analysis.noise_verdict import judge_noise

    return judge_noise(analyse_noise(image[survey.box])).kind == "camera"


def load_gray_partner(denoiser):
    """Loads the shipped gray weights that belong to a denoiser's color weights, and prints a note.

    A gray picture replicated for a color network has the same noise in all three channels, which
    the color networks were not trained on.

    Args:
        denoiser: with `name` and `source`.

    Returns:
        A `Denoiser`; `None` if this one does not use shipped weights (`source["kind"]`), or if
        there are no gray weights.
    """
    name = weights.gray_partner(denoiser.name, denoiser.source)
    if name is None:
        return None
    partner = _load_partner(denoiser, name)
    color = weights.DEFAULT if denoiser.name == weights.AUTO else denoiser.name
    how = _other_precision(partner, denoiser)
    note(f"gray pictures and gray noise are denoised by {name}, the gray weights of {color}{how}")
    return partner


def _other_precision(partner: Denoiser, denoiser: Denoiser) -> str:
    """Returns ", in int8" or the like where weights compute otherwise than those they stand in for.

    The user has been told of the latter's precision only.
    """
    found, known = (each.source.get("precision") or "float32" for each in (partner, denoiser))
    return "" if found == known else f", in {found}"


def _load_partner(denoiser: Denoiser, name: str) -> Denoiser:
    """Loads other shipped weights as a denoiser was asked for: `auto` means each its fastest."""
    runtime, precision = denoiser.source.get("runtime") or "keras", "auto"
    if denoiser._made_from:
        _, precision, _, runtime, _ = denoiser._made_from
    try:
        partner = _load_shipped(name, precision, runtime)
    except UserError:  # These weights may not come in that precision.
        partner = _load_shipped(name, "auto", runtime)
    partner._uses = denoiser._uses
    return partner


def _load_shipped(name: str, precision: str, runtime: str) -> Denoiser:
    """Loads shipped weights by their name, whatever files of that name there are."""
    found = resolve(name, runtime, precision, is_name=True)
    return load_denoiser(found, precision, runtime=runtime)


def load_denoiser(
    spec: str | Resolved,
    precision: str = "auto",
    flag: str | None = "model",
    runtime: str = "auto",
    trust_model: bool = False,
) -> Denoiser:
    """Returns the denoiser that `--model=spec` means.

    The content of an existing path determines what it is: a run's folder (config.json; its best
    weights are loaded), a folder with saved_model.pb, a folder of numbered versions of those, an
    export's output folder (saved_model/1), a `.keras` or a `.tflite` file, or published weights
    of another project (`.mat`, `.pth`). Anything else is a name: of shipped weights, of an
    architecture (meaning its color blind weights), of a classical denoiser, or `default`.

    Args:
        spec: path or name, or the result of `gradnet_tf.loading.load.resolve`.
        precision: "float32"; "bfloat16" (Keras, OpenVINO); "int8" (LiteRT, weights that ship an
            8-bit file); or "auto": the fastest that is installed, that the processor does well and
            that costs at most 0.1 dB by the card of shipped weights, and float32 of other models.
            Keras' policies "mixed_bfloat16" and "mixed_float16" work, too. Weights stay float32.
        flag: name of the flag in error messages; `None`: they name the argument `model`.
        runtime: runtime for shipped weights: "keras", "litert" or "openvino" with the shipped
            .tflite file, or "auto", which prefers these unless there is a GPU or KERAS_BACKEND is
            set; see `gradnet_tf.runtimes.choose_runtime.choose`. Files and folders determine their
            own runtime, but that a .tflite file may run in OpenVINO and one of tiles of one size in
            "compiled": LiteRT's CompiledModel on an NPU, a GPU or, where it can use neither, the
            processor. `source["accelerator"]` says which.
        trust_model: whether a SavedModel's graph may read and write files, run scripts and reach
            other machines. Graphs that could are refused otherwise, before any of it is run.

    Raises:
        UserError: there is no model of that name or kind, the file is damaged, or it does not
            support the precision.
    """
    model = spec
    if not isinstance(model, Resolved):
        model = resolve(model, runtime, precision, flag, trust_model)
    spec = model.spec
    loaded = load_runner(model, flag)
    rounded = model.choice.precision != "float32"
    source = {**loaded.source, **({"precision": model.choice.precision} if rounded else {})}
    denoiser = Denoiser(loaded.runner, loaded.name, source)
    # Make the path absolute: another process may have another working directory.
    found = os.path.abspath(spec) if model.path and os.path.exists(spec) else spec
    denoiser._made_from = (found, precision, flag, runtime, model.trusted)
    return denoiser
