"""Published weights: our models compute what the tensors' own networks compute."""

import sys

import numpy as np
import pytest
from published_files import (
    state_of,
    write_legacy,
    write_mat,
    write_mat_5_of_dag,
    write_mat_of_dag,
    write_zip,
)
from published_tensors import (
    RNG,
    adnet_tensors,
    chain_tensors,
    harmless,
    run_adnet,
    run_chain,
    run_ffdnet,
    tensor,
)

from gradnet_tf.denoiser import load_denoiser
from gradnet_tf.loading.published_networks import load_published
from gradnet_tf.utils.errors import UserError

SIZE = (2, 7, 9)  # odd sides; two images with noise levels of their own
SIGMA = np.float32([20, 45])


def images(channels):
    return RNG.random((*SIZE, channels), dtype=np.float32)


def first(noisy):
    """(N, H, W, C) → (N, C, H, W)."""
    return noisy.transpose(0, 3, 1, 2)


def check(path, noisy, expected, sigma=None):
    """Loads the file and compares its output with (N, C, H, W)."""
    model, network = load_published(path)
    output = np.asarray(model(noisy) if sigma is None else model(noisy, sigma))
    np.testing.assert_allclose(output, expected.transpose(0, 2, 3, 1), rtol=1e-4, atol=1e-4)
    return model, network


@pytest.mark.parametrize("write", [write_zip, write_legacy])
@pytest.mark.parametrize("channels", [1, 3])
def test_dncnn_of_kair(tmp_path, write, channels):
    tensors = chain_tensors("model", channels, 6, channels)
    noisy = images(channels)
    expected = first(noisy) - run_chain(tensors, "model", first(noisy))
    model, network = check(write(tmp_path / "a.pth", tensors), noisy, expected)
    colour = {1: "gray", 3: "color"}[channels]
    assert network == f"DnCNN, {colour}, 4 layers of 6" and not model.batch_norm


@pytest.mark.parametrize("bias", [False, True])
def test_dncnn_with_normalisation_and_the_prefix_of_data_parallel(tmp_path, bias):
    tensors = chain_tensors("dncnn", 1, 6, 1, bias=bias, norm=True)
    noisy = images(1)
    expected = first(noisy) - run_chain(tensors, "dncnn", first(noisy))
    prefixed = {f"module.{name}": value for name, value in tensors.items()}
    model, _ = check(write_zip(tmp_path / "a.pth", prefixed), noisy, expected)
    assert model.batch_norm


@pytest.mark.parametrize("channels", [1, 3])
def test_ffdnet_of_kair_predicts_the_image(tmp_path, channels):
    tensors = chain_tensors("model", 4 * channels + 1, 6, 4 * channels)
    noisy = images(channels)
    expected = run_ffdnet(
        first(noisy), SIGMA, lambda blocks: run_chain(tensors, "model", blocks), 1, False
    )
    check(write_zip(tmp_path / "a.pth", tensors), noisy, expected, SIGMA)


@pytest.mark.parametrize("channels", [1, 3])
def test_ffdnet_of_the_package_predicts_the_noise(tmp_path, channels):
    prefix = "intermediate_dncnn.itermediate_dncnn"
    tensors = chain_tensors(prefix, 5 * channels, 6, 4 * channels, bias=False, norm=True)
    noisy = images(channels)
    noise = run_ffdnet(
        first(noisy), SIGMA, lambda blocks: run_chain(tensors, prefix, blocks), channels, True
    )
    path = write_legacy(tmp_path / "a.pth", tensors, rebuild="_rebuild_tensor")
    check(path, noisy, first(noisy) - noise, SIGMA)


@pytest.mark.parametrize("channels", [1, 3])
def test_adnet_whose_colors_are_bgr(tmp_path, channels):
    tensors = adnet_tensors(channels)
    noisy = images(channels)
    expected = run_adnet(tensors, first(noisy)[:, ::-1])[:, ::-1]
    _, network = check(write_zip(tmp_path / "a.pth", tensors), noisy, expected)
    assert network.startswith("ADNet") and "17 layers of 4, normalized" in network


