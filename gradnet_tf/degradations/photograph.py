"""The noise of a photograph, through the whole pipeline of a camera or a raw converter.

```
raw    = mosaic(light / gains · 2^−push),  light = M⁻¹ f⁻¹(clean)
noise  = f(M gains 2^push demosaic(raw + n)) − f(M gains 2^push demosaic(raw))
result = JPEG(clean + sharpen(denoise(shrink(noise))))
```

n has the variance `a · raw + b` of a published noise profile, is partly the same along a row, and
is rounded to the bits of the sensor. f is the tone curve, M the color matrix. Only the noise goes
through the pipeline: the clean image keeps its sharpness and stays the target, so that a network
does not learn to undo demosaicking, smoothing or sharpening of a picture that it is not given.
"""

import dataclasses

import cv2
import numpy as np

from gradnet_tf.degradations.camera import PATTERNS, Response, demosaic, mosaic
from gradnet_tf.degradations.draws import Draws
from gradnet_tf.degradations.eight_bits import jpeg

#: (ISO, a, b): medians of noise profiles in linear raw with white at 1, variance = a · raw + b.
#: From darktable's noiseprofiles.json (8,538 profiles of 433 cameras); the first four rows from a
#: sample of its cameras, the last two from all profiles at ISO 12,800-25,600 and above.
PROFILES = (
    (100, 2.4e-6, 8e-9),
    (400, 9e-6, 5e-8),
    (1600, 3.5e-5, 3e-7),
    (6400, 1.2e-4, 6e-7),
    (18100, 2.3e-4, 1.04e-6),
    (51200, 4.4e-4, 4e-6),
)
# Spread of the cameras about these medians: standard deviations of log a and of log b, and their
# correlation. Compact cameras have ten times the a of full-frame ones.
_SPREAD_A, _SPREAD_B, _CORRELATION = 0.8, 1.2, 0.5

# A typical matrix from a camera's colors to sRGB; its rows sum to 1, so that gray stays gray.
_MATRIX = np.array([[1.7, -0.55, -0.15], [-0.2, 1.45, -0.25], [0.0, -0.6, 1.6]])
# Typical gains of red and blue against green, in daylight.
_GAINS = np.array([2.0, 1.0, 1.6])
# Rec. 601.
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def noise_profile(iso: float, draws: Draws | None = None) -> tuple[float, float]:
    """Returns the noise parameters (a, b) of a camera at a sensitivity.

    Args:
        iso: interpolated between the rows of `PROFILES`, and continued beyond them, in logarithms.
        draws: draws one of the cameras; `None` for the median.
    """
    isos, shot, read = np.log(np.array(PROFILES)).T
    at = np.log(iso)
    place = int(np.clip(np.searchsorted(isos, at), 1, len(isos) - 1))
    t = (at - isos[place - 1]) / (isos[place] - isos[place - 1])
    a, b = (float(v[place - 1] + t * (v[place] - v[place - 1])) for v in (shot, read))
    if draws is not None:
        first, second = (float(v) for v in draws.normal((2,)))
        a += _SPREAD_A * first
        b += _SPREAD_B * (_CORRELATION * first + np.sqrt(1 - _CORRELATION**2) * second)
    return float(np.exp(a)), float(np.exp(b))


@dataclasses.dataclass(frozen=True)
class CameraSettings:
    """One camera and its pipeline; the defaults switch every part off.

    Attributes:
        shot: a, variance of the shot noise at white, linear raw on the [0, 1] scale.
        read: b, variance of the read noise.
        push: stops by which the exposure is too short; made up for after the sensor.
        row: standard deviation of an offset of each row, as a share of the read noise's.
        bits: of the sensor; 0 for no rounding.
        pattern: index into `camera.PATTERNS`; `None` for all colors at every pixel.
        bilinear: demosaic by bilinear interpolation instead of Malvar's filters.
        balance: strength of the white balance; 1 has red × 2 and blue × 1.6.
        matrix: strength of the color matrix in [0, 1].
        response: the tone curve f.
        size: the photograph's size as a share of the sensor's, (0, 1].
        smoothing: share of the luma noise that the camera's denoiser smooths.
        reach: standard deviation of that smoothing in pixels.
        chroma: standard deviation of the smoothing of all chroma noise in pixels; 0 for none.
        sharpen: strength of an unsharp mask with a standard deviation of one pixel.
        quality: JPEG quality; 0 for no JPEG and no rounding.
    """

    shot: float = 0.0
    read: float = 0.0
    push: float = 0.0
    row: float = 0.0
    bits: int = 0
    pattern: int | None = None
    bilinear: bool = False
    balance: float = 0.0
    matrix: float = 0.0
    response: Response = Response(1.0, 0.0)
    size: float = 1.0
    smoothing: float = 0.0
    reach: float = 1.5
    chroma: float = 0.0
    sharpen: float = 0.0
    quality: int = 0


