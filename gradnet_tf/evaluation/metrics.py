"""PSNR and SSIM of each image of a batch, without clipping."""

import math

import keras
import numpy as np
from keras import ops

from gradnet_tf.evaluation.protocol import MAX_PSNR

# SSIM of Wang et al. (2004): an 11×11 Gaussian window of σ = 1.5.
_WINDOW_SIZE, _WINDOW_SIGMA = 11, 1.5
_C1, _C2 = 0.01**2, 0.03**2


def psnr(clean, denoised):
    """Peak signal-to-noise ratio of each image in dB, peak 1.0.

    Args:
        clean: (N, H, W, C) float, range [0, 1].
        denoised: (N, H, W, C) float.

    Returns:
        (N,) float32, at most `MAX_PSNR`, which equal images score.
    """
    difference = ops.cast(clean, "float32") - ops.cast(denoised, "float32")
    mean_square = ops.mean(ops.square(difference), axis=(1, 2, 3))
    least = 10.0 ** (-MAX_PSNR / 10.0)
    # Unlike `ops.maximum`, this keeps NaN on every backend.
    mean_square = ops.where(mean_square < least, least, mean_square)
    return ops.log(1.0 / mean_square) * (10.0 / math.log(10.0))


def _window_mean(images):
    """Gaussian-weighted mean around each pixel with a complete window."""
    offsets = np.arange(_WINDOW_SIZE) - _WINDOW_SIZE // 2
    window = np.exp(-0.5 * (offsets / _WINDOW_SIGMA) ** 2)
    window = (window / window.sum()).astype("float32")
    channels = images.shape[-1]
    for shape in ((_WINDOW_SIZE, 1, 1, 1), (1, _WINDOW_SIZE, 1, 1)):
        kernel = np.tile(window.reshape(shape), (1, 1, channels, 1))
        images = ops.depthwise_conv(images, ops.convert_to_tensor(kernel), padding="valid")
    return images


def ssim(clean, denoised):
    """Structural similarity of each image, as Wang et al. (2004) define it.

    11×11 Gaussian window with σ = 1.5, data range 1, mean over the channels and the pixels with a
    complete window. Equal to scikit-image's with `gaussian_weights=True, sigma=1.5,
    use_sample_covariance=False`.

    Args:
        clean: (N, H, W, C) float, range [0, 1], H and W at least 11.
        denoised: (N, H, W, C) float.

    Returns:
        (N,) float32, at most 1.

    Raises:
        ValueError: if an image is smaller than the window.
    """
    height, width = clean.shape[1:3]
    if height is not None and width is not None and min(height, width) < _WINDOW_SIZE:
        raise ValueError(
            f"SSIM needs at least {_WINDOW_SIZE}×{_WINDOW_SIZE} pixels. Received: {height}×{width}"
        )
    clean, denoised = ops.cast(clean, "float32"), ops.cast(denoised, "float32")
    mean_x, mean_y = _window_mean(clean), _window_mean(denoised)
    variance_x = _window_mean(clean * clean) - mean_x * mean_x
    variance_y = _window_mean(denoised * denoised) - mean_y * mean_y
    covariance = _window_mean(clean * denoised) - mean_x * mean_y
    similarity = ((2 * mean_x * mean_y + _C1) * (2 * covariance + _C2)) / (
        (mean_x**2 + mean_y**2 + _C1) * (variance_x + variance_y + _C2)
    )
    return ops.mean(similarity, axis=(1, 2, 3))


@keras.saving.register_keras_serializable(package="gradnet_tf")
class PSNR(keras.metrics.MeanMetricWrapper):
    """Mean over images of the PSNR of the output clipped to [0, 1], for `model.compile`."""

    def __init__(self, name: str = "psnr", dtype: str = "float32") -> None:
        super().__init__(lambda y_true, y_pred: psnr(y_true, ops.clip(y_pred, 0, 1)), name, dtype)

    def get_config(self):
        return {"name": self.name, "dtype": self.dtype}
