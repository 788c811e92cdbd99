"""The protocol stands in every result and report, and sets without clean images are shown."""

import json

import numpy as np
import pytest
from evaluation_case import Fake, Images, blur, photographs

from datasets.sets.catalog import find_dataset
from gradnet_tf.evaluation.evaluate_set import EvaluateConfig, evaluate
from gradnet_tf.evaluation.scores import SCORES
from gradnet_tf.evaluation.tables import ranking_table, result_table
from gradnet_tf.images.image_files import read_image, write_image
from gradnet_tf.reporting.result_folder import check_images, evaluate_into


@pytest.fixture
def rni15(tmp_path):
    """Three images under names of RNI15."""
    names = ("Bears.png", "Boy.png", "Dog.png")
    for name, image in zip(names, photographs(3).values(), strict=True):
        write_image(tmp_path / "D/RNI15" / name, image)
    return find_dataset("rni15", tmp_path / "D")


@pytest.fixture
def set12(tmp_path):
    for number, image in enumerate(photographs(12, channels=1).values(), 1):
        write_image(tmp_path / f"D/Set12/{number:02d}.png", image)
    return find_dataset("set12", tmp_path / "D")


def test_without_clean_images_there_are_pictures_and_no_scores(rni15, tmp_path, capsys):
    check_images(rni15)
    denoiser = Fake(lambda image: np.clip(image * 0.5, 0, 1), naive=blur)
    (result,) = evaluate_into(tmp_path / "out", {"fake": denoiser}, rni15, EvaluateConfig())
    # Nothing is added to what is noisy already.
    np.testing.assert_array_equal(denoiser.given[0][0] * 255, rni15.noisy(0))
    stored = json.loads((tmp_path / "out/metrics.json").read_text("utf-8"))
    assert stored["has_clean"] is False and stored["sigma"] is None
    assert stored["nan_outputs"] == 0 and len(stored["images"]) == 3
    for scores in (*stored["images"], stored["mean"]):
        assert [scores[score] for score in SCORES] == [None] * len(SCORES)
    assert {path.name for path in (tmp_path / "out/images").iterdir()} == {
        f"{stem}_{kind}.png"
        for stem in ("Bears", "Boy", "Dog")
        for kind in ("noisy", "naive", "denoised", "panel")
    }
    half = np.rint(read_image(rni15.paths[1]) * np.float32(0.5))
    assert np.abs(half - read_image(tmp_path / "out/images/Boy_denoised.png")).max() <= 1
    page = (tmp_path / "out/report.html").read_text("utf-8")
    for shown in (page, result_table(result)):
        assert "no clean images: there are no scores" in shown
        assert "too small for SSIM" not in shown
    assert "error: 0" not in page and "mean PSNR" not in page and "worst" not in page


def test_models_are_compared_without_clean_images(rni15, tmp_path):
    denoisers = {"one": Fake(name="one"), "two": Fake(blur, name="two")}
    results = evaluate_into(tmp_path / "out", denoisers, rni15, EvaluateConfig())
    ranking = json.loads((tmp_path / "out/ranking.json").read_text("utf-8"))
    assert ranking["has_clean"] is False
    assert "one" in ranking_table(ranking["ranking"], results[0])
    page = (tmp_path / "out/report.html").read_text("utf-8")
    assert "best:" not in page and "no clean images" in page
    assert (tmp_path / "out/gallery/Bears.png").is_file()


def test_a_broken_output_is_seen_without_a_clean_image(rni15):
    result = evaluate(Fake(lambda image: image * np.nan), rni15, EvaluateConfig())
    assert result["nan_outputs"] == 3 and result["images"][0]["problem"]


def test_the_protocol_is_in_every_output(set12, tmp_path):
    denoiser = Fake(blur, channels=1)
    (result,) = evaluate_into(tmp_path / "out", {"fake": denoiser}, set12, EvaluateConfig())
    protocol = json.loads((tmp_path / "out/metrics.json").read_text("utf-8"))["protocol"]
    assert protocol == {
        "split": "all 12 images",
        "crop": "whole images",
        "clipping": "noisy input not clipped, output clipped",
        "rounding": "none",
        "colour_space": "gray",
        "noise": "AWGN",
        "compares_with": set12.info.protocol.compares_with,
        "images": 12,
    }
    page = (tmp_path / "out/report.html").read_text("utf-8")
    for shown in (page, result_table(result)):
        assert all(protocol[key] in shown for key in ("split", "clipping", "compares_with"))
        assert "not comparable" not in shown and "does not clip" not in shown
    assert "rotocol of set12" in page


def test_what_departs_from_the_protocol_is_reported(set12):
    config = EvaluateConfig(clip_noisy=True)
    shown = result_table(evaluate(Fake(channels=1), set12.first(2), config))
    assert "2 of 12 images: the mean is not comparable with published ones" in shown
    assert "the noisy input was clipped, but the protocol does not clip it" in shown


@pytest.mark.parametrize(("degradation", "departs"), [("gaussian(30)", False), ("jpeg(50)", True)])
def test_other_noise_than_the_protocols_is_reported(set12, degradation, departs):
    config = EvaluateConfig(degradation=degradation)
    shown = result_table(evaluate(Fake(channels=1), set12.first(1), config))
    assert (f"noise {degradation}: published scores are for AWGN" in shown) == departs


def test_sets_without_facts_have_no_protocol():
    result = evaluate(Fake(), Images(photographs(1)), EvaluateConfig())
    assert result["protocol"] is None and "protocol" not in result_table(result)
