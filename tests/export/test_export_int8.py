"""8-bit files: how ranges are chosen, and that the file computes what the network simulates."""

import keras
import numpy as np
import pytest
from tensorflow.lite.python import schema_py_generated as schema
from tiny_run import tiny_model

from export.litert import silent_channels
from export.litert.int8_network import (
    LEVELS,
    ActivationRange,
    Int8Conv,
    Int8Network,
    calibrated,
    channel_scales,
    kernel_range,
    least_error_kernel,
    least_error_range,
)
from export.litert.silent_channels import (
    living_channels,
    noisy_crops,
    without_silent_channels,
)
from export.litert.tflite import _store_in_8_bits, list_operations, write_tflite
from gradnet_tf.denoiser import load_denoiser
from gradnet_tf.runtimes.litert_runtime import TFLiteRunner
from gradnet_tf.tiling.tile_config import TileConfig


class Images:
    """Soft colour scenes, as an `ImageSet`."""

    names = ["a", "b", "c"]

    def __init__(self, channels=3):
        self.channels = channels

    def __len__(self):
        return len(self.names)

    def load(self, index):
        rows, columns = np.mgrid[:70, :90] / (9.0 + index)
        waves = [np.sin(rows + k) * np.cos(columns - k) for k in range(self.channels)]
        return np.rint(127 + 100 * np.stack(waves, axis=-1)).astype(np.uint8)


def rounded(values, low, high):
    """8-bit rounding by hand."""
    step = (high - low) / LEVELS
    zero = np.round(-low / step)
    return (np.clip(np.round(values / step) + zero, 0, LEVELS) - zero) * step


def test_the_range_errs_less_than_the_full_one_where_few_values_are_far():
    values = np.random.default_rng(0).normal(0, 1, 50_000)
    values[:3] = 40, 35, -30
    low, high = least_error_range(values)
    assert -30 < low < -2 and 2 < high < 40
    full = np.mean((rounded(values, values.min(), values.max()) - values) ** 2)
    assert np.mean((rounded(values, low, high) - values) ** 2) < 0.95 * full


def test_a_range_holds_zero_and_is_never_empty():
    low, high = least_error_range(np.full(10, 3.0))
    assert low == 0 and high > 2.9
    low, high = least_error_range(np.zeros(10))
    assert low == 0 < high


def test_a_layer_observes_first_and_rounds_afterwards():
    layer, values = ActivationRange(), np.linspace(-1, 2, 999, dtype=np.float32)
    np.testing.assert_array_equal(layer(values), values)
    layer.settle()
    found = np.asarray(layer(values))
    assert 100 < len(np.unique(found)) <= LEVELS + 1
    step = float(layer.high - layer.low) / LEVELS
    inside = (values > float(layer.low)) & (values < float(layer.high))
    assert np.abs(found - values)[inside].max() <= step * 0.51


def inputs_of_a_convolution(channels: int) -> np.ndarray:
    """Inputs of 4,000 output pixels, (n, 9 · channels): correlated, and not centered."""
    draw = np.random.default_rng(1)
    mixing = draw.normal(size=(9 * channels, 9 * channels)) * np.geomspace(1, 0.01, 9 * channels)
    return np.abs(draw.normal(size=(4000, 9 * channels))) @ mixing.T


def test_each_output_of_a_kernel_has_a_range_of_its_own():
    kernel = np.random.default_rng(0).normal(size=(3, 3, 4, 2)).astype(np.float32)
    kernel[..., 1] *= 50
    tops = np.abs(kernel).max(axis=(0, 1, 2))
    np.testing.assert_allclose(kernel_range(kernel), tops)
    levels = least_error_kernel(kernel, np.eye(36)) / (tops / 127)
    np.testing.assert_allclose(levels, np.round(levels), atol=1e-3)
    # Inputs that are not correlated leave nothing to make up for.
    np.testing.assert_allclose(levels, np.round(kernel / (tops / 127)), atol=1e-3)
    dead = kernel.copy()
    dead[..., 0] = 1e-9
    assert kernel_range(dead)[0] == pytest.approx(0.01 * tops[1])


