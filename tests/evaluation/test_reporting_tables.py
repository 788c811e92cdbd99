"""Tables of an evaluation: the console, metrics.csv, the ranking, the progress line."""

import csv
import io

import pytest
from evaluation_case import Fake, Images, blur, photographs

from gradnet_tf.evaluation.evaluate_set import EvaluateConfig, evaluate
from gradnet_tf.evaluation.scores import SCORES
from gradnet_tf.evaluation.tables import (
    metrics_csv,
    noise_text,
    rank,
    ranking_precision,
    ranking_table,
    result_table,
    worse_note,
)
from gradnet_tf.reporting.model_page import comparison_html, report_html
from gradnet_tf.reporting.watch import Watch


def scored(count=2, naive=None, name="fake", **config):
    denoiser = Fake(blur, naive=naive, name=name)
    return evaluate(denoiser, Images(photographs(count, 16, 16)), EvaluateConfig(**config))


def ranked(psnr, name, seconds=0.5):
    mean = dict.fromkeys(SCORES) | {"psnr": psnr}
    row = {"model": name, "mean": mean, "seconds_per_image": seconds}
    return {**row, "parameters": 1000, "conversion": None, "precision": "float32"}


def test_console_table_has_noisy_naive_and_denoised_columns_and_the_mean():
    result = scored(naive=lambda image: blur(image, 0.6))
    lines = result_table(result).splitlines()
    assert lines[0] == "fake on made (test), σ = 25"
    (titles,) = [line for line in lines if line.startswith("image")]
    assert titles.split() == ["image", *("noisy", "naive", "denoised") * 2]
    (mean,) = [line for line in lines if line.startswith("mean")]
    scores = [result["mean"][key] for key in ("psnr_noisy", "psnr_naive", "psnr")]
    similarities = [result["mean"][key] for key in ("ssim_noisy", "ssim_naive", "ssim")]
    shown = [f"{score:.2f}" for score in scores] + [f"{score:.4f}" for score in similarities]
    assert mean.split()[1:] == shown
    # All columns end where their titles end.
    assert len({len(line) for line in lines if line[:4] in ("imag", "mean", "a.pn", "b.pn")}) == 1


@pytest.mark.parametrize(
    ("available", "title", "counted"),
    [
        (None, "fake on made (test), σ = 25", "2 images"),
        (2, "fake on made (test), σ = 25", "2 images"),
        (68, "fake on made (test), first 2 of 68 images, σ = 25", "first 2 of 68 images"),
    ],
)
def test_a_set_that_was_cut_is_reported_in_tables_and_pages(available, title, counted):
    images = Images(photographs(2, 16, 16))
    images.available = available
    result = evaluate(Fake(blur), images, EvaluateConfig())
    assert result_table(result).splitlines()[0] == title
    assert ranking_table([], result).splitlines()[0] == title.replace("fake", "0 models")
    for page in (report_html(result, []), comparison_html([result], rank([result], ["a"]), [])):
        assert f"· {counted}</p></header>" in page
        assert f"made, test split, {counted}</dd>" in page


def test_console_table_shortens_many_images():
    lines = result_table(scored(9), shown_images=4).splitlines()
    names = [line.split()[0] for line in lines if ".png" in line]
    assert names == ["a.png", "b.png", "h.png", "i.png"]
    assert "… 5 more …" in lines


def test_undefined_scores_show_as_a_dash_and_remarks_follow():
    result = scored(sigma=0, clip_noisy=True)
    result["conversion"], result["nan_outputs"] = "channel by channel", 1
    result["images"][0].update(ssim=None)
    result["mean"].update(psnr_noisy=None, psnr_naive=None)
    text = result_table(result)
    (mean,) = [line for line in text.splitlines() if line.startswith("mean")]
    assert mean.split()[1:3] == ["–", "–"]
    for remark in (
        "channels: channel by channel",
        "noisy input was clipped",
        "1 image(s) with NaN output",
        "1 image(s) too small for SSIM",
    ):
        assert remark in text


def test_real_noise_is_named():
    assert noise_text({"sigma": None, "clip_noisy": False}) == "real noise"
    made = {"sigma": None, "degradation": "camera", "clip_noisy": True}
    assert noise_text(made) == "noise camera, noisy input clipped"
    assert noise_text({"sigma": 2.5, "clip_noisy": False}) == "σ = 2.5"


