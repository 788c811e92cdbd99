"""One picture as people have it: any depth, grey or colour, alpha, a strength of their choice."""

import dataclasses
from collections.abc import Callable

import numpy as np

from gradnet_tf.degradations.noise_level import estimate_and_tell
from gradnet_tf.degradations.sampling import orient
from gradnet_tf.grey import is_grey
from gradnet_tf.images.channels import PER_CHANNEL, REPLICATED, adapt_channels, adaptation
from gradnet_tf.tiling.tile_config import AUTO, TileConfig
from gradnet_tf.tiling.tiles import OnTile, PixelFormat
from gradnet_tf.utils.errors import UserError

_DTYPES = "uint8, uint16 or float"
#: Of floats: far beyond what noise adds to [0, 1], and below pictures on the 0-255 scale.
_MOST = 16.0


@dataclasses.dataclass(frozen=True)
class Strength:
    """How much of the noise to take away.

    The change that the network makes to a pixel is split along orthonormal
    axes of RGB: luma is its part along grey, (1, 1, 1)/√3, chroma the rest, in
    the plane of (1, -1, 0)/√2 and (1, 1, -2)/√6. White noise is equally strong
    along all three. (The Y of YCbCr weighs green most, after the eye, and its
    axes are not orthogonal: there, less chroma would change brightness.)

    Attributes:
        overall: 1 is the network's result, 0 the picture itself, between them a blend.
        luma: the same for the luma part alone; multiplies `overall`.
        chroma: the same for the chroma part; a grey picture has none.

    Raises:
        UserError: a value outside [0, 1].
    """

    overall: float = 1.0
    luma: float = 1.0
    chroma: float = 1.0

    def __post_init__(self):
        for name, value in (
            ("strength", self.overall),
            ("luma", self.luma),
            ("chroma", self.chroma),
        ):
            if not 0.0 <= value <= 1.0:
                raise UserError(f"{name}: expected a number in [0, 1]. Received: {value}.")

    def is_nothing(self, channels: int = 3) -> bool:
        """Whether pictures of so many colour channels stay as they are."""
        chroma = self.chroma if channels == 3 else 0.0
        return self.overall == 0.0 or (self.luma == 0.0 and chroma == 0.0)

    def blend(self, noisy: np.ndarray, denoised: np.ndarray) -> np.ndarray:
        """Returns a picture between two, float (..., C) with C = 1 or 3."""
        luma = np.float32(self.overall * self.luma)
        chroma = np.float32(self.overall * self.chroma)
        if noisy.shape[-1] == 1:
            chroma = luma
        if luma == chroma == 1.0:
            return denoised
        change = denoised - noisy
        if luma == chroma:
            return noisy + luma * change
        grey = change.mean(axis=-1, keepdims=True)
        return noisy + chroma * change + (luma - chroma) * grey


def self_ensemble(function: Callable[[np.ndarray], np.ndarray], images: np.ndarray) -> np.ndarray:
    """Averages a denoiser's results over the eight flips and quarter turns of its input.

    Args:
        function: maps (N, H, W, C) to the same shape, any H and W.
        images: (N, H, W, C) float.

    Returns:
        float32, shaped like `images`; eight times the work.
    """
    total = np.zeros(images.shape, np.float32)
    for orientation in range(8):
        turned = np.stack([orient(image, orientation) for image in images])
        for place, result in zip(total, function(turned), strict=True):
            place += _orient_back(result, orientation)
    return total / np.float32(8)


def _orient_back(image: np.ndarray, orientation: int) -> np.ndarray:
    if orientation & 4:
        image = image.swapaxes(0, 1)
    return orient(image, orientation & 3)  # Flips undo themselves.


