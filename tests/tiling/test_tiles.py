"""Tiles: every size gives the picture that one piece gives, at every network and at the seams."""

import numpy as np
import pytest
from tiny_run import tiny_model

from gradnet_tf.denoiser import Denoiser
from gradnet_tf.models import DnCNN, FixedSigma, GivenEstimate, GradNet, MSKResnet
from gradnet_tf.models.base import build_model
from gradnet_tf.runtimes.classical_runtime import ClassicalRunner
from gradnet_tf.runtimes.keras_runtime import KerasRunner, runner_for
from gradnet_tf.tiling import tiler
from gradnet_tf.tiling.tile_config import TileConfig
from gradnet_tf.tiling.tiler import (
    PixelFormat,
    attention_vectors,
    choose_tile,
    map_tiles,
    sampled_parts,
    spans,
    windows,
)
from gradnet_tf.utils.errors import UserError

WHOLE = TileConfig("whole")


@pytest.fixture(scope="module")
def denoiser():
    return Denoiser(KerasRunner(tiny_model()), "tiny")


@pytest.fixture
def large_above(monkeypatch):
    """Makes pictures above 1500 pixels large ones, whose vectors come from crops of 16."""
    monkeypatch.setattr(tiler, "WHOLE_PIXELS", 1500)
    monkeypatch.setattr(tiler, "CROP_SIDE", 16)


def noisy_images(*shape):
    """A dark and a bright half with noise, so that statistics differ from tile to tile."""
    steps = np.linspace(0.1, 0.9, shape[-2], dtype=np.float32)[:, None]
    return (steps + np.random.default_rng(5).normal(0, 0.2, shape)).astype(np.float32)


