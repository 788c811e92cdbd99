"""Scores of an evaluation against scikit-image, hand-made numbers and the rules of its noise."""

import json
import math

import numpy as np
import pytest
from evaluation_case import Fake, Images, blur, photographs
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from gradnet_tf.evaluation.evaluate_set import EvaluateConfig, evaluate
from gradnet_tf.evaluation.tables import metrics_csv, notes, rank, result_table
from gradnet_tf.images.channels import PER_CHANNEL, REPLICATED
from gradnet_tf.utils.errors import UserError


def grey_field(size=320):
    return np.full((size, size, 3), 128, np.uint8)


def test_scores_equal_scikit_image():
    images = photographs(2)
    denoiser = Fake(blur, naive=lambda image: blur(image, 0.7))
    result = evaluate(denoiser, Images(images), EvaluateConfig())
    window = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    for row, noisy in zip(result["images"], denoiser.given, strict=True):
        clean = (images[row["name"]] / 255).astype(np.float32)
        denoised = np.clip(blur(noisy[0]), 0, 1)
        rounded = np.rint(denoised * 255) / 255
        naive = np.clip(blur(noisy[0], 0.7), 0, 1)
        expected = {
            "psnr": denoised,
            "psnr_uint8": rounded,
            "psnr_noisy": noisy[0],
            "psnr_naive": naive,
        }
        for key, image in expected.items():
            reference = peak_signal_noise_ratio(clean, image.astype(np.float32), data_range=1.0)
            assert row[key] == pytest.approx(reference, abs=1e-4), key
        for key, image in (("ssim", denoised), ("ssim_noisy", noisy[0]), ("ssim_naive", naive)):
            reference = structural_similarity(
                clean, image, data_range=1.0, channel_axis=-1, **window
            )
            assert row[key] == pytest.approx(reference, abs=1e-5), key
    for key in ("psnr", "psnr_uint8", "ssim", "psnr_noisy", "psnr_naive"):
        values = [row[key] for row in result["images"]]
        assert result["mean"][key] == pytest.approx(sum(values) / len(values))


def test_the_self_ensemble_is_the_mean_over_eight_flips():
    def lopsided(image):
        return image * np.linspace(0.5, 1, image.shape[1], dtype=np.float32)[:, None]

    images = photographs(1)
    denoiser, rows = Fake(lopsided), []
    result = evaluate(
        denoiser, Images(images), EvaluateConfig(self_ensemble=True), on_example=rows.append
    )
    assert result["self_ensemble"] and len(denoiser.given) == 8
    noisy, total = rows[0].noisy, 0
    for turns in range(4):
        total = total + np.rot90(lopsided(np.rot90(noisy, turns)), -turns)
        total = total + np.rot90(lopsided(np.rot90(noisy[:, ::-1], turns)), -turns)[:, ::-1]
    np.testing.assert_allclose(rows[0].denoised, np.clip(total / 8, 0, 1), atol=1e-6)


def test_noisy_psnr_of_a_gray_field_is_that_of_the_noise():
    result = evaluate(Fake(), Images({"field.png": grey_field()}), EvaluateConfig(sigma=25))
    # 20 log10(255 / 25) = 20.17; nothing is clipped at mid grey, so all four agree.
    expected = 20 * math.log10(255 / 25)
    assert result["mean"]["psnr_noisy"] == pytest.approx(expected, abs=0.05)
    assert result["mean"]["psnr"] == pytest.approx(result["mean"]["psnr_noisy"], abs=0.01)


def test_identity_scores_the_clipped_noisy_image():
    white = {"white.png": np.full((64, 64, 3), 255, np.uint8)}
    denoiser = Fake()
    (row,) = evaluate(denoiser, Images(white), EvaluateConfig(sigma=50))["images"]
    noisy = denoiser.given[0][0]
    assert noisy.max() > 1
    clipped = 10 * math.log10(1 / np.mean((np.clip(noisy, 0, 1) - 1.0) ** 2))
    assert row["psnr"] == pytest.approx(clipped, abs=1e-4)
    # Half of the noise is gone: clipping gains 3 dB on white.
    assert row["psnr"] - row["psnr_noisy"] == pytest.approx(3.0, abs=0.2)


def test_clip_noisy_changes_the_input_and_is_recorded():
    white = {"white.png": np.full((32, 32, 3), 250, np.uint8)}
    denoiser = Fake()
    result = evaluate(denoiser, Images(white), EvaluateConfig(clip_noisy=True))
    assert denoiser.given[0].max() == 1.0
    assert result["clip_noisy"] is True
    assert result["mean"]["psnr_noisy"] == pytest.approx(result["mean"]["psnr"])