def denoise_picture(
    denoiser,
    picture: np.ndarray,
    strength: Strength,
    sigma: float | None = None,
    ensemble: bool = False,
    tiles: TileConfig = AUTO,
    on_tile: OnTile | None = None,
) -> np.ndarray:
    """Denoises a picture or a batch in its own number format; see `Denoiser.__call__`.

    Args:
        denoiser: with `denoise`, `run_picture`, `for_grey`, `channels`, `needs_sigma` and `name`.
        picture: uint8, uint16 or float: (H, W), (H, W, 1 to 4) or (N, H, W, 1 to 4).
        strength: how much of the noise to take away.
        sigma: noise level on the 0-255 scale.
        ensemble: averages over the eight flips; see `self_ensemble`.
        tiles: how each picture is cut.
        on_tile: called with the pixels done and all pixels of a picture.

    Returns:
        A new array of the same shape and dtype.

    Raises:
        UserError: another shape or dtype.
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
    # Views, (N, H, W, 1 to 4): what is written to `images` stands in `result`.
    images = result[..., np.newaxis] if len(shape) == 2 else result
    images = images[np.newaxis] if images.ndim == 3 else images
    for image in images:
        colours = image[..., :channels]  # Less the alpha channel, which stays as it is.
        own, part = denoiser, colours
        if is_grey(colours) and (own := denoiser.for_grey()) is not denoiser:
            part = colours[..., :1]  # What is made of it goes to all channels.
        colours[...] = _denoise(own, part, strength, sigma, ensemble, tiles, on_tile)
    return result


def to_unit(pixels: np.ndarray) -> np.ndarray:
    """Returns uint8, uint16 or float pixels as float32, nominal range [0, 1]."""
    if pixels.dtype.kind == "u":
        return pixels.astype(np.float32) / np.float32(np.iinfo(pixels.dtype).max)
    return pixels.astype(np.float32)


def finished(denoised: np.ndarray, noisy: np.ndarray, strength: Strength) -> np.ndarray:
    """Returns denoised pixels, float in [0, 1], blended with and stored like the noisy ones.

    Args:
        denoised: float32 (..., C).
        noisy: uint8, uint16 or float (..., C), C = 1 or 3: all colours of a pixel.
        strength: how much of the noise to take away.
    """
    blended = strength.blend(to_unit(noisy), denoised)
    if noisy.dtype.kind != "u":
        return blended.astype(noisy.dtype)
    top = np.float32(np.iinfo(noisy.dtype).max)
    return np.rint(np.clip(blended, 0.0, 1.0) * top).astype(noisy.dtype)


def _require_borne(colours: np.ndarray) -> None:
    """Raises `UserError` for floats that a network makes NaN of; integers always pass."""
    if colours.dtype.kind == "u":
        return
    with np.errstate(invalid="ignore"):  # NaN is neither less nor more, and is refused, too.
        low, high = float(colours.min()), float(colours.max())
    if not -_MOST <= low <= high <= _MOST:
        raise UserError(
            "image: expected finite floats, nominal range [0, 1]; scale others first. "
            f"Received: values from {low:g} to {high:g}."
        )


def _denoise(denoiser, colours, strength, sigma, ensemble, tiles, on_tile) -> np.ndarray:
    _require_borne(colours)
    if sigma is None and denoiser.needs_sigma:
        # Of the picture as it is, before channels are replicated or taken one by one.
        sigma = estimate_and_tell(to_unit(colours), denoiser.name)
    rule = adaptation(colours.shape[-1], denoiser.channels)
    if ensemble or (rule == PER_CHANNEL and strength.luma != strength.chroma):
        # What is stored needs eight results, or the results of all three channels.
        return _denoise_floats(denoiser, colours, strength, sigma, ensemble, tiles, on_tile)
    pixels = _pixel_format(strength, rule == REPLICATED)
    if rule != PER_CHANNEL:
        return denoiser.run_picture(colours, sigma, tiles, pixels, on_tile)
    parts = np.split(colours, colours.shape[-1], axis=-1)
    results = [denoiser.run_picture(part, sigma, tiles, pixels, on_tile) for part in parts]
    return np.concatenate(results, axis=-1)


def _denoise_floats(denoiser, colours, strength, sigma, ensemble, tiles, on_tile) -> np.ndarray:
    def run(images):
        return adapt_channels(
            lambda adapted: denoiser.denoise(adapted, sigma, tiles), images, denoiser.channels
        )

    noisy = to_unit(colours)[np.newaxis]
    denoised = self_ensemble(run, noisy) if ensemble else run(noisy)
    result = finished(denoised[0], colours, strength)
    if on_tile:
        size = colours.shape[0] * colours.shape[1]
        on_tile(size, size)
    return result


def _pixel_format(strength: Strength, replicate: bool) -> PixelFormat:
    """Returns how pixels are read, blended and stored; `replicate` for grey as RGB."""

    def read(part):
        part = to_unit(part)
        return np.repeat(part, 3, axis=-1) if replicate else part

    def store(denoised, part):
        if replicate:
            denoised = denoised.mean(axis=-1, keepdims=True, dtype=denoised.dtype)
        return finished(denoised, part, strength)

    return PixelFormat(read, store)