def test_a_rounded_kernel_changes_the_outputs_less_than_the_nearest_levels():
    inputs, kernel = inputs_of_a_convolution(4), np.random.default_rng(0).normal(size=(3, 3, 4, 8))
    step = kernel_range(kernel) / 127
    nearest = np.round(kernel / step) * step
    rounded = least_error_kernel(kernel, inputs.T @ inputs / len(inputs))
    assert np.abs(rounded / step).max() <= 127.001

    def error(found):
        return np.mean((inputs @ (found - kernel).reshape(36, 8)) ** 2)

    assert 0 < error(rounded) < 0.3 * error(nearest)


def test_the_bias_makes_up_for_the_mean_that_rounding_changes():
    conv = keras.layers.Conv2D(5, 3, padding="same", activation="relu")
    layer = Int8Conv(conv)
    features = 3 + np.random.default_rng(0).normal(size=(1, 40, 50, 4)).astype(np.float32)
    conv.build(features.shape)
    conv.bias.assign(np.full(5, 20.0))  # ReLU stays linear
    exact = np.asarray(conv(features))
    np.testing.assert_allclose(layer(features), exact, rtol=1e-5)
    layer.range.settle()
    layer.settle()
    means = np.asarray(layer(features))[0, 1:-1, 1:-1].mean(axis=(0, 1))
    step = float(layer.range.high) / LEVELS
    np.testing.assert_allclose(means, exact[0, 1:-1, 1:-1].mean(axis=(0, 1)), atol=0.2 * step)


def test_crops_are_fixed_by_the_seed_and_noisy_as_asked():
    crops = list(noisy_crops(Images(), (0.0, 50.0), 0))
    assert [crop.shape for crop in crops] == [(1, 70, 90, 3)] * 4
    for one, again in zip(crops, noisy_crops(Images(), (0.0, 50.0), 0), strict=True):
        np.testing.assert_array_equal(one, again)
    other = next(noisy_crops(Images(), (0.0, 50.0), 1))
    assert np.abs(other - crops[0]).max() > 0.01
    quiet = list(noisy_crops(Images(), (0.0, 0.0), 0))
    np.testing.assert_array_equal(quiet[1][0], Images().load(1).astype(np.float32) / 255)


def test_every_second_crop_comes_once_more_in_the_dark():
    class White(Images):
        names = ["a", "b", "c", "d"]

        def load(self, index):
            return np.full((70, 90, 3), 255, np.uint8)

    crops = list(noisy_crops(White(), (0.0, 0.0), 0))
    np.testing.assert_allclose([crop.mean() for crop in crops], [1, 1, 0.25, 1, 1, 0.06], rtol=1e-6)
    *_, bright, dark = noisy_crops(White(), (9.0, 9.0), 0)
    np.testing.assert_allclose(bright - 1, dark - 0.06, atol=1e-6)


def test_the_naive_denoiser_may_stay_float():
    model = tiny_model()
    network = calibrated(model, [Images()], (0.0, 30.0), int8_naive=False)
    images = next(noisy_crops(Images(), (20.0, 20.0), 3))
    own = np.asarray(model.naive_denoiser(images))
    np.testing.assert_array_equal(network._estimate(images, None)[0], own)
    rounded_too = calibrated(model, [Images()], (0.0, 30.0))._estimate(images, None)[0]
    assert np.abs(rounded_too - own).max() > 1e-4