def matlab_layers(tensors, prefix="model"):
    """The same chain as MatConvNet keeps it; the moments are mean and root of variance + ε."""
    layers = []
    for number in sorted({int(name.split(".")[1]) for name in tensors}):
        part = {name.split(".")[-1]: value for name, value in tensors.items()
                if name.startswith(f"{prefix}.{number}.")}  # fmt: skip
        if part["weight"].ndim == 4:
            kernel = part["weight"].transpose(2, 3, 1, 0)
            numbers = {"stride": 1, "pad": 1, "dilate": 1}
            layers += [("conv", [kernel, part["bias"][:, None]], numbers), ("relu", [], {})]
        else:
            deviation = np.sqrt(part["running_var"] + 1e-5)
            moments = np.stack([part["running_mean"], deviation], axis=1)
            layers.insert(-1, ("bnorm", [part["weight"], part["bias"], moments], {}))
    return layers[:-1]


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
def test_dncnn_of_matconvnet(tmp_path, channels, norm):
    tensors = chain_tensors("model", channels, 6, channels, norm=norm)
    noisy = images(channels)
    expected = first(noisy) - run_chain(tensors, "model", first(noisy))
    check(write_mat(tmp_path / "a.mat", matlab_layers(tensors)), noisy, expected)


def test_ffdnet_of_matconvnet_counts_the_pixels_of_a_block_down_its_columns(tmp_path):
    tensors = chain_tensors("model", 13, 6, 12)
    noisy = images(3)
    expected = run_ffdnet(
        first(noisy), SIGMA, lambda blocks: run_chain(tensors, "model", blocks), 1, False
    )
    order = [channel * 4 + pixel for channel in range(3) for pixel in (0, 2, 1, 3)]
    tensors["model.0.weight"] = tensors["model.0.weight"][:, [*order, 12]]
    tensors["model.6.weight"] = tensors["model.6.weight"][order]
    tensors["model.6.bias"] = tensors["model.6.bias"][order]
    frame = [("SubP", [], {"scale": 0.5}), ("concat", [], {})]
    layers = [*frame, *matlab_layers(tensors), ("SubP", [], {"scale": 2})]
    check(write_mat(tmp_path / "a.mat", layers), noisy, expected, SIGMA)
    with pytest.raises(UserError, match="do not fit its layers"):
        load_published(write_mat(tmp_path / "b.mat", layers[2:-1]))


def test_matlab_5_is_read_with_scipy_and_without(tmp_path, monkeypatch):
    io = pytest.importorskip("scipy.io")
    tensors = chain_tensors("model", 1, 6, 1)
    noisy, path = images(1), tmp_path / "a.mat"
    cells = np.empty((1, 7), object)
    for index, (kind, weights, numbers) in enumerate(matlab_layers(tensors)):
        cell = np.empty((1, len(weights)), object)
        cell[0, :] = weights
        cells[0, index] = {"type": kind, "weights": cell, **numbers}
    io.savemat(path, {"net": {"layers": cells}})
    check(path, noisy, first(noisy) - run_chain(tensors, "model", first(noisy)))
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    monkeypatch.setitem(sys.modules, "scipy", None)
    check(path, noisy, first(noisy) - run_chain(tensors, "model", first(noisy)))


@pytest.mark.parametrize("key", ["state_dict", "params", "params_ema", "model", "netG"])
def test_a_dictionary_in_a_dictionary(tmp_path, key):
    tensors = chain_tensors("model", 1, 6, 1)
    state = {"epoch": 3, key: state_of(tensors)}
    noisy = images(1)
    expected = first(noisy) - run_chain(tensors, "model", first(noisy))
    check(write_zip(tmp_path / "a.pth", tensors, state), noisy, expected)


@pytest.mark.parametrize(("dtype", "tolerance"), [("f2", 2e-2), ("f8", 1e-4), ("u2", 2e-1)])
def test_other_types_of_numbers(tmp_path, dtype, tolerance):
    tensors = chain_tensors("model", 1, 6, 1)
    if dtype == "u2":  # bfloat16: the upper half of a float32
        stored = {name: (value.view("<u4") >> 16).astype("<u2") for name, value in tensors.items()}
    else:
        stored = {name: value.astype(dtype) for name, value in tensors.items()}
    noisy = images(1)
    expected = first(noisy) - run_chain(tensors, "model", first(noisy))
    model, _ = load_published(write_zip(tmp_path / "a.pth", stored))
    np.testing.assert_allclose(
        np.asarray(model(noisy)), expected.transpose(0, 2, 3, 1), atol=tolerance
    )


def change(name, value):
    def apply(tensors):
        tensors[name] = value

    return apply


