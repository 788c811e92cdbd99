"""The Denoiser: shapes, clipping, traces, channels, strength, and how far a network looks."""

import os
from pathlib import Path

import numpy as np
import pytest
from tiny_run import make_run, tiny_model

from gradnet_tf.denoiser import Denoiser, load_denoiser
from gradnet_tf.images.channels import PER_CHANNEL, REPLICATED, adapt_channels, adaptation
from gradnet_tf.runtimes.keras_runtime import KerasRunner
from gradnet_tf.tiling.tiler import info_of
from gradnet_tf.utils.errors import UserError


@pytest.fixture(scope="module")
def denoiser():
    return Denoiser(KerasRunner(tiny_model()), "tiny")


@pytest.fixture(scope="module")
def grey_denoiser():
    return Denoiser(KerasRunner(tiny_model("dncnn_tiny", channels=1)), "grey")


def noisy_images(*shape):
    return np.random.default_rng(5).normal(0.5, 0.4, shape).astype(np.float32)


def test_denoise_is_the_clipped_model(denoiser):
    images = noisy_images(2, 37, 31, 3)
    plain = np.asarray(denoiser.model(images))
    assert plain.min() < 0 and plain.max() > 1, "the clipping must matter here"
    found = denoiser.denoise(images)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.clip(plain, 0, 1), atol=1e-5)


def test_one_trace_serves_all_sizes(denoiser):
    for shape in ((1, 1, 1, 3), (2, 5, 9, 3), (1, 64, 33, 3), (3, 2, 2, 3)):
        assert denoiser.denoise(noisy_images(*shape)).shape == shape
    assert denoiser.runner.num_traces == 1


def resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="tells memory on Linux only")
def test_random_sizes_leave_traces_and_memory_as_they_are(denoiser):
    """`Model.predict` in a loop over sizes retraces, and keeps what it allocates for each.

    TensorFlow keeps prepared kernels of the last thousand pairs of operation
    and size, which the first 200 sizes fill; the next 200 add next to nothing.
    """
    random = np.random.default_rng(0)
    picture = random.integers(0, 256, (120, 120, 3), np.uint8)
    memory = []
    for height, width in random.integers(1, 121, (400, 2)):
        part = picture[:height, :width]
        assert denoiser(part).shape == part.shape
        memory.append(resident_bytes())
    assert denoiser.runner.num_traces == 1
    assert max(memory[200:]) - max(memory[:200]) < 60e6


def test_a_name_or_a_path_is_enough(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (20, 24, 3), np.uint8)
    run, _ = make_run(tmp_path / "run")
    for model in ("gradnet_tiny", run):
        named, loaded = Denoiser(model), load_denoiser(str(model), runtime="auto")
        assert (named.name, named.source) == (loaded.name, loaded.source)
        np.testing.assert_array_equal(named(picture), loaded(picture))
    assert Denoiser().name == load_denoiser("auto").name
    with pytest.raises(UserError, match="model='nonsense': no such file, folder or name"):
        Denoiser("nonsense")


def test_naive_is_what_the_model_calls_naive(denoiser):
    images = noisy_images(1, 21, 18, 3)
    wanted = np.asarray(denoiser.model(images, return_intermediates=True)["naive"])
    np.testing.assert_allclose(denoiser.naive(images), np.clip(wanted, 0, 1), atol=1e-6)


def test_a_model_without_naive_denoiser_has_no_naive_estimate(grey_denoiser):
    assert grey_denoiser.naive(noisy_images(1, 8, 8, 1)) is None


def test_facts(denoiser, grey_denoiser):
    assert (denoiser.channels, grey_denoiser.channels) == (3, 1)
    assert denoiser.needs_sigma is False
    assert denoiser.parameters == denoiser.model.count_params()
    known = ("kind", "path", "preset", "sha256", "run", "trained_sigma", "runtime", "precision")
    assert denoiser.source == dict.fromkeys((*known, "camera"))


def test_an_empty_batch_stays_empty(denoiser):
    assert denoiser.denoise(np.zeros((0, 4, 4, 3), np.float32)).shape == (0, 4, 4, 3)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (np.zeros((4, 4, 3), np.float32), r"takes \(N, H, W, 3\)\. Received: shape \(4, 4, 3\)"),
        (np.zeros((1, 4, 4, 1), np.float32), r"Received: shape \(1, 4, 4, 1\)"),
        (np.zeros((1, 4, 4, 3), np.uint8), "expected float values .* Received: uint8"),
    ],
)
def test_wrong_arrays_are_refused(denoiser, images, words):
    with pytest.raises(UserError, match=words):
        denoiser.denoise(images)