@pytest.mark.parametrize(
    ("preset", "channels"),
    [
        ("gradnet_tiny", 3),
        pytest.param("gradnet_tiny", 1, marks=pytest.mark.slow),
        ("dncnn_tiny", 3),
    ],
)
def test_the_file_computes_what_the_network_simulates(preset, channels, tmp_path):
    model = tiny_model(preset, channels)
    network = calibrated(model, [Images(channels)], (0.0, 30.0))
    write_tflite(network, tmp_path / "a.tflite", "int8")
    runner = TFLiteRunner(tmp_path / "a.tflite")
    images = next(noisy_crops(Images(channels), (20.0, 20.0), 3))
    exact = np.clip(np.asarray(model(images)), 0, 1)
    simulated = np.clip(np.asarray(network(images)), 0, 1)
    found = runner.run(images)
    change = np.mean((simulated - exact) ** 2)
    assert change > 0, "rounding must matter here"
    # Sums that fall between two levels go either way, and so does what follows from them.
    assert np.mean((found - simulated) ** 2) < 2 * change
    assert np.mean((found - exact) ** 2) < 2 * change
    assert "CONV_2D" in list_operations(tmp_path / "a.tflite")
    rounded = sum(int(np.prod(each.conv.kernel.shape)) for each in int8_convs(network))
    assert rounded > 0.4 * model.count_params()
    size = (tmp_path / "a.tflite").stat().st_size
    # Names of layers, which grow with their number in the process, take up to 0.1 MB.
    assert size < 4 * model.count_params() - 2.9 * rounded + 100_000


@pytest.mark.slow
def test_dead_channels_do_not_spoil_the_file(tmp_path):
    """Weight decay makes them: kernels of zero beside a bias far below zero, or far above."""
    model = tiny_model()
    for module in model.body.residual_modules:
        for unit in module.units:
            kernel, bias = np.array(unit.conv1.kernel), np.array(unit.conv1.bias)
            kernel[..., ::2], bias[::4], bias[2::4] = 1e-8, -30.0, 0.4
            unit.conv1.kernel.assign(kernel)
            unit.conv1.bias.assign(bias)
    network = calibrated(model, [Images()], (0.0, 30.0))
    write_tflite(network, tmp_path / "a.tflite", "int8")
    images = next(noisy_crops(Images(), (20.0, 20.0), 3))
    simulated, exact = (np.clip(each(images), 0, 1) for each in (network, model))
    found = TFLiteRunner(tmp_path / "a.tflite").run(images)
    assert np.mean((found - exact) ** 2) < 2 * np.mean((simulated - exact) ** 2) > 0


def test_tensors_without_values_have_a_range():
    """XNNPACK refuses files with vanishing ranges."""
    assert least_error_range(np.zeros(9)) == (0.0, 1.0)


def int8_convs(network):
    layers = network._flatten_layers(include_self=False)
    return [layer for layer in layers if isinstance(layer, Int8Conv)]


class Dim(Images):
    """Scenes with little contrast."""

    def load(self, index):
        return super().load(index) // 8 + 100


def test_all_sets_take_part_in_the_calibration():
    alone, both = (
        calibrated(tiny_model("dncnn_tiny"), sets, (0.0, 0.0)).chain.range
        for sets in ([Dim()], [Dim(), Images()])
    )
    assert float(both.high) > 1.2 * float(alone.high) > 0


def test_sums_and_the_inputs_half_of_the_fusion_stay_float():
    """What passes through the network unrounded: a unit's input reaches its output exactly."""
    model = tiny_model()
    network = calibrated(model, [Images()], (0.0, 30.0))
    module = network.body_modules[0]
    for _, conv2 in module.convs:
        kernel, bias, top = conv2._rounded
        conv2._rounded = 0 * kernel, 0 * bias, top
    features = np.abs(np.random.default_rng(0).normal(size=(1, 16, 16, module.takes.size)))
    features = features.astype(np.float32)
    own = model.body.residual_modules[0]
    attention = np.full((1, 1, 1, 2 * features.shape[-1]), 0.5, np.float32)
    wanted = own.fusion(np.concatenate([features, features], -1) * attention)
    error = np.abs(module(features, attention)[0] - wanted).max()
    assert 1e-4 < error < 0.02 * np.abs(wanted).max()  # the kernel of the units' half
    kernel, bias, top = module.int8_fusion._rounded
    module.int8_fusion._rounded = 0 * kernel, 0 * bias, top
    wanted = own.fusion(np.concatenate([features, 0 * features], -1) * attention)
    np.testing.assert_allclose(module(features, attention)[0], wanted, atol=1e-4)


