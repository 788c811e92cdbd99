"""Grey photographs and the grey weights that ship beside the colour ones."""

import numpy as np
import pytest
from evaluation_case import Fake, Images, blur, photographs
from photo_samples import by_opencv, read_opencv
from tiny_run import make_run

from gradnet_tf import denoiser as denoiser_module
from gradnet_tf import weights
from gradnet_tf.cli import main as cli
from gradnet_tf.denoiser import Denoiser, load_denoiser
from gradnet_tf.evaluation.evaluate_set import EvaluateConfig, evaluate
from gradnet_tf.evaluation.tables import notes, result_table
from gradnet_tf.images.channels import is_gray

GRAY = "gradnet_small_gray_blind"
SHIPPED = {"kind": "weights"}


def scene(noise=25.0):
    """A grey picture of soft shapes, clean and noisy, uint8 (72, 80)."""
    rows, columns = np.mgrid[:72, :80]
    clean = 128 + 60 * np.sin(rows / 9) + 50 * (columns > 40)
    noisy = clean + np.random.default_rng(5).normal(0, noise, clean.shape)
    return (np.rint(np.clip(values, 0, 255)).astype(np.uint8) for values in (clean, noisy))


@pytest.fixture
def photos(tmp_path):
    """Two grey pictures, one with 16 bits and a colour one."""
    folder = tmp_path / "photos"
    folder.mkdir()
    grey = list(scene())[1]
    colour = np.random.default_rng(1).integers(0, 256, (20, 24, 3), dtype=np.uint8)
    (folder / "a.png").write_bytes(by_opencv(grey, ".png"))
    (folder / "b.png").write_bytes(by_opencv(grey.astype(np.uint16) * 257, ".png"))
    (folder / "c.png").write_bytes(by_opencv(colour, ".png"))
    return folder


def replicating(denoiser):
    """The same network, without a grey partner: grey pictures are replicated for it."""
    return Denoiser(denoiser.runner, denoiser.name)


def denoised(photos, tmp_path, model):
    output = tmp_path / "out"
    arguments = ["denoise", str(photos), "--output", str(output), "--model", model]
    assert cli.main(arguments) == 0
    return {path.name: read_opencv(path.read_bytes()) for path in output.glob("*.png")}


@pytest.mark.parametrize(
    ("model", "name", "partner"),
    [
        ("default", weights.DEFAULT, weights.GRAY),
        ("gradnet_small", "gradnet_small_color_blind", GRAY),
        ("gradnet_small_color_blind", "gradnet_small_color_blind", GRAY),
    ],
)
def test_gray_pictures_go_through_the_gray_weights_that_ship(
    photos, tmp_path, capsys, model, name, partner
):
    found = denoised(photos, tmp_path, model)
    said = [line for line in capsys.readouterr().err.splitlines() if partner in line]
    assert len(said) == 1 and name in said[0]
    pixels = {name: read_opencv((photos / name).read_bytes()) for name in found}
    gray, colour = Denoiser(partner), replicating(Denoiser(model))
    np.testing.assert_array_equal(found["a.png"], gray(pixels["a.png"]))
    np.testing.assert_array_equal(found["b.png"], gray(pixels["b.png"]))
    np.testing.assert_array_equal(found["c.png"], colour(pixels["c.png"]))
    clean = next(scene()).astype(float)
    errors = [
        np.mean((result - clean) ** 2) for result in (found["a.png"], colour(pixels["a.png"]))
    ]
    assert errors[0] < 0.5 * errors[1]


def test_a_path_stays_what_it_is(photos, tmp_path, capsys):
    """Also a run that is called like weights that ship."""
    run, _ = make_run(tmp_path / "gradnet_small_color_blind")
    found = denoised(photos, tmp_path, str(run))
    assert GRAY not in capsys.readouterr().err
    pixels = read_opencv((photos / "a.png").read_bytes())
    np.testing.assert_array_equal(found["a.png"], load_denoiser(str(run))(pixels))