@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize("block", [1, 2, 4])
@pytest.mark.parametrize("length", [1, 15, 16, 33, 34, 35, 36, 37, 63, 64, 100, 101, 102, 103])
def test_spans_cover_an_axis_once_with_equal_windows_and_their_margins(length, block, fixed):
    found = spans(length, 16, 9, block, fixed)
    kept = [place for span in found for place in range(span.first, span.last)]
    assert kept == list(range(length))
    halo = -(-9 // block) * block
    sizes = {span.stop - span.start for span in found[:-1]} or {length}
    assert len(sizes) == 1
    assert max(sizes) - block < found[-1].stop - found[-1].start <= max(sizes)
    for span in found:
        assert span.start % block == 0
        assert span.start == 0 or span.first - span.start >= halo
        assert span.stop == length or span.stop - span.last >= halo
        assert span.stop <= length
    most = 16 + 2 * halo
    assert max(sizes) == min(most, length) if fixed or len(found) == 1 else max(sizes) <= most


def test_windows_are_no_larger_than_their_number_needs():
    """2449 pixels in windows of up to 1024 take three; 2449 + 4 · 51 pixels in all do."""
    sizes = [span.stop - span.start for span in spans(2449, 922, 51)]
    assert sizes == [885, 885, 885]
    assert [span.stop - span.start for span in spans(2449, 922, 51, fixed=True)] == [1024] * 3


@pytest.mark.parametrize(
    ("preset", "block"), [("dncnn_tiny", 2), ("gradnet_tiny", 2), ("ffdnet", 2), ("adnet", 1)]
)
def test_tiles_of_any_size_agree_with_the_whole(preset, block):
    model = tiny_model(preset, gain=100.0)
    assert model.block_side == block
    denoiser = Denoiser(KerasRunner(model), preset)
    images = noisy_images(1, 91, 78, 3)
    level = 25.0 if denoiser.needs_sigma else None
    whole = denoiser.denoise(images, level)
    assert np.abs(whole - images).max() > 0.05, "the network must change the picture here"
    for tile in (16, 21, 32, "whole", "auto"):
        found = denoiser.denoise(images, level, TileConfig(tile))
        np.testing.assert_allclose(found, whole, atol=2e-5)


def test_a_u_net_tiles_exactly_on_blocks_of_four():
    model = build_model_of("cbdnet", 8)
    assert model.block_side == 4
    denoiser = Denoiser(KerasRunner(model), "cbdnet")
    side = 2 * model.receptive_radius + 35
    images = noisy_images(1, side, side + 2, 3)
    found = denoiser.denoise(images, None, TileConfig(17))
    np.testing.assert_allclose(found, denoiser.denoise(images), atol=2e-5)


def build_model_of(kind, filters):
    """A CBDNet of few channels, since the preset takes seconds at this size."""
    from gradnet_tf.models import CBDNet

    assert kind == "cbdnet"
    model = build_model(CBDNet(estimator_filters=4, filters=filters))
    model.reconstruction.kernel.assign(model.reconstruction.kernel * 300.0)
    return model


def test_a_naive_denoiser_with_attention_gets_its_vectors_too():
    naive = MSKResnet(filters=8, num_modules=1, num_units=1)
    model = build_model(GradNet(naive, filters=8, num_modules=1, num_units=1))
    for network in (model, naive):
        kernel = network.reconstruction.kernel
        kernel.assign(kernel * 300.0)
    assert model.attention_widths == (16, 22)
    denoiser = Denoiser(KerasRunner(model), "nested")
    images = noisy_images(1, 60, 70, 3)
    whole = denoiser.denoise(images)
    np.testing.assert_allclose(denoiser.denoise(images, None, TileConfig(16)), whole, atol=2e-5)
    vectors = model(images, return_intermediates=True)["attention"]
    held = model(images[:, :40], attention=[np.ones_like(v) for v in vectors])
    assert np.abs(np.asarray(held) - np.asarray(model(images[:, :40]))).max() > 1e-4


def test_an_estimate_from_outside_is_made_once_and_then_cut():
    given = GivenEstimate("opencv_nlm", 25.0)
    model = build_model(GradNet(given, filters=8, num_modules=1, num_units=1))
    model.reconstruction.kernel.assign(model.reconstruction.kernel * 300.0)
    assert (given.receptive_radius, given.bytes_per_pixel) == (0, 0.0)
    denoiser = Denoiser(runner_for(model), "guided")
    images = noisy_images(1, 50, 60, 3)
    whole = denoiser.denoise(images)
    np.testing.assert_allclose(denoiser.denoise(images, None, TileConfig(16)), whole, atol=2e-5)
    assert denoiser.runner._runner.num_tile_traces == (1, 1)


def seam(model, error, tile):
    """Returns the mean step of a signed error map (H, W, C) from tile to tile, down the rows."""
    cut = windows(error.shape[:2], tile, model.receptive_radius, model.block_side)
    borders = sorted({row.first for row, _ in cut} - {0})
    assert borders, "the picture must have more than one row of tiles"
    return np.abs(error[borders] - error[[row - 1 for row in borders]]).mean()


@pytest.mark.usefixtures("large_above")
def test_large_pictures_agree_at_all_sizes_and_show_no_seam(denoiser):
    picture = np.clip(noisy_images(1, 181, 170, 3)[0] * 255, 0, 255).astype(np.uint8)
    image = picture / np.float32(255)
    whole = denoiser(picture, tiles=WHOLE).astype(int)
    exact = denoiser.denoise(image[None], None, WHOLE)[0]
    for tile in (16, 32, 64):
        assert np.abs(denoiser(picture, tiles=TileConfig(tile)).astype(int) - whole).max() <= 1
        error = denoiser.denoise(image[None], None, TileConfig(tile))[0] - exact
        assert np.abs(error).max() < 2e-5  # 1/255 is 4e-3
        assert seam(denoiser.model, error, tile) < 1e-6
    # The statistics are those of the crops, not those of all of the picture.
    pooled = denoiser.denoise(image[None], None, TileConfig(pooling="whole"))[0]
    assert np.abs(exact - pooled).max() > 1e-5


def test_naive_tiling_would_show(denoiser):
    """Tiles with an attention of their own, as a check that the tests here can fail."""
    image, model = noisy_images(1, 91, 78, 3)[0], denoiser.model
    cut = windows(image.shape[:2], 16, model.receptive_radius, model.block_side)
    own = map_tiles(lambda part: np.asarray(model(part)), image, cut, PixelFormat())
    error = np.clip(own, 0, 1) - denoiser.denoise(image[None])[0]
    assert np.abs(error).max() > 1e-3
    assert seam(model, error, 16) > 1e-5


@pytest.mark.usefixtures("large_above")
def test_one_trace_serves_all_sizes_and_tiles():
    denoiser = Denoiser(KerasRunner(tiny_model()), "tiny")
    generator = np.random.default_rng(0)
    for tile in (16, 24, 32, "whole", "auto") * 2:
        height, width = generator.integers(1, 130, 2)
        picture = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
        assert denoiser(picture, tiles=TileConfig(tile)).shape == picture.shape
    assert denoiser.runner.num_traces == 1
    assert denoiser.runner.num_tile_traces == (1, 1)


def test_the_sample_is_fixed_and_covers_the_picture():
    small = noisy_images(1, 128, 200, 3)[0]
    (part,) = sampled_parts(small)
    np.testing.assert_array_equal(part[0], small)
    height, width = 700, 900
    places = np.arange(height * width, dtype=np.float32).reshape(height, width, 1)
    crops = np.concatenate(list(sampled_parts(places)))
    assert crops.shape == (32, 80, 80, 1)
    corners = crops[:, 0, 0, 0].astype(int)
    # As many as have the picture's area, then 32, then one for 2**15 pixels.
    for (rows, columns), count in {
        (128, 201): 4,
        (321, 481): 24,
        (20, 2000): 25,
        (2000, 1500): 3_000_000 // 2**15,
        (4000, 6000): 128,
    }.items():
        larger = np.broadcast_to(np.float32(0), (rows, columns, 1))
        assert sum(len(part) for part in sampled_parts(larger)) == count
    again = np.concatenate(list(sampled_parts(places)))
    np.testing.assert_array_equal(again, crops)
    rows, columns = np.divmod(corners, width)
    for values, side in ((rows, height - 79), (columns, width - 79)):
        assert set(np.digitize(values, [side / 4, side / 2, side * 3 / 4])) == {0, 1, 2, 3}
    np.testing.assert_array_equal(crops[3], places[rows[3] :, columns[3] :][:80, :80])
    (mean,) = attention_vectors(places, lambda part: [part.mean(axis=(1, 2), keepdims=True)])
    np.testing.assert_allclose(mean.ravel(), crops.mean(), rtol=1e-6)


def test_gray_and_channel_by_channel_pictures_go_through_tiles():
    grey = Denoiser(KerasRunner(tiny_model("dncnn_tiny", channels=1)), "grey")
    colour = Denoiser(KerasRunner(tiny_model("dncnn_tiny")), "colour")
    picture = np.random.default_rng(1).integers(0, 256, (61, 53, 3), dtype=np.uint8)
    for network, image in ((grey, picture), (colour, picture[..., :1]), (colour, picture)):
        whole = network(image, 0.7, tiles=WHOLE).astype(int)
        found = network(image, 0.7, tiles=TileConfig(16))
        assert found.shape == image.shape
        assert np.abs(found - whole).max() <= 1


def test_memory_that_runs_out_halves_the_tile_and_reports_it_once(denoiser, capsys, monkeypatch):
    runner = KerasRunner(denoiser.model)
    network = runner._tiled
    working, limit = network._denoise_given, 90 * 90

    def short(part, *vectors):
        if part.shape[1] * part.shape[2] > limit:
            raise MemoryError("as ResourceExhaustedError is passed on")
        return working(part, *vectors)

    monkeypatch.setattr(network, "_denoise_given", short)
    images = noisy_images(2, 200, 130, 3)
    found = Denoiser(runner, "short").denoise(images, None, TileConfig(100))
    np.testing.assert_allclose(found, denoiser.denoise(images, None, WHOLE), atol=2e-5)
    said = capsys.readouterr().err.splitlines()
    # Two images; 100 and 50 need windows of 152 and 102 pixels, 25 one of 78.
    assert said == ["note: out of memory with tiles of 100; continuing with 25"]
    limit = 0
    with pytest.raises(MemoryError):
        Denoiser(runner, "short").denoise(images, None, TileConfig(100))


def test_a_backend_that_is_out_of_memory_raises_memory_error(denoiser):
    import tensorflow as tf

    runner = KerasRunner(denoiser.model)

    def fail(*inputs):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    runner._denoise = fail
    with pytest.raises(MemoryError, match=r"images of shape \(1, 4, 4, 3\)"):
        runner.run(np.zeros((1, 4, 4, 3), np.float32))


def test_progress_counts_every_pixel_once(denoiser):
    seen = []
    picture = np.random.default_rng(0).integers(0, 256, (90, 101, 3), np.uint8)
    denoiser(picture, tiles=TileConfig(16), on_tile=lambda done, total: seen.append((done, total)))
    assert len(seen) > 4
    assert [total for _, total in seen] == [90 * 101] * len(seen)
    done = [count for count, _ in seen]
    assert done == sorted(done) and done[-1] == 90 * 101


def test_the_budget_chooses_the_tile():
    def tile(side, memory, **more):
        config = TileConfig("auto", memory)
        return choose_tile((side, side), 3 * side * side, 500.0, 44, config, **more)

    assert tile(500, None) >= 500  # whole
    assert 16 <= tile(4000, 1_300_000_000) < tile(4000, 2_000_000_000) < 1024
    # More memory makes no larger tiles than pay.
    assert tile(4000, 10**11) == 1024 - 88
    with pytest.raises(UserError, match=r"`max_memory` must be at least \d+MB for 4000×4000"):
        tile(4000, 100_000_000)
    # What nobody limited goes on in small tiles.
    assert tile(40_000, None) == 16
    assert choose_tile((50, 60), 9000, 500.0, 44, TileConfig("whole")) == 60
    assert choose_tile((50, 60), 9000, 500.0, 44, TileConfig(32)) == 32


def test_every_network_has_an_estimate_of_its_memory():
    for preset in ("gradnet", "gradnet_small", "dncnn", "ffdnet", "adnet", "cbdnet", "mskresnet"):
        # At least two feature maps of its width at once, at most sixteen.
        model = tiny_model(preset)
        width = (model.body if hasattr(model, "body") else model).filters
        unit = 4 * -(-width // 16) * 16 / model.scale**2
        assert 2 * unit < model.bytes_per_pixel < 16 * unit, preset
    fixed = FixedSigma(tiny_model("ffdnet"), 25.0)
    assert fixed.bytes_per_pixel == fixed.denoiser.bytes_per_pixel
    assert GradNet(fixed).block_side == 2
    assert GradNet(DnCNN()).block_side == 1


def test_what_has_no_tiles_reports_it():
    pytest.importorskip("cv2")
    denoiser = Denoiser(ClassicalRunner("opencv_nlm"), "opencv_nlm")
    picture = np.full((20, 20, 3), 99, np.uint8)
    np.testing.assert_array_equal(denoiser(picture, sigma=10), picture)
    with pytest.raises(UserError, match=r"`tile` must be auto or whole here: opencv_nlm runs"):
        denoiser(picture, sigma=10, tiles=TileConfig(64))
