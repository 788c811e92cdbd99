"""The TFLite file is judged by LiteRT: numbers at odd sizes, built-in operations, any size."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from tiny_run import tiny_model

from benchmarks.speed.layers import operations_of
from export.litert.tflite import list_operations, write_tflite
from gradnet_tf.denoiser import load_denoiser
from gradnet_tf.images.image_files import write_image
from gradnet_tf.runtimes.litert_runtime import TFLiteRunner
from gradnet_tf.utils.errors import UserError


def noisy_images(*shape):
    return np.random.default_rng(5).normal(0.5, 0.3, shape).astype(np.float32)


@pytest.fixture(scope="module")
def model():
    return tiny_model()


@pytest.fixture(scope="module")
def path(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "gradnet_tiny_float32.tflite"
    write_tflite(model, path)
    return path


@pytest.mark.parametrize("size", [(1, 1), (37, 31), (481, 321)])
def test_litert_agrees_with_keras_at_odd_sizes(model, path, size):
    """Through the interpreter's own signature, without any code of the project."""
    images = noisy_images(1, *size, 3)
    runner = Interpreter(model_path=str(path)).get_signature_runner("serving_default")
    found = runner(images=images)["denoised"]
    assert found.shape == images.shape
    assert np.abs(found - np.clip(np.asarray(model(images)), 0, 1)).max() <= 1e-5


def test_the_result_is_cropped_by_rows(path):
    """LiteRT copies whole rows, but the pixels of a cropped picture one by one."""
    names = [each.name for each in operations_of(path.read_bytes(), 33)]
    crops = [name for name in names if name.startswith("strided_slice")]
    assert crops.count("strided_slice float32: 34×102 → 33×99") == 2
    assert not any(name.endswith("33×33×3") for name in crops)


def test_who_names_no_signature_gets_the_denoiser(model, path):
    interpreter = Interpreter(model_path=str(path))
    images = noisy_images(1, 20, 30, 3)
    (details,) = interpreter.get_input_details()
    interpreter.resize_tensor_input(details["index"], images.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(details["index"], images)
    interpreter.invoke()
    (output,) = interpreter.get_output_details()
    found = interpreter.get_tensor(output["index"])
    np.testing.assert_allclose(found, np.clip(np.asarray(model(images)), 0, 1), atol=1e-5)
    assert set(interpreter.get_signature_list()) == {"serving_default", "tile", "attention"}


def test_the_runner_goes_from_size_to_size(model, path):
    denoiser = load_denoiser(str(path))
    assert (denoiser.name, denoiser.channels) == ("gradnet_tiny_float32", 3)
    assert denoiser.source["kind"] == "tflite"
    for shape in ((1, 8, 9, 3), (2, 5, 4, 3), (1, 8, 9, 3), (1, 1, 1, 3)):
        images = noisy_images(*shape)
        wanted = np.clip(np.asarray(model(images)), 0, 1)
        np.testing.assert_allclose(denoiser.denoise(images), wanted, atol=1e-5)
    assert denoiser.naive(images) is None


def test_the_command_needs_neither_tensorflow_nor_keras(path, tmp_path):
    code = """
import sys
from gradnet_tf.cli import main as cli
assert cli.main(["denoise", sys.argv[1], "--output", sys.argv[2], "--model", sys.argv[3]]) == 0
print([name for name in ("tensorflow", "keras", "jax") if name in sys.modules])
"""
    write_image(tmp_path / "a.png", np.zeros((9, 14, 3), np.uint8))
    command = [sys.executable, "-c", code, tmp_path / "a.png", tmp_path / "out", path]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert (tmp_path / "out" / "a.png").is_file()


def test_only_builtin_operations_and_no_delegate_are_listed(path):
    operations = list_operations(path)
    assert {"CONV_2D", "DEPTHWISE_CONV_2D", "DEPTH_TO_SPACE", "MEAN"} <= set(operations)
    # Slow on phones, or not taken by their accelerated paths.
    assert not {"TRANSPOSE_CONV", "MIRROR_PAD"} & set(operations)
    assert not [name for name in operations if "Flex" in name or "CUSTOM" in name.upper()]
    assert "DELEGATE" not in operations


def test_half_precision_is_not_a_precision_of_a_file(path):
    with pytest.raises(UserError, match="runs in the precision it was exported in"):
        load_denoiser(str(path), "mixed_bfloat16")


def convert(function, folder, shape, name="images"):
    """A file of one signature, made without any code of the project."""
    module = tf.Module()
    module.call = tf.function(
        lambda **given: {"denoised": function(given[name])},
        input_signature=None,
    )
    concrete = module.call.get_concrete_function(**{name: tf.TensorSpec(shape, tf.float32, name)})
    tf.saved_model.save(module, str(folder), signatures=concrete)
    return tf.lite.TFLiteConverter.from_saved_model(str(folder)).convert()


def test_a_file_of_a_fixed_size_says_which(tmp_path):
    content = convert(lambda images: images * 0.5, tmp_path / "model", [1, 4, 6, 3])
    (tmp_path / "a.tflite").write_bytes(content)
    runner = TFLiteRunner(tmp_path / "a.tflite")
    np.testing.assert_allclose(runner.run(np.ones((1, 4, 6, 3), np.float32)), 0.5)
    words = r"takes images of 4×6 pixels only. Received: 5×6.\nFor others it needs the card"
    with pytest.raises(UserError, match=words):
        runner.run(np.ones((1, 5, 6, 3), np.float32))
    with pytest.raises(UserError, match=words):
        runner.run_picture(np.ones((5, 6, 3), np.float32))


def test_a_file_of_another_kind_is_refused(tmp_path):
    content = convert(lambda vector: vector * 2.0, tmp_path / "model", [1, 7])
    (tmp_path / "a.tflite").write_bytes(content)
    with pytest.raises(
        UserError, match=r"expected one float32 input .* Received: inputs \[\[1, 7\]\]"
    ):
        load_denoiser(str(tmp_path / "a.tflite"))


def test_a_file_without_signatures_is_refused(tmp_path):
    concrete = tf.function(lambda x: x * 2.0).get_concrete_function(tf.TensorSpec([1, 4, 4, 3]))
    content = tf.lite.TFLiteConverter.from_concrete_functions([concrete]).convert()
    (tmp_path / "a.tflite").write_bytes(content)
    with pytest.raises(UserError, match="has no signature serving_default"):
        load_denoiser(str(tmp_path / "a.tflite"))