def test_uint8_in_uint8_out(denoiser):
    picture = np.random.default_rng(1).integers(0, 256, (19, 23, 3), dtype=np.uint8)
    unit = denoiser.denoise(picture[None].astype(np.float32) / 255)[0]
    found = denoiser(picture)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, np.rint(unit * np.float32(255)))


def test_strength_blends(denoiser):
    picture = np.random.default_rng(1).integers(0, 256, (19, 23, 3), dtype=np.uint8)
    full = denoiser(picture).astype(float)
    assert np.abs(full - picture).max() > 5, "the network must change the picture here"
    np.testing.assert_array_equal(denoiser(picture, strength=0.0), picture)
    half = denoiser(picture, strength=0.5).astype(float)
    assert np.abs(half - (full + picture) / 2).max() <= 1.0


@pytest.mark.parametrize(
    ("strength", "words"),
    [
        (-0.1, r"expected a number in \[0, 2\]"),
        (1.1, r"more than 1 is .* takes none. Expected a number in \[0, 1\]"),
        (float("nan"), r"expected a number in \[0, 2\]"),
    ],
)
def test_strength_outside_its_range_is_refused(denoiser, strength, words):
    with pytest.raises(UserError, match=f"strength: {words}"):
        denoiser(np.zeros((4, 4, 3), np.uint8), strength=strength)


def test_gray_through_a_color_model_is_replicated_and_averaged(denoiser):
    assert adaptation(1, 3) == REPLICATED
    grey = noisy_images(1, 12, 15, 1)
    three = denoiser.denoise(np.concatenate([grey] * 3, axis=-1))
    found = adapt_channels(denoiser.denoise, grey, denoiser.channels)
    np.testing.assert_allclose(found[..., 0], three.sum(axis=-1) / 3, atol=1e-6)
    picture = np.random.default_rng(1).integers(0, 256, (9, 8, 1), dtype=np.uint8)
    assert denoiser(picture).shape == (9, 8, 1)


def test_color_through_a_gray_model_goes_channel_by_channel(grey_denoiser):
    assert adaptation(3, 1) == PER_CHANNEL
    colour = noisy_images(2, 12, 15, 3)
    found = adapt_channels(grey_denoiser.denoise, colour, 1)
    for channel in range(3):
        wanted = grey_denoiser.denoise(colour[..., channel : channel + 1])
        np.testing.assert_array_equal(found[..., channel : channel + 1], wanted)


def test_equal_channels_need_no_adaption_and_others_are_refused():
    assert adaptation(3, 3) is None
    with pytest.raises(UserError, match="does not take an image of 4"):
        adaptation(4, 3)
    assert adapt_channels(lambda images: None, noisy_images(1, 2, 2, 1), 3) is None


@pytest.mark.parametrize(
    ("preset", "radius"),
    [
        ("dncnn_tiny", 4 * 2 + 1),
        # 2 modules of 3 convolutions and one to reconstruct are 7 blocks, or 15 pixels;
        # the Sobel sees 1 and the naive denoiser 9.
        ("gradnet_tiny", 15 + 1 + 9),
        # 16 convolutions, four of which see two pixels.
        ("adnet", 12 + 4 * 2),
        ("ffdnet", 12 * 2 + 1),
    ],
)
def test_the_receptive_radius_bounds_what_a_pixel_changes(preset, radius):
    model = tiny_model(preset, gain=1000.0)
    assert model.receptive_radius == radius
    side = 2 * radius + 9
    images = noisy_images(1, side, side, 3)
    fixed = {"sigma": np.float32([25])} if preset == "ffdnet" else {}
    if preset.startswith("gradnet"):  # the attention sees everything, so it is held
        fixed["attention"] = model(images, return_intermediates=True)["attention"]
    before = np.asarray(model(images, **fixed))
    reached = 0
    for centre in (side // 2, side // 2 + 1):  # both pixels of a block
        changed = images.copy()
        changed[0, centre, centre] += 5.0
        rows = np.abs(np.asarray(model(changed, **fixed)) - before).max(axis=(0, 2, 3))
        touched = np.flatnonzero(rows)
        reached = max(reached, centre - touched.min(), touched.max() - centre)
    assert radius - 2 <= reached <= radius


def test_a_network_without_a_rule_has_no_radius():
    with pytest.raises(TypeError, match="no rule for the receptive radius of dict"):
        info_of({})
