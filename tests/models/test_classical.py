"""Classical denoisers: any size, grey and colour, less noise, and the way to them by name."""

import importlib.util
import sys

import numpy as np
import pytest

from gradnet_tf.cli.main import main as gradnet
from gradnet_tf.denoiser import load_denoiser
from gradnet_tf.models.classical import (
    CLASSICAL,
    append_estimate,
    classical_denoiser,
    classical_name,
)
from gradnet_tf.utils.errors import UserError

NAMES = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(
            name == "bm3d" and importlib.util.find_spec("bm3d") is None,
            reason="the package bm3d is not installed (its licence is non-commercial)",
        ),
    )
    for name in CLASSICAL
]
RNG = np.random.default_rng(4)


def picture(channels, size=32, sigma=25):
    """A smooth picture with an edge, (noisy, clean) float32 (1, H, W, C)."""
    clean = np.linspace(0.2, 0.6, size)[None, :, None] + np.linspace(0, 0.2, size)[:, None, None]
    clean = np.repeat(clean, channels, axis=-1)
    clean[:, size // 2 :, 0] *= 0.5
    noise = RNG.standard_normal(clean.shape) * sigma / 255
    return (clean + noise).astype("float32")[None], clean.astype("float32")[None]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("channels", [1, 3])
def test_noise_goes_and_the_result_is_always_the_same(name, channels):
    noisy, clean = picture(channels)
    denoise = classical_denoiser(name, threads=1)
    denoised = denoise(noisy, 25)
    assert denoised.shape == noisy.shape and denoised.dtype == np.float32
    assert ((denoised - clean) ** 2).mean() < 0.2 * ((noisy - clean) ** 2).mean()
    np.testing.assert_array_equal(denoise(noisy, 25), denoised)
    # The noise level is live: told of none, it leaves everything.
    np.testing.assert_array_equal(denoise(noisy, 0), noisy)
    assert np.abs(denoise(noisy, 5) - denoised).max() > 0.02


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (8, 8), (13, 30)])
def test_any_size_from_one_pixel(name, size):
    images = RNG.random((2, *size, 3), dtype=np.float32)
    images[1] = 0.5  # neither a structure nor a colour
    denoised = classical_denoiser(name)(images, np.float32([10, 50]))
    assert denoised.shape == images.shape and np.isfinite(denoised).all()
    np.testing.assert_allclose(denoised[1], 0.5, atol=2 / 255)


def test_colors_are_not_exchanged():
    noisy, clean = picture(3)
    clean[..., 2] *= 0.3
    noisy[..., 2] *= 0.3
    denoised = classical_denoiser("opencv_nlm")(noisy, 25)
    np.testing.assert_allclose(denoised.mean((0, 1, 2)), clean.mean((0, 1, 2)), atol=0.01)


def test_the_estimate_follows_the_image():
    noisy, _ = picture(3)
    denoise = classical_denoiser("opencv_nlm")
    both = append_estimate(noisy, 25, denoise)
    np.testing.assert_array_equal(both[..., :3], noisy)
    np.testing.assert_array_equal(both[..., 3:], denoise(noisy, 25))


def test_a_missing_package_is_reported_with_command_and_licence(monkeypatch):
    monkeypatch.setitem(sys.modules, "bm3d", None)
    with pytest.raises(UserError, match=r'pip install "\.\[bm3d\]" .*non-commercial use only'):
        load_denoiser("bm3d")


def test_a_file_of_the_name_goes_first(tmp_path, monkeypatch):
    assert classical_name("opencv_nlm") == "opencv_nlm" and classical_name(None) is None
    monkeypatch.chdir(tmp_path)
    (tmp_path / "opencv_nlm").write_text("x")
    assert classical_name("opencv_nlm") is None


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("channels", [1, 3])
def test_load_denoiser_takes_gray_and_color(name, channels):
    denoiser = load_denoiser(name)
    noisy, clean = picture(channels, 32)
    assert denoiser.needs_sigma and denoiser.channels is None and denoiser.model is None
    denoised = denoiser.denoise(noisy, 25.0)
    expected = np.clip(classical_denoiser(name)(noisy, 25), 0, 1)
    np.testing.assert_allclose(denoised, expected, atol=1e-4)
    assert denoiser.naive(noisy, 25.0) is None
    pixels = np.rint(np.clip(noisy[0], 0, 1) * 255).astype("uint8")
    assert denoiser(pixels, sigma=25.0).shape == pixels.shape
    assert denoiser.source["kind"] == "classical"


def test_wrong_channels_and_precisions_are_refused():
    denoiser = load_denoiser("opencv_nlm")
    with pytest.raises(UserError, match=r"takes \(N, H, W, 1 or 3\)"):
        denoiser.denoise(np.zeros((1, 4, 4, 2), "float32"), 25.0)
    with pytest.raises(
        UserError,
        match="--model=opencv_nlm: is not a network and has no precision",
    ):
        load_denoiser("opencv_nlm", "mixed_bfloat16")


def test_gradnet_denoise_estimates_the_level(make_images, tmp_path, capsys):
    photos = make_images("photos", ["a.png"])
    flags = ["denoise", str(photos), "--output", str(tmp_path / "out"), "--model", "opencv_nlm"]
    assert gradnet(flags) == 0
    assert (tmp_path / "out" / "a.png").exists()
    assert "estimated: sigma=" in capsys.readouterr().err


def test_gradnet_models_lists_them(capsys):
    assert gradnet(["models"]) == 0
    listed = capsys.readouterr().out
    assert "bm3d: BM3D (needs the package bm3d" in listed and "opencv_nlm: non-local" in listed