def test_color_pictures_load_no_gray_weights(photos, tmp_path, capsys):
    assert "c.png" in denoised(photos / "c.png", tmp_path, "default")
    assert GRAY not in capsys.readouterr().err


@pytest.mark.parametrize("strength", [{}, {"luma": 0.5}, {"self_ensemble": True}])
def test_a_denoiser_knows_gray_pictures_of_every_shape(strength, capsys):
    """(H, W), with alpha, and stored as RGB with three equal channels."""
    denoiser, grey = Denoiser("gradnet_small"), list(scene())[1]
    wanted = Denoiser(GRAY)(grey, **strength)
    alpha = np.full_like(grey, 9)
    np.testing.assert_array_equal(denoiser(grey, **strength), wanted)
    as_rgb = denoiser(np.stack([grey] * 3 + [alpha], axis=-1), **strength)
    np.testing.assert_array_equal(as_rgb, np.stack([wanted] * 3 + [alpha], axis=-1))
    with_alpha = denoiser(np.stack([grey, alpha], axis=-1)[None], **strength)
    np.testing.assert_array_equal(with_alpha[0], np.stack([wanted, alpha], axis=-1))
    assert capsys.readouterr().err.count(GRAY) == 1


def test_one_other_pixel_makes_a_picture_color():
    pixels = np.zeros((4, 5, 3), np.uint8)
    assert is_gray(pixels) and is_gray(pixels[..., :1])
    pixels[3, 4, 2] = 1
    assert not is_gray(pixels)


def test_without_a_partner_gray_is_replicated():
    denoiser, grey = Denoiser("gradnet_tiny"), list(scene())[1]
    assert denoiser.for_gray() is denoiser
    wanted = denoiser(np.stack([grey] * 3, axis=-1)).astype(int)
    assert np.abs(denoiser(grey) - wanted.mean(axis=-1)).max() <= 1


@pytest.mark.parametrize(
    ("name", "source", "partner"),
    [
        ("gradnet_small_color_blind", SHIPPED, GRAY),
        (weights.DEFAULT, SHIPPED, weights.GRAY),
        (weights.AUTO, SHIPPED, weights.GRAY),
        ("gradnet_small_color_s25", SHIPPED, None),
        ("gradnet_tiny_color_blind", SHIPPED, None),
        (GRAY, SHIPPED, None),
        ("median", {"kind": "classical"}, None),
        ("gradnet_small_color_blind", {"kind": "run"}, None),
        ("gradnet_small_color_blind", None, None),
    ],
)
def test_partners(name, source, partner):
    assert weights.gray_partner(name, source) == partner


def test_an_evaluation_replicates_and_names_the_gray_weights():
    grey = {name: image[..., :1] for name, image in photographs(1).items()}
    colour = Fake(blur, name="gradnet_small_color_blind")
    colour.source = SHIPPED
    result = evaluate(colour, Images(grey), EvaluateConfig())
    assert result["conversion"] == "gray replicated to RGB, result averaged"
    hint = f"channels: {result['conversion']} (the gray weights are {GRAY})"
    assert hint in notes(result) and hint in result_table(result)
    result["source"] = {"kind": "run"}
    assert f"channels: {result['conversion']}" in notes(result)


def test_the_note_names_a_precision_that_the_user_has_not_been_told(capsys):
    color = load_denoiser("gradnet_small_color_blind", "float32", runtime="litert")
    assert denoiser_module._other_precision(color, color) == ""
    rounded = load_denoiser(GRAY, "int8", runtime="litert")
    assert denoiser_module._other_precision(rounded, color) == ", in int8"
    assert denoiser_module._other_precision(rounded, rounded) == ""
    assert color.for_gray().source["precision"] == "float32"  # as it was asked for
    assert GRAY in capsys.readouterr().err
