"""`--model=auto`: the weights follow the noise of each picture, by every door."""

import dataclasses
import json

import cv2
import numpy as np
import pytest
from denoise_case import gradnet
from page_reader import read_page

from gradnet_tf import Denoiser, weights
from gradnet_tf.degradations.compose import parse_degradation
from gradnet_tf.degradations.draws import Draws
from gradnet_tf.denoiser import load_denoiser
from gradnet_tf.loading.load import model_info, resolve

pytestmark = pytest.mark.skipif(
    weights.read_card(weights.CAMERA) is None, reason="the weights for real noise do not ship"
)


def picture() -> np.ndarray:
    coarse = np.random.default_rng(0).uniform(40, 210, (6, 8, 3)).astype(np.float32)
    return np.clip(cv2.resize(coarse, (200, 160), interpolation=cv2.INTER_CUBIC), 10, 245) / 255


def camera() -> np.ndarray:
    noisy = parse_degradation("photograph(iso=102400,push=3,smoothing=0.5)").apply(
        picture(), Draws((0, 1))
    )
    return np.rint(noisy * 255).astype(np.uint8)


def white() -> np.ndarray:
    noisy = picture() * 255 + np.random.default_rng(1).normal(0, 20, (160, 200, 3))
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def auto():
    return Denoiser()


@pytest.mark.parametrize(
    ("noisy", "expected"), [(camera, weights.CAMERA), (white, weights.DEFAULT)]
)
def test_each_picture_has_the_result_of_the_weights_for_its_noise(auto, noisy, expected):
    image = noisy()
    result = auto(image)
    np.testing.assert_array_equal(result, Denoiser(expected)(image))
    batch = (image[np.newaxis] / np.float32(255)).astype(np.float32)
    np.testing.assert_array_equal(auto.denoise(batch), Denoiser(expected).denoise(batch))
    np.testing.assert_array_equal(load_denoiser("auto")(image), result)


def test_a_mixed_batch_is_denoised_picture_by_picture(auto):
    batch = np.stack([camera(), white()])
    np.testing.assert_array_equal(auto(batch), np.stack([auto(image) for image in batch]))
    floats = batch.astype(np.float32) / 255
    expected = np.concatenate([auto.denoise(image[np.newaxis]) for image in floats])
    np.testing.assert_array_equal(auto.denoise(floats), expected)


def test_the_naive_estimate_is_that_of_the_weights_that_denoise(auto):
    batch = np.stack([camera(), white()]).astype(np.float32) / 255
    parts = [
        load_denoiser(name, runtime="keras").naive(image[np.newaxis])
        for name, image in zip((weights.CAMERA, weights.DEFAULT), batch, strict=True)
    ]
    np.testing.assert_array_equal(auto.naive(batch), np.concatenate(parts))
    assert (
        np.abs(parts[0] - load_denoiser("default", runtime="keras").naive(batch[:1])).max() > 0.01
    )


def test_partners_are_the_shipped_weights_beside_folders_of_their_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in (weights.CAMERA, weights.GRAY, weights.DEFAULT):
        (tmp_path / name).mkdir()
    denoiser = Denoiser()
    assert denoiser.for_camera().name == weights.CAMERA
    assert denoiser.for_gray().name == weights.GRAY
    assert denoiser.naive(white()[None].astype(np.float32) / 255) is not None


def test_a_name_means_these_weights_alone():
    named = Denoiser("default")
    assert named.for_camera() is named and named.name == weights.DEFAULT
    assert Denoiser().name == "auto"
    assert resolve("auto").camera == weights.CAMERA and resolve("default").camera is None
    info = model_info(resolve("auto"))
    assert (info.name, info.camera) == ("auto", weights.CAMERA)


def test_the_command_writes_the_same_pixels_says_its_choice_and_records_it(tmp_path, auto, capsys):
    for name, noisy in (("camera", camera), ("white", white)):
        cv2.imwrite(str(tmp_path / f"{name}.png"), noisy()[..., ::-1])
    files = [tmp_path / "camera.png", tmp_path / "white.png"]
    page = ["--report", tmp_path / "r.html"]
    assert gradnet("denoise", *files, "-o", tmp_path / "out", *page) == 0
    printed = capsys.readouterr()
    assert f"camera's noise are denoised by {weights.CAMERA}" in printed.err
    for path, noisy in zip(files, (camera, white), strict=True):
        written = cv2.imread(str(tmp_path / "out" / path.name))[..., ::-1]
        np.testing.assert_array_equal(written, auto(noisy()))
    recorded = json.loads((tmp_path / "out" / ".gradnet.json").read_text())
    used = {"camera.png": auto.for_camera().label, "white.png": auto.label}
    assert weights.CAMERA in used["camera.png"] and weights.DEFAULT in used["white.png"]
    settings = {name: recorded["settings"][each] for name, each in recorded["results"].items()}
    assert {name: each["weights"] for name, each in settings.items()} == used
    for path, line in zip(files, printed.out.splitlines(), strict=False):
        assert line.endswith(f"megapixels/s  {used[path.name]}")
    subtitle = "; ".join(used.values())
    for _ in range(2):  # Of the results, and of the same ones when they are skipped.
        text = read_page(tmp_path / "r.html").text
        assert f"{subtitle} · strength 1" in text and "auto ·" not in text
        assert all(f"{label} · strength 1 · estimated" in text for label in used.values())
        assert gradnet("denoise", *files, "-o", tmp_path / "out", *page) == 0
        assert "made with other settings" not in capsys.readouterr().err


def test_the_weights_of_each_call_are_known(auto):
    auto(camera())
    assert auto.used == [auto.for_camera().label]
    auto(np.full((40, 40, 3), 200, np.uint8))
    assert auto.used == []
    auto(white(), self_ensemble=True)
    assert auto.used == [auto.label]


def test_gray_pictures_and_drawings_keep_their_own_ways(auto):
    gray = white()[..., 0]
    np.testing.assert_array_equal(auto(gray), Denoiser("default")(gray))
    page = np.full((120, 200, 3), 255, np.uint8)
    cv2.putText(page, "text", (20, 60), 0, 1.0, (0, 0, 0), 2)
    np.testing.assert_array_equal(auto(page), page)


def test_without_the_camera_weights_auto_is_the_default(monkeypatch):
    monkeypatch.setattr(weights, "CAMERA", "gradnet_small_color_absent")
    assert resolve("auto").camera is None
    image = camera()
    np.testing.assert_array_equal(Denoiser("auto")(image), Denoiser("default")(image))


def test_the_survey_decides(auto, monkeypatch):
    from gradnet_tf import denoiser as module

    survey = module.survey_noise
    monkeypatch.setattr(
        module, "survey_noise", lambda image: dataclasses.replace(survey(image), is_camera=False)
    )
    np.testing.assert_array_equal(auto(camera()), Denoiser("default")(camera()))
