"""The layers of a .tflite file: cut out whole, counted right, and run by themselves."""

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from benchmarks.results.complexity import macs_per_pixel
from benchmarks.speed import layers
from gradnet_tf.models.gradnet import GradNet
from gradnet_tf.utils.errors import UserError
from gradnet_tf.weights import FOLDER

SIDE = 32


#: Hidden channels that a file leaves out, of 64 in each unit; see docs/precision.md.
LEFT_OUT = {"gradnet_tiny_color_blind": 0, "gradnet_small_color_blind_int8": 118}


@pytest.fixture(scope="module", params=LEFT_OUT)
def cut(request):
    content = (FOLDER / "litert" / f"{request.param}.tflite").read_bytes()
    return request.param, layers.operations_of(content, SIDE)


def test_the_arithmetic_is_that_of_the_network_without_what_the_file_leaves_out(cut):
    name, operations = cut
    model = GradNet.from_preset(name.removesuffix("_int8"))
    # Blocks of pixels are made by a convolution with a 2×2 kernel of zeros and ones.
    counted = sum(each.macs for each in operations if "2×2" not in each.name)
    sobel = sum(each.macs for each in operations if each.name.startswith("depthwise"))
    assert sobel == 2 * 9 * SIDE**2 * model.channels
    # A channel takes part in both 3×3 convolutions of its unit, on blocks of 2×2 pixels.
    left_out = LEFT_OUT[name] * 2 * 9 * 64 / 4
    expected = (macs_per_pixel(model) - left_out) * SIDE**2
    assert counted - sobel == pytest.approx(expected, rel=2e-3)


def test_each_operation_is_a_file_that_runs(cut):
    _, operations = cut
    for each in {operation.name: operation for operation in operations}.values():
        interpreter = Interpreter(model_content=each.content)
        interpreter.allocate_tensors()
        assert len(interpreter._get_ops_details()) in (1, 2)  # itself, and the delegate's
        sizes = [
            np.prod(tensor["shape"]) * np.dtype(tensor["dtype"]).itemsize
            for tensor in interpreter.get_input_details() + interpreter.get_output_details()
        ]
        assert 0 < sum(sizes) <= each.moved
        layers.runner(each.content, SIDE, 1)()


def test_the_first_operations_compute_what_the_file_does():
    """The convolution to blocks, by hand: pixel (i, j) of a block is in channel (2i + j)·C + c."""
    content = (FOLDER / "litert" / "gradnet_tiny_color_blind.tflite").read_bytes()
    operations = layers.operations_of(content, SIDE)
    blocks = next(each for each in operations if each.name.startswith("conv_2d 2×2"))
    interpreter = Interpreter(model_content=blocks.content)
    interpreter.allocate_tensors()
    (given,), (found,) = interpreter.get_input_details(), interpreter.get_output_details()
    values = np.random.default_rng(0).random(given["shape"], np.float32)
    interpreter.set_tensor(given["index"], values)
    interpreter.invoke()
    result = interpreter.get_tensor(found["index"])
    np.testing.assert_allclose(result[0, 3, 4, 3 * (2 * 1 + 0) + 2], values[0, 7, 8, 2], rtol=1e-6)


def test_the_table_adds_up(capsys):
    given = layers.COMMAND_LINE.parse(
        ["layers", "--model=gradnet_tiny_color_blind", f"--side={SIDE}", "--rounds=1", "--rows=3"]
    )
    layers.main(given)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"gradnet_tiny_color_blind, {SIDE}×{SIDE}, 2 threads"
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[6:]]
    assert len(cells) == 4 and cells[-1][0] == "the rest"
    assert sum(float(row[3].rstrip("%")) for row in cells) == pytest.approx(100, abs=0.3)
    found = layers.operations_of(
        (FOLDER / "litert" / "gradnet_tiny_color_blind.tflite").read_bytes(), SIDE
    )
    assert sum(int(row[1]) for row in cells) == len(found)


def test_a_model_without_a_file_names_those_there_are():
    with pytest.raises(UserError, match=r"--model=nothing: there is no file .*gradnet_small_color"):
        layers.main(layers.COMMAND_LINE.parse(["layers", "--model=nothing"]))
