"""The HTML pages and the folder they stand in: whole, self-contained, readable without a net."""

import base64
import json
import re

import cv2
import numpy as np
import pytest
from evaluation_case import Fake, Images, blur, photographs
from page_reader import read_page

from gradnet_tf.evaluation.evaluate_set import EvaluateConfig
from gradnet_tf.images.image_files import read_image
from gradnet_tf.reporting.result_folder import (
    check_images,
    chosen_images,
    evaluate_into,
    staged_folder,
)
from gradnet_tf.utils.errors import UserError


def strict_json(path):
    def refuse(name):
        raise ValueError(name)

    return json.loads(path.read_text("utf-8"), parse_constant=refuse)


FACTS = {"command": ["python", "evaluate.py", "--model=<x>"], "versions": {"keras": "3.x"}}


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    output = tmp_path_factory.mktemp("single")
    denoiser = Fake(blur, naive=lambda image: blur(image, 0.6), name="my <model>")
    evaluate_into(output, {"m": denoiser}, Images(photographs(8)), EvaluateConfig(), FACTS)
    return output


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    output = tmp_path_factory.mktemp("compared")
    models = {"weak one": Fake(lambda image: blur(image, 0.4)), "strong": Fake(blur)}
    evaluate_into(output, models, Images(photographs(2, channels=1)), EvaluateConfig(), FACTS)
    return output


def test_one_model_leaves_metrics_table_report_and_images(single):
    assert sorted(path.name for path in single.iterdir()) == [
        "images",
        "metrics.csv",
        "metrics.json",
        "report.html",
    ]
    metrics = strict_json(single / "metrics.json")
    assert metrics["command"] == FACTS["command"] and metrics["versions"] == FACTS["versions"]
    assert len(metrics["images"]) == 8
    for kind in ("noisy", "naive", "denoised"):
        assert len(list((single / "images").glob(f"*_{kind}.png"))) == 8
    panel = read_image(single / "images" / "a_panel.png")
    assert panel.shape[1] > 5 * 320


def test_written_images_are_the_scored_ones(single):
    clean = photographs(8)["c.png"]
    row = strict_json(single / "metrics.json")["images"][2]
    denoised = read_image(single / "images" / "c_denoised.png")
    error = np.mean((denoised / 255.0 - clean / 255.0) ** 2)
    assert row["psnr_uint8"] == pytest.approx(-10 * np.log10(error), abs=1e-4)


def test_report_is_one_file_with_numbers_command_and_pictures(single):
    page = read_page(single / "report.html")
    metrics = strict_json(single / "metrics.json")
    assert f"{metrics['mean']['psnr']:.2f} dB" in page.text
    assert "my <model> on made" in page.text
    assert "python evaluate.py --model=<x>" in page.text and "keras 3.x" in page.text
    for badge in ("worst", "median", "best"):
        assert badge in page.words
    assert re.search(r"error: 0 \d+ or more of 255 gray levels", page.text)
    shown = {image.get("data-key") for image in page.all("img")} - {None}
    assert shown == {"noisy", "naive", "denoised", "clean", "error-denoised"}
    assert page.all("table")[0]["class"] == "sortable"
    assert len(page.all("circle")) >= 3 * 8


def test_zoomed_crops_are_exact_pixels(single):
    page = read_page(single / "report.html")
    (source,) = {
        image["src"]
        for image in page.all("img")
        if image["alt"].endswith(("a.png, clean, zoomed crop",))
    }
    data = np.frombuffer(base64.b64decode(source.split(",")[1]), np.uint8)
    crop = cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]
    # The test images are smaller than the crop.
    np.testing.assert_array_equal(crop, photographs(8)["a.png"])