@pytest.mark.parametrize(
    ("apply", "words"),
    [
        (lambda tensors: tensors.pop("dncnn.3.running_var"), "'dncnn.3.running_var' is missing"),
        (change("dncnn.3.running_mean", tensor(5)), r"'dncnn.3.running_mean' has shape \(5,\)"),
        (
            change("dncnn.0.weight", tensor(6, 1, 5, 5)),
            r"'dncnn.0.weight' has shape \(6, 1, 5, 5\)",
        ),
        (change("dncnn.0.scale", tensor(6)), "'dncnn.0.scale' is not expected"),
        (change("dncnn.0.bias", np.float32([np.nan] * 6)), "'dncnn.0.bias' contains NaN"),
        (
            change("dncnn.2.weight", tensor(6, 4, 3, 3)),
            "'dncnn.2' does not fit the output",
        ),
        (change("dncnn.1.weight", tensor(6)), "'dncnn.1.bias' is missing"),
        (change("head.weight", tensor(6)), "not recognized: .*\n.*Recognized: DnCNN"),
    ],
)
def test_every_tensor_has_its_place_or_is_named(tmp_path, apply, words):
    tensors = chain_tensors("dncnn", 1, 6, 1, norm=True)
    apply(tensors)
    with pytest.raises(UserError, match=f"(?s){words}") as caught:
        load_published(write_zip(tmp_path / "a.pth", tensors))
    assert str(tmp_path / "a.pth") in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 3


@pytest.mark.parametrize(
    ("position", "layer", "words"),
    [
        (0, ("conv", [tensor(3, 3, 1, 6), tensor(6)], {"dilate": 2}), "an unsupported stride, pad"),
        (1, ("relu", [], {"leak": 0.1}), "is leaky"),
        (1, ("pool", [], {}), r"layers\{2\} \('pool'\) is not supported"),
        (1, ("relu", [tensor(6)], {}), "has unexpected weights"),
        (0, ("conv", [tensor(3, 3, 1, 6)], {}), "1 weights instead of filter and bias"),
        (2, ("conv", [tensor(3, 3, 5, 6), tensor(6)], {}), r"'layers\{3\}' does not fit"),
    ],
)
def test_a_layer_of_matconvnet_that_does_not_fit_is_named(tmp_path, position, layer, words):
    layers = matlab_layers(chain_tensors("model", 1, 6, 1))
    layers[position] = layer
    with pytest.raises(UserError, match=words):
        load_published(write_mat(tmp_path / "a.mat", layers))


def test_model_flag_takes_a_file_by_its_content(tmp_path):
    tensors = harmless(chain_tensors("model", 3, 6, 3))
    # Neither name tells what it is.
    for write, name in ((write_zip, "weights.bin"), (write_legacy, "weights")):
        denoiser = load_denoiser(str(write(tmp_path / name, tensors)))
        assert (denoiser.name, denoiser.source["kind"]) == ("weights", "published")
        assert denoiser.source["network"] == "DnCNN, color, 4 layers of 6"
        assert denoiser.channels == 3 and not denoiser.needs_sigma
    half = load_denoiser(str(tmp_path / "weights"), "mixed_bfloat16")
    assert half.model.dtype_policy.name == "mixed_bfloat16"
    mat = load_denoiser(str(write_mat(tmp_path / "net", matlab_layers(tensors))))
    noisy = images(3)
    np.testing.assert_allclose(mat.denoise(noisy), denoiser.denoise(noisy), atol=1e-5)


@pytest.mark.parametrize(
    "modules",
    [
        "net.layers.0 net.layers.2 net.layers.4 net.layers.6",
        "generator.0.conv generator.1.conv generator.2.conv generator.3.conv",
        "in_conv conv_list.0 conv_list.1 out_conv",
        "conv1 conv2 conv3 conv4",
        "head.0 body.0.0 body.1.0 tail",
        "net.layers.0 net.layers.2 net.layers.3 net.layers.5 net.layers.6 net.layers.8",
        "conv1 conv2 bn2 conv3 bn3 conv4",
        "l.0.conv l.1.conv l.1.bn l.2.conv l.2.bn l.3.conv",
        "first.0 mid.9.0 mid.9.1 mid.10.0 mid.10.1 last",
    ],
)
@pytest.mark.parametrize("wrapped", ["", "module.", "model.module.netG."])
def test_a_chain_under_any_names(tmp_path, modules, wrapped):
    modules = modules.split()
    tensors = chain_tensors("model", 3, 6, 3, norm=len(modules) == 6)
    numbers = sorted({int(name.split(".")[1]) for name in tensors})
    names = dict(zip(numbers, modules, strict=True))
    named = {}
    for name, value in tensors.items():
        _, number, part = name.split(".")
        named[f"{wrapped}{names[int(number)]}.{part}"] = value
    noisy = images(3)
    expected = first(noisy) - run_chain(tensors, "model", first(noisy))
    check(write_zip(tmp_path / "a.pth", named), noisy, expected)


