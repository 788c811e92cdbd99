"""CBDNet's published files: both layouts, against NumPy on the same tensors."""

import dataclasses

import numpy as np
import pytest
from published_files import rebuilt, write_mat_5_of_dag, write_mat_of_dag, write_zip
from published_tensors import convolve, tensor

from gradnet_tf.denoiser import load_denoiser
from gradnet_tf.loading.published_networks import load_published, read_published
from gradnet_tf.utils.errors import UserError

E, F = 4, 4
_relu = lambda x: np.maximum(x, 0)  # noqa: E731


def convs(names, widths, inputs, size=3):
    """Tensors of convolutions in a row."""
    found = {}
    for name, width in zip(names, widths, strict=True):
        found |= {f"{name}.weight": tensor(width, inputs, size, size, low=-0.2, high=0.2)}
        found[f"{name}.bias"] = tensor(width, low=-0.1, high=0.1)
        inputs = width
    return found


def pooled_tensors():
    """The layout of IDKiro/CBDNet-pytorch, model/cbdnet.py."""
    found = convs([f"fcn.fcn.{2 * i}" for i in range(5)], [E] * 4 + [3], 3)
    for part, count, inputs, width in (
        ("inc", 2, 6, F),
        ("conv1", 3, F, 2 * F),
        ("conv2", 6, 2 * F, 4 * F),
        ("conv3", 3, 2 * F, 2 * F),
        ("conv4", 2, F, F),
    ):
        names = [f"unet.{part}.{index}.conv.0" for index in range(count)]
        found |= convs(names, [width] * count, inputs)
    for name, inputs in (("up1", 4 * F), ("up2", 2 * F)):
        found[f"unet.{name}.up.weight"] = tensor(inputs, inputs // 2, 2, 2)
        found[f"unet.{name}.up.bias"] = tensor(inputs // 2)
    return found | convs(["unet.outc.conv"], [3], F, 1)


def released_tensors():
    """The layout of the authors' files as converted to PyTorch (CBDNet.pth)."""
    found = convs([f"E0{i}" for i in range(1, 6)], [E] * 4 + [3], 3)
    found |= convs([f"DS01_layer0{i}" for i in range(4)], [F] * 4, 6)
    found |= convs(["DS02"], [4 * F], F, 2) | convs(["DS02_layer00_cf"], [2 * F], 4 * F, 1)
    found |= convs([f"DS02_layer0{i}" for i in range(3)], [2 * F] * 3, 2 * F)
    found |= convs(["DS03"], [8 * F], 2 * F, 2) | convs(["DS03_layer00_cf"], [4 * F], 8 * F, 1)
    found |= convs([f"DS03_layer0{i}" for i in range(3)], [4 * F] * 3, 4 * F)
    found |= convs([f"UPS03_layer0{i}" for i in range(4)], [4 * F] * 3 + [8 * F], 4 * F)
    found["USP02.weight"] = tensor(8 * F, 2 * F, 2, 2)
    found |= convs([f"US02_layer0{i}" for i in range(3)], [2 * F, 2 * F, 4 * F], 2 * F)
    found["USP01.weight"] = tensor(4 * F, F, 2, 2)
    return found | convs([f"US01_layer0{i}" for i in range(3)], [F, F, 3], F)


class Runner:
    """Computes layers by name, (N, C, H, W)."""

    def __init__(self, tensors):
        self.tensors = tensors

    def conv(self, name, x, relu=True):
        kernel = self.tensors[f"{name}.weight"]
        bias = self.tensors[f"{name}.bias"]
        if kernel.shape[-1] == 2:  # stride 2
            n, c, h, w = x.shape
            blocks = x.reshape(n, c, h // 2, 2, w // 2, 2)
            made = np.einsum("nciajb,ocab->noij", blocks, kernel) + bias[:, None, None]
        else:
            made = convolve(x, kernel, bias)
        return _relu(made) if relu else made

    def up(self, name, x):
        kernel = self.tensors[f"{name}.weight"]
        n, _, h, w = x.shape
        made = np.einsum("ncij,coab->noiajb", x, kernel).reshape(n, kernel.shape[1], 2 * h, 2 * w)
        bias = self.tensors.get(f"{name}.bias")
        return made if bias is None else made + bias[:, None, None]

    def chain(self, names, x):
        for name in names:
            x = self.conv(name, x)
        return x


def run_pooled(tensors, y):
    run = Runner(tensors)

    def part(name, count):
        return [f"unet.{name}.{index}.conv.0" for index in range(count)]

    def half(x):
        n, c, h, w = x.shape
        return x.reshape(n, c, h // 2, 2, w // 2, 2).mean((3, 5))

    level = run.chain([f"fcn.fcn.{2 * i}" for i in range(5)], y)
    fine = run.chain(part("inc", 2), np.concatenate([y, level], 1))
    middle = run.chain(part("conv1", 3), half(fine))
    coarse = run.chain(part("conv2", 6), half(middle))
    middle = run.chain(part("conv3", 3), run.up("unet.up1.up", coarse) + middle)
    fine = run.chain(part("conv4", 2), run.up("unet.up2.up", middle) + fine)
    return y + run.conv("unet.outc.conv", fine, relu=False)


def run_released(tensors, y):
    run = Runner(tensors)
    level = run.chain([f"E0{i}" for i in range(1, 6)], y)
    fine = run.chain([f"DS01_layer0{i}" for i in range(4)], np.concatenate([y, level], 1))
    x = run.conv("DS02_layer00_cf", run.conv("DS02", fine, relu=False), relu=False)
    middle = run.chain([f"DS02_layer0{i}" for i in range(3)], x)
    x = run.conv("DS03_layer00_cf", run.conv("DS03", middle, relu=False), relu=False)
    x = run.chain([f"DS03_layer0{i}" for i in range(3)], x)
    x = run.chain([f"UPS03_layer0{i}" for i in range(4)], x)
    x = run.chain([f"US02_layer0{i}" for i in range(3)], run.up("USP02", x) + middle)
    x = run.chain([f"US01_layer0{i}" for i in range(2)], run.up("USP01", x) + fine)
    return y + run.conv("US01_layer02", x, relu=False)


LAYOUTS = {
    "pooled": (pooled_tensors, run_pooled, "CBDNet with pooling, color, 4 channels"),
    "released": (released_tensors, run_released, "CBDNet of the authors' files, color, 4 channels"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_network_computes_what_its_tensors_say(layout, tmp_path):
    make, run, description = LAYOUTS[layout]
    tensors = make()
    noisy = np.random.default_rng(3).random((2, 12, 8, 3), np.float32)
    expected = run(tensors, noisy.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1)
    path = write_zip(tmp_path / "a.pth", {f"module.{name}": v for name, v in tensors.items()})
    model, found = load_published(path)
    assert found == description
    np.testing.assert_allclose(np.asarray(model(noisy)), expected, rtol=1e-4, atol=1e-4)
    # In the other order of the colors.
    network = read_published(path)
    bgr = network.build(dataclasses.replace(network.reading, bgr=True))
    np.testing.assert_allclose(
        np.asarray(bgr(noisy[..., ::-1])), expected[..., ::-1], rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("layout", LAYOUTS)
def test_evaluate_loads_it_by_its_path(layout, tmp_path, capsys):
    tensors = LAYOUTS[layout][0]()
    last = "unet.outc.conv" if layout == "pooled" else "US01_layer02"
    for part in ("weight", "bias"):
        tensors[f"{last}.{part}"] *= 1e-4
    # As a checkpoint of training, with a counter beside the weights.
    state = {"state_dict": {}, "epoch": 7}
    for number, (name, array) in enumerate(tensors.items()):
        state["state_dict"][f"module.{name}"] = rebuilt(str(number), array, False)
    path = write_zip(tmp_path / "checkpoint.pth.tar", tensors, state)
    path = path.rename(tmp_path / "checkpoint.pth")
    denoiser = load_denoiser(str(path))
    noisy = np.random.default_rng(3).random((1, 13, 10, 3), np.float32)
    np.testing.assert_allclose(denoiser.denoise(noisy), noisy, atol=0.02)
    assert "CBDNet" in denoiser.source["network"]


def dag(tensors):
    """The released network as layers and parameters of a DagNN, in the order of the graph."""
    order = [*(f"E0{i}" for i in range(1, 6)), *(f"DS01_layer0{i}" for i in range(4))]
    for scale in ("DS02", "DS03"):
        order += [scale, f"{scale}_layer00_cf", *(f"{scale}_layer0{i}" for i in range(3))]
    order += [f"UPS03_layer0{i}" for i in range(4)]
    for number in ("02", "01"):
        order += [f"USP{number}", *(f"US{number}_layer0{i}" for i in range(3))]
    layers, params, before = [], {}, "input"
    for name in order:
        kernel = tensors[f"{name}.weight"]
        transposed = name.startswith("USP")
        params[f"{name}_f"] = kernel.transpose(2, 3, 1, 0)
        names = [f"{name}_f"]
        if f"{name}.bias" in tensors:
            params[f"{name}_b"] = tensors[f"{name}.bias"]
            names.append(f"{name}_b")
        if name == "DS01_layer00":
            layers.append(("dagnn.Concat", ["input", before], ["all"], [], {}))
            before = "all"
        kind = "dagnn.ConvTranspose" if transposed else "dagnn.Conv"
        layers.append((kind, [before], [f"{name}_x"], names, {}))
        before = f"{name}_x"
        layers.append(("dagnn.ReLU", [before], [f"{name}_r"], [], {}))
        before = f"{name}_r"
        if transposed:
            layers.append(("dagnn.Sum", [before, "skip"], [f"{name}_s"], [], {}))
            before = f"{name}_s"
    layers.append(("dagnn.Sum", ["input", before], ["prediction"], [], {}))
    layers.append(("dagnn.Loss", ["prediction", "label"], ["objective1"], [], {}))
    return layers, params


@pytest.mark.parametrize("write", [write_mat_of_dag, write_mat_5_of_dag])
def test_the_authors_matlab_layout(write, tmp_path):
    pytest.importorskip("scipy.io")
    tensors = released_tensors()
    noisy = np.random.default_rng(3).random((1, 8, 12, 3), np.float32)
    expected = run_released(tensors, noisy.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1)
    layers, params = dag(tensors)
    model, found = load_published(write(tmp_path / "CBDNet.mat", layers, params))
    assert found == LAYOUTS["released"][2]
    np.testing.assert_allclose(np.asarray(model(noisy)), expected, rtol=1e-4, atol=1e-4)
    with pytest.raises(UserError, match="is not CBDNet's|of CBDNet, .*has weights of"):
        load_published(write(tmp_path / "b.mat", layers[2:], params))
    with pytest.raises(UserError, match="it has 28 convolutions; CBDNet has 31"):
        short = [layer for layer in layers if not layer[3] or "US01" not in layer[3][0]]
        load_published(write(tmp_path / "c.mat", short, params))


def test_what_does_not_fit_is_named(tmp_path):
    tensors = pooled_tensors()
    del tensors["unet.conv3.1.conv.0.weight"]
    with pytest.raises(UserError, match=r"the tensor 'unet.conv3.1.conv.0.weight' is missing"):
        load_published(write_zip(tmp_path / "a.pth", tensors))
    tensors = released_tensors() | {"DS02_layer01.weight": tensor(8, 4, 3, 3)}
    with pytest.raises(UserError, match="a tensor of CBDNet has another shape"):
        load_published(write_zip(tmp_path / "b.pth", tensors))