def test_several_models_get_a_folder_each_and_a_ranking(compared):
    names = sorted(path.name for path in compared.iterdir())
    assert names == ["gallery", "ranking.json", "report.html", "strong", "weak one"]
    ranking = strict_json(compared / "ranking.json")
    assert [entry["folder"] for entry in ranking["ranking"]] == ["strong", "weak one"]
    assert ranking["ranking"][0]["psnr"] > ranking["ranking"][1]["psnr"]
    assert (ranking["sigma"], ranking["seed"], ranking["dataset"]) == (25.0, 0, "made")
    for folder in ("strong", "weak one"):
        assert (compared / folder / "metrics.csv").is_file()
        read_page(compared / folder / "report.html")
        metrics = strict_json(compared / folder / "metrics.json")
        assert metrics["conversion"] == "gray replicated to RGB, result averaged"
    # Both were given the same noise.
    noisy = [read_image(compared / f / "images" / "b_noisy.png", 1) for f in ("strong", "weak one")]
    np.testing.assert_array_equal(*noisy)


def test_comparison_page_shows_the_models_side_by_side(compared):
    page = read_page(compared / "report.html")
    links = [link["href"] for link in page.all("a")]
    assert [link for link in links if link.endswith(".html")] == [
        "strong/report.html",
        "weak%20one/report.html",
    ]
    assert all((compared / link.replace("%20", " ")).is_file() for link in links)
    keys = {image.get("data-key") for image in page.all("img")} - {None}
    assert keys == {"noisy", "strong", "weak one", "clean", "error-strong", "error-weak one"}
    assert "2 models on made" in page.text
    assert "weak one: channels: gray replicated to RGB" in page.text


def test_broken_output_is_shown_as_the_worst(tmp_path):
    images = photographs(6)

    def break_one(image):
        denoiser.count += 1
        return image * np.nan if denoiser.count == 5 else blur(image)

    denoiser = Fake(break_one)
    denoiser.count = 0
    (result,) = evaluate_into(tmp_path, {"m": denoiser}, Images(images), EvaluateConfig())
    assert chosen_images(result)[4] == "worst"
    page = read_page(tmp_path / "report.html")
    assert "1 image(s) with NaN output" in page.text
    assert "the output has NaN values" in page.text
    assert strict_json(tmp_path / "metrics.json")["images"][4]["psnr"] is None


@pytest.mark.parametrize(("height", "width"), [(1, 1), (11, 3), (1500, 20)])
def test_any_size_makes_a_report(tmp_path, height, width):
    images = {"odd.png": np.full((height, width, 3), 60, np.uint8)}
    evaluate_into(tmp_path, {"m": Fake()}, Images(images), EvaluateConfig())
    page = read_page(tmp_path / "report.html")
    assert f"{width}×{height} pixels" in page.text
    assert ("shown at 80%" in page.text) == (height == 1500)
    assert "the only image" in page.words


def test_median_worst_and_best_are_chosen_by_psnr():
    rows = [{"psnr": psnr, "problem": None} for psnr in (30, 29, 28, 25, 27, None, 31)]
    chosen = chosen_images({"images": rows})
    assert chosen == {3: "worst", 1: "median", 5: "best", 0: "image 1", 2: "image 3"}


def test_failure_leaves_no_half_output(tmp_path):
    output = tmp_path / "new"

    def stop(image):
        raise RuntimeError("no power")

    with pytest.raises(RuntimeError, match="no power"):
        evaluate_into(output, {"m": Fake(stop)}, Images(photographs(1)), EvaluateConfig())
    assert not output.exists()
    # Earlier results in an existing folder stay as they are.
    evaluate_into(output, {"m": Fake(blur)}, Images(photographs(1)), EvaluateConfig())
    before = {path: path.read_bytes() for path in output.rglob("*") if path.is_file()}
    with pytest.raises(RuntimeError, match="no power"):
        evaluate_into(output, {"m": Fake(stop)}, Images(photographs(1)), EvaluateConfig())
    assert before == {path: path.read_bytes() for path in output.rglob("*") if path.is_file()}


def test_output_that_is_a_file_is_refused(tmp_path):
    path = tmp_path / "taken"
    path.write_text("x")
    with pytest.raises(UserError, match="--output=.*taken: cannot create the folder"):
        with staged_folder(path):
            pass


def test_images_are_checked_by_decoding_each():
    class Bad(Images):
        def load(self, index):
            if index == 1:
                raise UserError(f"{self.names[index]} is damaged")
            return super().load(index)

    with pytest.raises(UserError, match="b.png is damaged"):
        check_images(Bad(photographs(3)))