def photograph(clean: np.ndarray, draws: Draws, settings: CameraSettings) -> np.ndarray:
    """Simulates a noisy photograph of an image.

    Args:
        clean: float32 (H, W, 3) or (H, W, 1), nominal range [0, 1]; clipped to it. Gray images have
            no mosaic, white balance, color matrix or chroma.
        draws: the image's random numbers.
        settings: the camera.

    Returns:
        float32 image of the same shape in [0, 1].
    """
    clean = np.clip(clean, 0, 1).astype(np.float32, copy=False)
    height, width, channels = clean.shape
    scene = clean
    if settings.size < 1:
        larger = (round(width / settings.size), round(height / settings.size))
        scene = _channels(cv2.resize(clean, larger, interpolation=cv2.INTER_LINEAR), channels)
    noise = _sensor_noise(scene, draws, settings)
    if settings.size < 1:
        noise = cv2.resize(noise, (width, height), interpolation=cv2.INTER_AREA)
        noise = _channels(noise, channels)
    result = np.clip(clean + _processed(noise, settings), 0, 1)
    return jpeg(result, settings.quality) if settings.quality else result


def _channels(image: np.ndarray, channels: int) -> np.ndarray:
    # OpenCV drops a last axis of size 1.
    return image.reshape(*image.shape[:2], channels)


def _sensor_noise(scene, draws, settings) -> np.ndarray:
    """Returns what the sensor's noise is in the developed image."""
    color = scene.shape[-1] == 3
    gains, matrix = np.ones(scene.shape[-1], np.float32), None
    if color:
        gains = (_GAINS**settings.balance).astype(np.float32)
        if settings.matrix:
            matrix = np.eye(3) + settings.matrix * (_MATRIX - np.eye(3))
    pushed = np.float32(2**settings.push)
    light = settings.response.to_light(scene)
    if matrix is not None:
        light = light @ np.linalg.inv(matrix).T.astype(np.float32)
    raw = np.maximum(light, 0) / (gains * pushed)
    pattern = settings.pattern if color and min(scene.shape[:2]) >= 3 else None
    if pattern is not None:
        raw = mosaic(raw, pattern)
    noisy = raw + np.sqrt(settings.shot * raw + settings.read, dtype=np.float32) * draws.normal(
        raw.shape
    )
    if settings.row:
        offsets = draws.normal((raw.shape[0],) + (1,) * (raw.ndim - 1))
        noisy = noisy + np.float32(settings.row * np.sqrt(settings.read)) * offsets
    if settings.bits:
        # Below black too: sensors add an offset before they round, and subtract it afterwards.
        steps = np.float32(2**settings.bits - 1)
        noisy = np.rint(noisy * steps) / steps

    def develop(values):
        if pattern is not None:
            method = demosaic_bilinear if settings.bilinear else demosaic
            values = method(values, pattern)
        values = values * (gains * pushed)
        if matrix is not None:
            values = values @ matrix.T.astype(np.float32)
        return settings.response.to_image(values)

    return develop(noisy) - develop(raw)


def demosaic_bilinear(raw: np.ndarray, pattern: int) -> np.ndarray:
    """Interpolates the missing colors from the nearest measured neighbors of the same color.

    Args, returns: see `gradnet_tf.degradations.camera.demosaic`.
    """
    row, column = PATTERNS[pattern]
    measured = np.zeros((*raw.shape, 3), np.float32)
    at_red, at_blue = np.s_[row::2, column::2], np.s_[1 - row :: 2, 1 - column :: 2]
    measured[..., 1] = raw
    for place, channel in ((at_red, 0), (at_blue, 2)):
        measured[..., channel][place] = raw[place]
        measured[..., 1][place] = 0
    cross = np.array([[0, 1, 0], [1, 4, 1], [0, 1, 0]], np.float32) / 4
    square = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]], np.float32) / 4
    kernels = (square, cross, square)
    return np.stack(
        [
            cv2.filter2D(measured[..., c], -1, kernels[c], borderType=cv2.BORDER_REFLECT_101)
            for c in range(3)
        ],
        axis=-1,
    )


def _processed(noise, settings) -> np.ndarray:
    """Denoises and sharpens as cameras do; linear here, so that both apply to the noise alone."""
    channels = noise.shape[-1]
    luma = noise @ _LUMA[:, np.newaxis] if channels == 3 else noise
    chroma = noise - luma
    if settings.chroma and channels == 3:
        chroma = cv2.GaussianBlur(chroma, (0, 0), settings.chroma)
    if settings.smoothing:
        smooth = cv2.GaussianBlur(luma, (0, 0), settings.reach).reshape(luma.shape)
        luma = luma + np.float32(settings.smoothing) * (smooth - luma)
    if settings.sharpen:
        smooth = cv2.GaussianBlur(luma, (0, 0), 1).reshape(luma.shape)
        luma = luma + np.float32(settings.sharpen) * (luma - smooth)
    return luma + chroma
