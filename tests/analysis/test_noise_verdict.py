"""What is said of the noise of a picture."""

import cv2
import numpy as np
import pytest
from test_noise_analysis import CLEAN, draws, scene

from gradnet_tf import analyse_noise, judge_noise, weights
from gradnet_tf.degradations.camera import Response
from gradnet_tf.degradations.correlated import add_correlated_noise
from gradnet_tf.degradations.photograph import CameraSettings, noise_profile, photograph
from gradnet_tf.degradations.sensor import add_poisson_gaussian_noise
from gradnet_tf.images.image_files import read_image, to_float, to_uint8


def judge(image):
    return judge_noise(analyse_noise(image))


def test_clean_pictures_are_called_clean():
    verdict = judge(to_uint8(CLEAN))
    assert (verdict.kind, verdict.model, verdict.strength) == ("clean", None, 0.0)
    assert verdict.text == "clean: no noise to remove"


@pytest.mark.parametrize(("channels", "model"), [(1, weights.GRAY), (3, weights.DEFAULT)])
@pytest.mark.parametrize("sigma", [3, 15, 50])
def test_white_noise_is_called_white(sigma, channels, model):
    verdict = judge(add_correlated_noise(scene(channels=channels), draws(), sigma, 0))
    assert (verdict.kind, verdict.model, verdict.strength) == ("white", model, 1.0)
    assert verdict.text.startswith("white noise, σ ≈ ")


def test_shot_noise_is_white_and_grows():
    verdict = judge(add_poisson_gaussian_noise(CLEAN, draws(), 0.02, 1))
    assert verdict.kind == "white"
    assert "more where it is bright" in verdict.text


@pytest.mark.parametrize("iso", [6400, 25600, 51200])
@pytest.mark.parametrize("chroma", [0.0, 2.0])
def test_a_cameras_noise_is_called_so(iso, chroma):
    shot, read = noise_profile(iso)
    settings = CameraSettings(
        shot=4 * shot,
        read=4 * read,
        pattern=0,
        balance=1.0,
        matrix=1.0,
        response=Response(2.2, 0.2),
        chroma=chroma,
        quality=95,
    )
    verdict = judge(photograph(CLEAN, draws(), settings))
    assert (verdict.kind, verdict.model) == ("camera", "gradnet_small_color_real")
    assert "camera noise, " in verdict.text


def test_coarse_grain_is_called_coarse():
    assert "coarse grain" in judge(add_correlated_noise(CLEAN, draws(), 12, 1.3)).text
    assert "fine grain" in judge(add_correlated_noise(CLEAN, draws(), 12, 0.6)).text


def test_small_pictures_get_no_recommendation():
    verdict = judge(np.zeros((20, 20, 3), np.uint8))
    assert (verdict.kind, verdict.model, verdict.strength) == ("unknown", None, 0.0)
    assert "64×64" in verdict.text and verdict.lines == ()


def test_known_pictures(data_dir):
    generator = np.random.default_rng(3)
    right, all_kinds = 0, []
    for pattern, kind, sigma in (
        ("cbsd68/**/*.png", "clean", 0),
        ("cbsd68/**/*.png", "white", 5),
        ("cbsd68/**/*.png", "white", 25),
        ("polyu/*_real.JPG", "camera", 0),
        ("renoir_512/*_noisy.png", "camera", 0),
    ):
        paths = sorted(data_dir.glob(pattern))[::10]
        assert paths, pattern
        for path in paths:
            image = read_image(path)
            if sigma:
                noise = generator.standard_normal(image.shape).astype(np.float32)
                image = to_float(image) + noise * np.float32(sigma / 255)
            found = judge(image).kind
            all_kinds.append((path.name, kind, found))
            right += found == kind
    assert right >= 0.9 * len(all_kinds), [case for case in all_kinds if case[1] != case[2]]


def test_a_photograph_that_was_enlarged_has_coarser_grain():
    noisy = add_correlated_noise(CLEAN[:200, :200], draws(), 20, 0.6)
    larger = cv2.resize(noisy, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    assert analyse_noise(larger).length > 1.5 * analyse_noise(noisy).length
