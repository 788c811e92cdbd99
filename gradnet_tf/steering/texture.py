"""`--detail` puts texture back where there is some; `--mask` limits the work to an area."""

import dataclasses
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from gradnet_tf.images import MAX_MEGAPIXELS
from gradnet_tf.images.photo import color_channels
from gradnet_tf.images.photo_files import read_photo
from gradnet_tf.tiling.tiler import to_unit
from gradnet_tf.utils.errors import UserError

# The Sobel response (kernels 1, 2, 1, for images in [0, 1]) at which half of the texture comes
# back: a ramp of 8 grey levels per pixel. What is left of noise in flat areas responds with a tenth
# of it.
_HALF = 0.25
#: Side of the area that a pixel's texture is judged by. A single edge fills a quarter of it, so
#: that noise does not come back around outlines.
_AREA = 9


def texture_weight(denoised: np.ndarray) -> np.ndarray:
    """Returns how much texture the gradient of the estimate shows around each pixel.

    Args:
        denoised: (H, W, 1 or 3), uint8, uint16 or float with nominal range [0, 1].

    Returns:
        float32 (H, W) in [0, 1]: 0 in flat areas, near 1 where all neighbors have steep gradients.
    """
    gray = np.ascontiguousarray(to_unit(denoised).mean(axis=-1, dtype=np.float32))
    squares = [
        cv2.Sobel(gray, cv2.CV_32F, *axes, borderType=cv2.BORDER_REFLECT) ** 2
        for axes in ((1, 0), (0, 1))
    ]
    energy = squares[0] + squares[1]
    return cv2.blur(energy / (energy + _HALF**2), (_AREA, _AREA), borderType=cv2.BORDER_REFLECT)


@dataclasses.dataclass(frozen=True)
class Steering:
    """What is done to a denoised picture in the end.

    Attributes:
        detail: share of the removed brightness that is put back where `texture_weight` is 1;
            removed color is not, because noise is most visible there.
        mask: float32 (H, W) in [0, 1]: 1 denoises, 0 keeps the photograph; `None`: all is denoised.
        mask_name: the option that gave the mask, for messages.
    """

    detail: float = 0.0
    mask: np.ndarray | None = None
    mask_name: str = "mask"

    def __call__(self, noisy: np.ndarray, denoised: np.ndarray) -> np.ndarray:
        """Returns the result, shaped like both and of their dtype.

        Args:
            noisy: (H, W, 1 to 4), uint8, uint16 or float; the second or fourth channel is alpha,
                which is not changed.
            denoised: the same picture from a `Denoiser`.

        Raises:
            UserError: the mask has another size.
        """
        if self.mask is not None and self.mask.shape != noisy.shape[:2]:
            height, width = self.mask.shape
            raise UserError(
                f"{self.mask_name} has {width}×{height} pixels, expected the photograph's "
                f"{noisy.shape[1]}×{noisy.shape[0]}"
            )
        channels = color_channels(noisy.shape[-1])
        before, after = to_unit(noisy[..., :channels]), to_unit(denoised[..., :channels])
        if self.detail > 0:
            removed = (before - after).mean(axis=-1, keepdims=True)
            weight = np.float32(self.detail) * texture_weight(denoised[..., :channels])
            after = np.clip(after + weight[..., np.newaxis] * removed, 0.0, 1.0)
        if self.mask is not None:
            share = self.mask[..., np.newaxis]
            after = after * share + before * (1 - share)
        result = denoised.copy()
        top = np.iinfo(noisy.dtype).max if noisy.dtype.kind == "u" else None
        result[..., :channels] = after if top is None else np.rint(after * np.float32(top))
        if self.mask is not None:  # bit for bit, also where floats have 64 bits
            np.copyto(result, noisy, where=self.mask[..., np.newaxis] == 0)
        return result


def read_mask(path: str, option: str, max_megapixels: float = MAX_MEGAPIXELS) -> np.ndarray:
    """Returns a picture as a mask, float32 (H, W) in [0, 1]; colors are averaged.

    Raises:
        UserError: it is not a readable picture, or larger than `max_megapixels`.
    """
    try:
        pixels = to_unit(read_photo(path, max_megapixels).pixels)
    except (OSError, UserError) as error:
        reason = str(getattr(error, "strerror", None) or error).rstrip(".")
        raise UserError(f"{option}: {reason}.") from error
    return np.clip(pixels.mean(axis=-1, dtype=np.float32), 0.0, 1.0)


def read_steering(
    detail: float, mask: str | None, max_megapixels: float = MAX_MEGAPIXELS
) -> Steering:
    """Returns what `--detail` and `--mask` ask for.

    Args:
        detail: see `Steering`.
        mask: path of a picture: white is denoised, black is kept.
        max_megapixels: a larger mask is refused.

    Raises:
        UserError: the mask cannot be read.
    """
    name = f"--mask={mask}"
    read = None if mask is None else read_mask(mask, name, max_megapixels)
    return Steering(detail, read, name)


def steered(load: Callable[..., Any], steering: Steering) -> Callable[..., Any]:
    """Returns a loader like `load` whose denoiser applies `steering`.

    Args:
        load: returns a function from a photograph's pixels to denoised pixels.
        steering: what to do to them.
    """

    def load_steered(*arguments: Any, **more: Any) -> Callable[[np.ndarray], np.ndarray]:
        denoise = load(*arguments, **more)

        def steered_denoise(pixels: np.ndarray) -> np.ndarray:
            return steering(pixels, denoise(pixels))

        steered_denoise.used = getattr(denoise, "used", None)
        return steered_denoise

    return load_steered
