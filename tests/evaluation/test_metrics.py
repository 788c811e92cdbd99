"""PSNR and SSIM against scikit-image."""

import numpy as np
import pytest
from keras import ops
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from gradnet_tf.evaluation import metrics

RNG = np.random.default_rng(2)


def pair(channels, size=(40, 33)):
    """A smooth image and a noisy one."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    base = 0.5 + 0.4 * np.sin(rows / 5.0)[..., None] * np.cos(columns / 7.0)[..., None]
    clean = np.repeat(base, channels, -1).astype("float32")
    return clean, np.clip(clean + RNG.normal(0, 0.08, clean.shape), 0, 1).astype("float32")


@pytest.mark.parametrize("channels", [1, 3])
def test_psnr_and_ssim_match_scikit_image_per_image(channels):
    pairs = [pair(channels) for _ in range(3)]
    clean, noisy = (np.stack(part) for part in zip(*pairs, strict=True))
    psnr, ssim = (
        ops.convert_to_numpy(metric(clean, noisy)) for metric in (metrics.psnr, metrics.ssim)
    )
    for index, (a, b) in enumerate(pairs):
        assert psnr[index] == pytest.approx(peak_signal_noise_ratio(a, b, data_range=1), abs=1e-4)
        expected = structural_similarity(
            a,
            b,
            data_range=1,
            channel_axis=-1,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        assert ssim[index] == pytest.approx(expected, abs=1e-5)


def test_equal_images():
    clean, _ = pair(3)
    psnr = ops.convert_to_numpy(metrics.psnr(clean[None], clean[None]))
    assert psnr == pytest.approx(100.0, abs=1e-4)
    assert ops.convert_to_numpy(metrics.ssim(clean[None], clean[None])) == pytest.approx(
        1, abs=1e-5
    )


def test_psnr_of_nan_is_nan():
    clean, _ = pair(3)
    assert np.isnan(ops.convert_to_numpy(metrics.psnr(clean[None], clean[None] * np.nan))).all()


def test_known_psnr():
    clean = np.full((1, 4, 4, 1), 0.5, "float32")
    assert ops.convert_to_numpy(metrics.psnr(clean, clean + 0.1)) == pytest.approx(20.0, abs=1e-4)


def test_ssim_refuses_images_smaller_than_its_window():
    small = np.zeros((1, 10, 30, 3), "float32")
    with pytest.raises(ValueError, match="at least 11×11 pixels. Received: 10×30"):
        metrics.ssim(small, small)


def test_keras_metric_clips():
    metric = metrics.PSNR()
    clean = np.ones((2, 3, 3, 1), "float32")
    metric.update_state(clean * 0.9, clean * 1.5)
    assert float(metric.result()) == pytest.approx(20.0, abs=1e-3)
