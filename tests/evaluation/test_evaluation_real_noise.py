"""Images with noise of their own: no σ is told to the denoiser, and none is recorded."""

import numpy as np
import pytest
from evaluation_case import Fake, Images, photographs

from gradnet_tf.evaluation.evaluate_set import EvaluateConfig, evaluate


def noisy_of(clean):
    return np.clip(clean.astype(int) + 7, 0, 255).astype(np.uint8)


# All images, the first alone, the last alone: one really noisy image is enough.
@pytest.mark.parametrize("real", [(0, 1, 2), (0,), (2,)])
@pytest.mark.parametrize("sigma", [25.0, 10.0])
def test_no_sigma_is_recorded_where_an_image_has_real_noise(real, sigma):
    clean = photographs(3)
    names = [list(clean)[index] for index in real]
    image_set = Images(clean, {name: noisy_of(clean[name]) for name in names})
    denoiser = Fake()
    result = evaluate(denoiser, image_set, EvaluateConfig(sigma=sigma))
    assert result["sigma"] is None
    # What is told to the denoiser goes by the image.
    assert denoiser.sigmas == [None if index in real else sigma for index in range(3)]


def test_a_network_that_needs_the_level_gets_an_estimate_of_real_noise_and_sigma_of_made_noise():
    clean = photographs(2, 64, 64)
    denoiser = Fake()
    denoiser.needs_sigma = True
    denoiser.naive = lambda images, sigma=None: None
    first = list(clean)[0]
    evaluate(denoiser, Images(clean, {first: noisy_of(clean[first])}), EvaluateConfig(sigma=40.0))
    assert denoiser.sigmas[0] is not None and denoiser.sigmas[0] != 40.0
    assert denoiser.sigmas[1] == 40.0


def test_sigma_is_recorded_where_the_noise_was_made():
    assert evaluate(Fake(), Images(photographs(1)), EvaluateConfig(sigma=10))["sigma"] == 10


def test_each_image_names_the_weights_that_it_went_through():
    class Choosing(Fake):
        def __init__(self):
            super().__init__()
            self.used = ["left over"]

        def denoise(self, images, sigma=None, **more):
            self.used.append(f"weights {len(self.sigmas)}")
            return super().denoise(images, sigma, **more)

    rows = evaluate(Choosing(), Images(photographs(2)), EvaluateConfig(sigma=10))["images"]
    assert [row["used"] for row in rows] == [["weights 0"], ["weights 1"]]
    assert evaluate(Fake(), Images(photographs(1)), EvaluateConfig())["images"][0]["used"] == []