def test_csv_holds_a_row_per_image_and_the_mean_in_full_precision():
    result = scored()
    result["images"][0]["name"] = 'odd,"name".png'
    rows = list(csv.DictReader(io.StringIO(metrics_csv(result))))
    assert [row["name"] for row in rows] == ['odd,"name".png', "b.png", "mean"]
    assert float(rows[1]["psnr"]) == result["images"][1]["psnr"]
    assert float(rows[-1]["psnr"]) == result["mean"]["psnr"]
    assert rows[0]["psnr_naive"] == rows[-1]["problem"] == ""
    assert (rows[0]["height"], rows[0]["width"]) == ("16", "16")


def test_ranking_puts_the_best_first_and_undefined_last():
    results = [ranked(None, "broken"), ranked(28.0, "b"), ranked(30.0, "a"), ranked(28.0, "c")]
    entries = rank(results, ["broken", "b", "a", "c"])
    assert [(e["rank"], e["folder"]) for e in entries] == [
        (1, "a"),
        (2, "b"),
        (2, "c"),
        (4, "broken"),
    ]
    lines = ranking_table(entries, scored()).splitlines()
    assert lines[0] == "4 models on made (test), σ = 25"
    assert lines[2].split()[:3] == ["1", "a", "30.00"]
    assert lines[5].split()[:3] == ["4", "broken", "–"]
    assert "1,000" in lines[2]


def test_a_comparison_in_several_precisions_says_which_model_has_which():
    results = [{**ranked(30.0, name), "images": [], "runtime": "litert"} for name in ("a", "b")]
    results = [{**scored(), **result} for result in results]
    assert "precision:" not in ranking_table(rank(results, ["a", "b"]), results[0])
    results[1]["precision"] = "int8"
    ranking = rank(results, ["a", "b"])
    assert [entry["precision"] for entry in ranking] == ["float32", "int8"]
    assert ranking_precision(ranking) == "a litert float32, b litert int8"
    last = ranking_table(ranking, results[0]).splitlines()[-1]
    assert last == "precision: a litert float32, b litert int8"


def test_images_that_score_below_their_input_are_named_everywhere():
    result = evaluate(
        Fake(lambda image: 1 - image, name="inverted"),
        Images(photographs(2, 16, 16)),
        EvaluateConfig(sigma=5),
    )
    assert result["worse_than_input"] == ["a.png", "b.png"]
    remark = "2 of 2 images score below their noisy input: -"
    assert remark in result_table(result) and remark in report_html(result, [])
    good = scored(sigma=60)
    assert good["worse_than_input"] == [] and "below" not in result_table(good)
    entries = rank([result, good], ["inverted", "good"])
    assert {entry["folder"]: entry["worse_than_input"] for entry in entries} == {
        "inverted": 2,
        "good": 0,
    }
    assert "inverted: 2 of 2 images score below" in ranking_table(entries, result)
    assert remark in comparison_html([good, result], entries, [])
    result["worse_than_input"] = ["a.png"]
    result["mean"]["psnr"] = result["mean"]["psnr_noisy"] + 1
    assert worse_note(result) == "1 of 2 images score below their noisy input (a.png)"


class Screen(io.StringIO):
    """A stream that says whether it is a terminal."""

    def __init__(self, terminal):
        super().__init__()
        self._terminal = terminal

    def isatty(self):
        return self._terminal


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_redraws_on_a_terminal_only(terminal):
    screen = Screen(terminal)
    ticks = iter([0.0, 2.0, 4.0, 6.0, 6.0])
    watch = Watch(3, stream=screen, clock=lambda: next(ticks))
    for name, psnr in (("a.png", 30.0), ("b.png", None), ("c.png", 20.0)):
        watch("model", {"name": name, "psnr": psnr})
    text = screen.getvalue()
    assert ("\r" in text) == terminal
    assert "image 1/3 | a.png 30.00 dB | mean 30.00 dB | 2.0 s/image | 0:04 left" in text
    assert "image 3/3 | c.png 20.00 dB | mean 25.00 dB | 2.0 s/image | 0:00 left" in text
    assert text.endswith("\n")
    assert "model" not in text