def test_the_units_half_of_the_fusion_has_8_bits_in_the_file(tmp_path):
    network = calibrated(tiny_model(), [Images()], (0.0, 30.0))
    write_tflite(network, tmp_path / "a.tflite", "int8")
    content = schema.ModelT.InitFromPackedBuf((tmp_path / "a.tflite").read_bytes(), 0)
    graph = content.subgraphs[0]
    found = []
    for operation in graph.operators:
        code = content.operatorCodes[operation.opcodeIndex].builtinCode
        if code != schema.BuiltinOperator.CONV_2D:
            continue
        taken, kernel = (graph.tensors[index] for index in operation.inputs[:2])
        if (taken.type, kernel.type) == (schema.TensorType.FLOAT32, schema.TensorType.INT8):
            levels = bytes(content.buffers[kernel.buffer].data)
            levels = np.frombuffer(levels, np.int8).reshape(kernel.shape)
            found.append(levels * kernel.quantization.scale[:, None, None, None])
    wanted = [kernel.transpose(3, 0, 1, 2) for kernel, _ in network.dynamic_kernels()]
    assert len(found) == len(wanted) == 2
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-7)


def test_tiles_of_the_shipped_8_bit_file_agree_with_the_whole_picture():
    """The fusions round by the range of a tile, so that not every bit is the same."""
    denoiser = load_denoiser("gradnet_small_color_blind", "int8", runtime="litert")
    rows, columns = np.mgrid[:170, :210] / 11.0
    clean = 0.5 + 0.4 * np.stack([np.sin(rows + k) * np.cos(columns) for k in range(3)], axis=-1)
    noisy = clean + np.random.default_rng(0).normal(0, 0.1, clean.shape)
    images = noisy[None].astype(np.float32)
    whole, tiles = (
        denoiser.denoise(images, tiles=TileConfig(tile=tile, pooling="crops"))
        for tile in ("whole", 64)
    )
    assert np.abs(tiles - whole).max() < 2 / 255
    assert np.abs(np.mean(tiles - whole)) < 0.05 / 255
    assert np.sqrt(np.mean((tiles - whole) ** 2)) < 0.3 / 255


def test_a_kernel_that_the_file_lacks_is_reported():
    kernel = np.ones((3, 3, 4, 8), np.float32)
    content = schema.ModelT()
    content.buffers, content.subgraphs = [schema.BufferT()], []
    with pytest.raises(RuntimeError, match="no kernel of 36×8"):
        _store_in_8_bits(content, [(kernel, np.ones(8, np.float32))])


def test_attention_can_be_given_and_is_returned():
    model = tiny_model()
    network = calibrated(model, [Images()], (0.0, 30.0))
    images = next(noisy_crops(Images(), (20.0, 20.0), 3))
    outputs = network(images, return_intermediates=True)
    assert [v.shape[-1] for v in outputs["attention"]] == list(model.attention_widths)
    again = network(images, attention=outputs["attention"])
    np.testing.assert_allclose(again, outputs["denoised"], atol=1e-6)
    other = network(images, attention=[np.asarray(v) * 0.5 for v in outputs["attention"]])
    assert np.abs(np.asarray(other) - np.asarray(again)).max() > 1e-3


def test_scales_bring_channels_to_one_range_and_change_nothing_else():
    top = np.array([100.0, 1.0, 0.01, 0.0])
    kernel = np.ones((3, 3, 4, 2), np.float32)
    half = channel_scales(top, kernel)
    assert 5 < top[0] / half[0] / (top[1] / half[1]) < 20  # between the tensor's and the kernel's
    model = tiny_model()
    network, images = Int8Network(model), next(noisy_crops(Images(), (20.0, 20.0), 3))
    exact = np.asarray(model(images))
    np.testing.assert_allclose(network(images), exact, atol=1e-5)
    network.equalize()
    assert any(np.ptp(module.takes) > 0.01 for module in network.body_modules)
    conv1, conv2 = network.body_modules[0].convs[0]
    assert np.ptp(conv2.gives) > 0.01 and np.any(conv2.gives != conv1.takes)
    np.testing.assert_allclose(network(images), exact, atol=1e-4)