def test_noise_depends_on_name_and_seed_alone():
    images = photographs(3)
    reordered = {name: images[name] for name in ("c.png", "a.png")}
    moved = {"folder/c.jpg": images["c.png"]}
    runs = []
    for chosen in (images, reordered, moved):
        denoiser = Fake()
        evaluate(denoiser, Images(chosen), EvaluateConfig(seed=3))
        stems = [name.rsplit("/")[-1].split(".")[0] for name in chosen]
        runs.append(dict(zip(stems, denoiser.given, strict=True)))
    for run in runs[1:]:
        for stem, noisy in run.items():
            np.testing.assert_array_equal(noisy, runs[0][stem])
    other = Fake()
    evaluate(other, Images(images), EvaluateConfig(seed=4))
    assert not np.array_equal(other.given[0], runs[0]["a"])
    # Two images of one size get different noise.
    same = Fake()
    evaluate(same, Images({"x.png": grey_field(16), "y.png": grey_field(16)}), EvaluateConfig())
    assert not np.array_equal(*same.given)


def test_sigma_scales_the_noise_and_zero_is_exact():
    images = Images(photographs(1))
    given = {}
    for sigma in (0.0, 10.0, 20.0):
        denoiser = Fake()
        result = evaluate(denoiser, images, EvaluateConfig(sigma=sigma))
        given[sigma] = denoiser.given[0]
        assert denoiser.sigmas == [sigma]
        assert result["sigma"] == sigma
    clean = given[0.0]
    np.testing.assert_array_equal(clean[0], images.load(0).astype(np.float32) / np.float32(255))
    np.testing.assert_allclose(given[20.0] - clean, 2 * (given[10.0] - clean), atol=1e-6)


def test_perfect_output_counts_with_a_finite_limit():
    clean = photographs(1)
    result = evaluate(Fake(), Images(clean), EvaluateConfig(sigma=0))
    assert result["images"][0]["psnr"] == 100.0
    assert result["images"][0]["psnr_noisy"] == 100.0
    assert result["mean"]["psnr"] == 100.0
    assert result["exact_outputs"] == 1
    assert "1 image equals the clean one and counts with 100 dB" in notes(result)
    assert "1 image equals the clean one and counts with 100 dB" in result_table(result)
    assert rank([result], ["a"])[0]["psnr"] == 100.0
    assert metrics_csv(result).splitlines()[-1].split(",")[3] == "100.0"
    assert result["mean"]["ssim"] == pytest.approx(1.0, abs=1e-6)
    assert result["nan_outputs"] == 0
    json.dumps(result, allow_nan=False)


def test_one_exact_image_does_not_take_the_mean_away():
    def first_exact(image):
        return image if len(denoiser.given) == 1 else image + np.float32(0.01)

    denoiser = Fake(first_exact)
    result = evaluate(denoiser, Images(photographs(2)), EvaluateConfig(sigma=0))
    first, second = (row["psnr"] for row in result["images"])
    assert first == 100.0 and second == pytest.approx(40, abs=0.5)
    assert result["mean"]["psnr"] == (first + second) / 2
    assert result["exact_outputs"] == 1


def test_rounding_alone_is_lost_in_psnr_uint8():
    # An error below half a grey level vanishes when rounded.
    result = evaluate(
        Fake(lambda image: image + 0.001), Images(photographs(1)), EvaluateConfig(sigma=0)
    )
    assert result["images"][0]["psnr"] == pytest.approx(60, abs=0.5)
    assert result["images"][0]["psnr_uint8"] == 100.0


def test_nan_output_is_null_and_flagged_and_spoils_the_mean():
    def broken(image):
        # The first pixel of the second image only.
        output = image.copy()
        if len(denoiser.given) == 2:
            output[0, 0, 0] = np.nan
        return output

    denoiser = Fake(broken)
    result = evaluate(denoiser, Images(photographs(3)), EvaluateConfig())
    good, bad, also_good = result["images"]
    assert (good["problem"], also_good["problem"]) == (None, None)
    assert bad["problem"] == "the output has NaN values"
    assert [bad[key] for key in ("psnr", "psnr_uint8", "ssim")] == [None] * 3
    assert bad["psnr_noisy"] == pytest.approx(20.2, abs=0.5)
    assert result["nan_outputs"] == 1
    assert result["mean"]["psnr"] is None
    assert result["mean"]["psnr_noisy"] is not None
    json.dumps(result, allow_nan=False)


def test_infinite_output_is_clipped_and_scored():
    def hot(image):
        output = image.copy()
        output[0, 0] = np.inf
        return output

    # Clipping comes first, as it does in the denoiser itself.
    result = evaluate(Fake(hot), Images(photographs(1)), EvaluateConfig())
    assert result["nan_outputs"] == 0
    assert result["mean"]["psnr"] is not None