def test_adnet_under_a_prefix(tmp_path):
    tensors = adnet_tensors(1)
    noisy = images(1)
    named = {f"net.inner.{name}": value for name, value in tensors.items()}
    check(write_zip(tmp_path / "a.pth", named), noisy, run_adnet(tensors, first(noisy)))


def test_names_of_very_many_parts_are_refused(tmp_path):
    named = {"a." * 20_000 + f"{n}.weight": tensor(1, 1, 3, 3) for n in (0, 1)}
    with pytest.raises(UserError, match="not recognized"):
        load_published(write_zip(tmp_path / "a.pth", named))


@pytest.mark.parametrize("kind", ["loss", "softmaxloss", "customLoss"])
def test_the_loss_behind_the_last_layer_is_left_out(tmp_path, kind):
    tensors = chain_tensors("model", 1, 6, 1)
    noisy = images(1)
    expected = first(noisy) - run_chain(tensors, "model", first(noisy))
    layers = [*matlab_layers(tensors), (kind, [], {})]
    check(write_mat(tmp_path / "a.mat", layers), noisy, expected)
    with pytest.raises(UserError, match="loss|Loss"):  # Not in the middle.
        load_published(write_mat(tmp_path / "b.mat", [*layers[:2], (kind, [], {}), *layers[2:]]))


def test_fdncnn_of_matconvnet(tmp_path):
    tensors = chain_tensors("model", 2, 6, 1)
    noisy = images(1)
    level = np.broadcast_to((SIGMA / 255)[:, None, None, None], first(noisy).shape)
    expected = run_chain(tensors, "model", np.concatenate([first(noisy), level], axis=1))
    for name, frame in (("a.mat", [("concat", [], {})]), ("b.mat", [])):
        layers = [*frame, *matlab_layers(tensors)]
        _, network = check(write_mat(tmp_path / name, layers), noisy, expected, SIGMA)
        assert network == "FDnCNN, gray, 4 layers of 6"


def dag(tensors):
    """A chain as layers and parameters of a DagNN."""
    layers, params, before = [], {}, "input"
    classes = {"conv": "dagnn.Conv", "bnorm": "dagnn.BatchNorm", "relu": "dagnn.ReLU"}
    for number, (kind, weights, numbers) in enumerate(matlab_layers(tensors)):
        names = [f"{kind}{number}_{index}" for index in range(len(weights))]
        params |= dict(zip(names, weights, strict=True))
        layers.append((classes[kind], [before], [f"x{number}"], names, numbers))
        before = f"x{number}"
    layers.append(("dagnn.Loss", [before, "label"], ["objective"], [], {}))
    return layers, params


@pytest.mark.parametrize("write", [write_mat_of_dag, write_mat_5_of_dag])
def test_dagnn_of_matconvnet(tmp_path, write):
    if write is write_mat_5_of_dag:
        pytest.importorskip("scipy.io")
    tensors = chain_tensors("model", 1, 6, 1, norm=True)
    noisy = images(1)
    layers, params = dag(tensors)
    expected = first(noisy) - run_chain(tensors, "model", first(noisy))
    check(write(tmp_path / "a.mat", layers, params), noisy, expected)
    kind, _, *rest = layers[2]
    beside = [*layers[:2], (kind, ["input"], *rest), *layers[3:]]
    with pytest.raises(UserError, match="DagNN whose layer 3 .dagnn.Conv. takes input") as caught:
        load_published(write(tmp_path / "b.mat", beside, params))
    assert "ownload" not in str(caught.value) and str(tmp_path) in str(caught.value)
    with pytest.raises(UserError, match="'dagnn.Sum'. is not supported"):
        changed = [*layers[:1], ("dagnn.Sum", *layers[1][1:]), *layers[2:]]
        load_published(write(tmp_path / "c.mat", changed, params))


def test_several_networks_in_one_file_are_named(tmp_path):
    tensors = chain_tensors("model", 1, 6, 1)
    state = {str(number): state_of(tensors) for number in range(25)}
    with pytest.raises(UserError, match=r"25 networks \('0', '1', '2' …\).* IRCNN") as caught:
        load_published(write_zip(tmp_path / "a.pth", tensors, state))
    assert len(str(caught.value).splitlines()) == 2