@pytest.mark.parametrize(
    "dead", [[3, 5, 6, 7, 20], pytest.param(list(range(32)), marks=pytest.mark.slow)]
)
def test_channels_that_never_fire_are_left_out(tmp_path, dead):
    model = tiny_model()
    crops = list(noisy_crops(Images(), (0.0, 30.0), 0))
    unit = model.body.residual_modules[1].units[0]
    unit.conv1.bias.assign(np.full(32, 1.0))  # otherwise some are silent
    assert [len(channels) for channels in living_channels(model, crops).values()] == [32, 32]
    write_tflite(model, tmp_path / "whole.tflite", "float16")
    unit.conv1.bias.assign(np.where(np.isin(np.arange(32), dead), -500.0, 1.0))
    living = living_channels(model, crops)
    np.testing.assert_array_equal(living[id(unit)], np.setdiff1d(np.arange(32), dead))
    wanted = np.asarray(model(crops[0]))
    if len(dead) == 32:  # nothing is left that could have a range
        write_tflite(calibrated(model, [Images()], (0.0, 30.0)), tmp_path / "int8.tflite", "int8")
        assert np.isfinite(TFLiteRunner(tmp_path / "int8.tflite").run(crops[0])).all()
    network = Int8Network(model, living)  # does not round yet
    np.testing.assert_allclose(network(crops[0]), wanted, atol=1e-5)
    pairs = [pair for pair in network.body_modules[1].convs if pair]
    assert sum(pair[0].conv.bias.shape[0] for pair in pairs) == len(living[id(unit)])
    without_silent_channels(model, Images(), None, 0)
    np.testing.assert_allclose(model(crops[0]), wanted, atol=1e-5)
    write_tflite(model, tmp_path / "lean.tflite", "float16")
    lean = TFLiteRunner(tmp_path / "lean.tflite").run(crops[0])
    np.testing.assert_allclose(lean, np.clip(wanted, 0, 1), atol=2e-3)  # weights of 16 bits
    sizes = [(tmp_path / f"{name}.tflite").stat().st_size for name in ("lean", "whole")]
    # Two kernels of 9 weights of 2 bytes for each.
    assert sizes[0] < sizes[1] - len(dead) * 32 * 2 * 9 * 2 + 500


def test_a_channel_near_zero_is_kept():
    """It may fire on the next picture; one without a kernel will not."""
    model, crops = tiny_model(), list(noisy_crops(Images(), (0.0, 30.0), 0))
    unit = model.body.residual_modules[0].units[0]
    kernel, bias = unit.conv1.kernel.numpy(), np.full(32, 1.0)
    kernel[..., 4:6] = 0
    kernel[1, 1, 0, 4] = -1  # of a feature that is zero or positive
    bias[4:6] = -1e-4
    unit.conv1.set_weights([kernel, bias])
    assert list(living_channels(model, crops)[id(unit)]) == [*range(5), *range(6, 32)]


def test_networks_without_an_8_bit_form_say_so():
    with pytest.raises(ValueError, match="GradNet, MSKResnet and DnCNN .* Received: FFDNet"):
        Int8Network(tiny_model("ffdnet"))


def test_one_image_is_searched_at_every_level_and_in_the_dark(monkeypatch):
    class One(Images):
        names = ["a"]

    seen = []
    monkeypatch.setattr(silent_channels, "living_channels", lambda _, crops: seen.extend(crops))
    monkeypatch.setattr(silent_channels, "keep_channels", lambda *_: None)
    without_silent_channels(tiny_model(), One(), (0.0, 50.0), 0)
    # The noise is what neighbors do not share.
    levels = {round(255 * np.diff(crop, axis=2).std() / np.sqrt(2) / 5) * 5 for crop in seen}
    assert levels >= {10, 25, 50, 60} and len(seen) == 15
    assert min(crop.mean() for crop in seen) < 0.1 < 0.4 < max(crop.mean() for crop in seen)