def test_gray_images_through_a_color_model():
    images = photographs(1, channels=1)
    # Averaging the three outputs makes up for the unequal treatment of the channels.
    offsets = np.array([-0.1, 0.0, 0.1], np.float32)
    denoiser = Fake(lambda image: image + offsets, naive=lambda image: image + offsets)
    result = evaluate(denoiser, Images(images), EvaluateConfig(sigma=5))
    assert result["conversion"] == REPLICATED
    batch = denoiser.given[0]
    assert batch.shape == (1, 40, 56, 3)
    np.testing.assert_array_equal(batch[..., 0], batch[..., 2])
    row = result["images"][0]
    assert row["psnr"] == pytest.approx(row["psnr_noisy"], abs=0.2)
    assert row["psnr_naive"] == pytest.approx(row["psnr"], abs=1e-4)


def test_color_images_through_a_gray_model():
    images = photographs(1)
    denoiser = Fake(blur, channels=1)
    result = evaluate(denoiser, Images(images), EvaluateConfig())
    assert result["conversion"] == PER_CHANNEL
    assert {batch.shape[-1] for batch in denoiser.given} == {1}
    # A blur treats the channels apart anyway.
    colour = evaluate(Fake(blur), Images(images), EvaluateConfig())
    assert colour["conversion"] is None
    assert result["mean"]["psnr"] == pytest.approx(colour["mean"]["psnr"], abs=1e-4)


def test_real_noise_replaces_the_made_one():
    clean = photographs(1)
    noisy = {"a.png": np.clip(clean["a.png"].astype(int) + 7, 0, 255).astype(np.uint8)}
    denoiser = Fake()
    result = evaluate(denoiser, Images(clean, noisy), EvaluateConfig(sigma=None))
    assert result["sigma"] is None
    assert denoiser.sigmas == [None]
    np.testing.assert_array_equal(
        denoiser.given[0][0], noisy["a.png"].astype("f4") / np.float32(255)
    )
    # A σ that is given anyway is not used, and not recorded.
    assert evaluate(Fake(), Images(clean, noisy), EvaluateConfig(sigma=25))["sigma"] is None


@pytest.mark.parametrize("size", [(1, 1), (10, 30), (11, 11)])
def test_images_smaller_than_the_ssim_window(size):
    images = {"tiny.png": np.full((*size, 3), 90, np.uint8), **photographs(1)}
    result = evaluate(Fake(), Images(images), EvaluateConfig())
    tiny, large = result["images"]
    assert (tiny["ssim"] is None) == (min(size) < 11)
    assert tiny["psnr"] is not None
    assert large["ssim"] is not None
    if min(size) < 11:
        assert result["mean"]["ssim"] == pytest.approx(large["ssim"])


def test_result_holds_what_the_contract_names():
    images = photographs(2)
    seen, rows = [], []
    config = EvaluateConfig(seed=7, precision="mixed_bfloat16")
    result = evaluate(Fake(blur), Images(images), config, rows.append, seen.append)
    contract = ("dataset split model sigma seed clip_noisy seconds images mean").split()
    assert set(contract) <= set(result)
    assert (result["dataset"], result["split"], result["model"]) == ("made", "test", "fake")
    assert (result["sigma"], result["seed"], result["clip_noisy"]) == (25.0, 7, False)
    assert (result["precision"], result["parameters"]) == ("mixed_bfloat16", 1234)
    assert {"name", "psnr", "psnr_uint8", "ssim", "psnr_noisy"} <= set(result["images"][0])
    assert {"psnr", "psnr_uint8", "ssim", "psnr_noisy"} <= set(result["mean"])
    assert result["mean"]["psnr_naive"] is None
    assert [row["name"] for row in rows] == [example.name for example in seen] == list(images)
    assert all(row["seconds"] >= 0 for row in rows)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"sigma": -3}, r"`sigma` must be in \[0, 255\]. Received: sigma=-3"),
        ({"sigma": 255.5}, r"`sigma` must be in \[0, 255\]"),
        ({"sigma": math.nan}, r"`sigma` must be in \[0, 255\]. Received: sigma=nan"),
        ({"seed": -1}, "`seed` must be at least 0. Received: seed=-1"),
        ({"max_images": 0}, "`max_images` must be at least 1. Received: max_images=0"),
        ({"precision": "float16"}, "`precision` must be one of auto, float32, bfloat16"),
    ],
)
def test_wrong_values_are_refused_with_their_name(values, words):
    with pytest.raises(UserError, match=words):
        EvaluateConfig(**values)


def test_an_empty_set_and_missing_noise_are_refused():
    with pytest.raises(UserError, match=r"made \(test\) has no images"):
        evaluate(Fake(), Images({}), EvaluateConfig())
    with pytest.raises(UserError, match=r"a.png has no noisy partner.*Received: sigma=None"):
        evaluate(Fake(), Images(photographs(1)), EvaluateConfig(sigma=None))
