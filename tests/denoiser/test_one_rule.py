"""One picture has one result: by every door, at every size, in every runtime."""

import json

import cv2
import numpy as np
import pytest
from script_case import exit_code, loaded_script

from gradnet_tf import denoiser as module
from gradnet_tf.cli.main import main
from gradnet_tf.denoiser import Denoiser, load_denoiser
from gradnet_tf.images.image_files import read_image, write_image
from gradnet_tf.tiling import tiler
from gradnet_tf.tiling.tile_config import TileConfig

NAME = "gradnet_tiny_color_blind"


@pytest.fixture(scope="module")
def picture():
    """A noisy picture of 190×210 pixels, one half dark and flat, the other bright and busy."""
    draw = np.random.default_rng(3)
    slope = np.linspace(0.05, 0.9, 210)[None, :, None]
    busy = draw.random((24, 27, 3)).repeat(8, 0).repeat(8, 1)[:190, :210]
    clean = np.where(slope > 0.5, 0.6 * busy + 0.3, slope)
    return np.rint(np.clip(clean + draw.normal(0, 0.1, clean.shape), 0, 1) * 255).astype(np.uint8)


@pytest.fixture(params=["pooled whole", "pooled by crops"])
def rule(request, monkeypatch):
    """The rule of small pictures, and that of large ones, which this picture then is."""
    if request.param == "pooled by crops":
        for each in (tiler, module):
            monkeypatch.setattr(each, "WHOLE_PIXELS", 20_000)
    return request.param


@pytest.mark.parametrize("runtime", ["auto", pytest.param("keras", marks=pytest.mark.slow)])
def test_every_door_gives_the_same_pixels(picture, rule, runtime, tmp_path, capsys):
    image = picture / np.float32(255)
    wanted = load_denoiser(NAME, runtime=runtime).denoise(image[None])[0]
    denoiser = Denoiser(NAME, runtime=runtime)
    for found in (
        denoiser(image),
        denoiser(image[None])[0],
        denoiser.denoise(image[None])[0],
        denoiser.denoise(np.stack([image, image[::-1]]))[0],
        load_denoiser(NAME, runtime=runtime)(image),
    ):
        np.testing.assert_allclose(found, wanted, atol=2e-6)

    write_image(tmp_path / "in" / "a.png", picture)
    arguments = ["denoise", str(tmp_path / "in"), "--output", str(tmp_path / "out")]
    assert main([*arguments, f"--model={NAME}", f"--runtime={runtime}"]) == 0
    written = read_image(tmp_path / "out" / "a.png")
    np.testing.assert_array_equal(written, denoiser(picture))
    assert np.abs(written - wanted * 255).max() < 0.501

    places = ("--dataset=folder", f"--data_dir={tmp_path / 'in'}", f"--output={tmp_path / 'e'}")
    options = (f"--model={NAME}", f"--runtime={runtime}", "--sigma=0", *places)
    assert exit_code(loaded_script("evaluate"), *options) == 0, capsys.readouterr().err
    metrics = json.loads((tmp_path / "e" / "metrics.json").read_text("utf-8"))
    psnr = -10 * np.log10(np.mean((wanted - image) ** 2, dtype=np.float64))
    assert metrics["images"][0]["psnr"] == pytest.approx(psnr, abs=1e-3)
    assert (metrics["pooling"], metrics["tile"]) == ("auto", "auto")
    assert metrics["images"][0]["psnr_naive"] is not None  # also where LiteRT denoises


def test_the_rules_differ_here_and_the_other_one_can_be_asked_for(picture, monkeypatch):
    image, denoiser = picture[None] / np.float32(255), Denoiser(NAME)
    whole, crops = (
        denoiser.denoise(image, None, TileConfig(pooling=rule)) for rule in ("whole", "crops")
    )
    assert 255 * np.abs(whole - crops).max() > 0.5
    np.testing.assert_array_equal(denoiser.denoise(image), whole)
    for each in (tiler, module):
        monkeypatch.setattr(each, "WHOLE_PIXELS", 20_000)
    np.testing.assert_array_equal(denoiser.denoise(image), crops)
    np.testing.assert_array_equal(denoiser.denoise(image, None, TileConfig(pooling="whole")), whole)


def test_the_command_takes_the_rule(picture, tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), picture[..., ::-1])
    arguments = ["denoise", str(tmp_path / "a.png"), f"--model={NAME}", "--pooling=crops"]
    assert main([*arguments, "--output", str(tmp_path / "out")]) == 0
    wanted = Denoiser(NAME)(picture, tiles=TileConfig(pooling="crops"))
    np.testing.assert_array_equal(read_image(tmp_path / "out" / "a.png"), wanted)
