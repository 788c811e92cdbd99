"""SavedModels whose graphs reach outside are refused before any of them runs."""

import numpy as np
import pytest
import tensorflow as tf

from gradnet_tf import Denoiser, load_denoiser
from gradnet_tf.cli import main as cli
from gradnet_tf.utils.errors import UserError


class Doubling(tf.Module):
    """A network that calls `also` as well."""

    def __init__(self, also):
        super().__init__()
        self.weight = tf.Variable(1.0)
        self.also = also

    @tf.function
    def serve(self, images):
        self.also()
        return {"denoised": self.weight * images}


def saved(folder, also):
    module = Doubling(tf.autograph.experimental.do_not_convert(also))
    spec = tf.TensorSpec([None, None, None, 3], name="images")
    tf.saved_model.save(module, str(folder), signatures=module.serve.get_concrete_function(spec))
    return str(folder)


def prints(path):
    return lambda: tf.print("x", output_stream=f"file://{path}")


def saves(path):
    def also():
        tf.raw_ops.SaveV2(
            prefix=str(path), tensor_names=["a"], shape_and_slices=[""], tensors=[tf.constant(1.0)]
        )

    return also


def datasets(path):
    return lambda: tf.data.TextLineDataset(str(path)).reduce("", lambda old, new: old + new)


OUTSIDE = {
    "WriteFile": lambda path: lambda: tf.io.write_file(str(path), "x"),
    "ReadFile": lambda path: lambda: tf.io.read_file(str(path)),
    "MatchingFiles": lambda path: lambda: tf.io.matching_files(str(path)),
    "PyFunc": lambda path: lambda: tf.py_function(path.touch, [], []),
    "PrintV2": prints,
    "SaveV2": saves,
    "RestoreV2": lambda path: (
        lambda: tf.raw_ops.RestoreV2(
            prefix=str(path), tensor_names=["a"], shape_and_slices=[""], dtypes=[tf.float32]
        )
    ),
    "TextLineDataset": datasets,
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_operations_that_reach_outside_are_named(tmp_path, name):
    folder = saved(tmp_path / "model", OUTSIDE[name](tmp_path / "written"))
    for load in (load_denoiser, Denoiser):
        with pytest.raises(
            UserError, match=f"(?s)the SavedModel has operations .*{name}.*trust_model"
        ):
            load(folder)
    assert not list(tmp_path.glob("written*"))
    assert load_denoiser(folder, trust_model=True).channels == 3


def test_what_saves_the_variables_may_not_be_called_by_the_network(tmp_path):
    folder = saved(tmp_path / "model", lambda: None)
    path = tmp_path / "model" / "saved_model.pb"
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    model = SavedModel.FromString(path.read_bytes())
    functions = model.meta_graphs[0].graph_def.library.function
    (saver,) = [each for each in functions if "traced_save" in each.signature.name]
    network = next(each for each in functions if "serve" in each.signature.name)
    call = network.node_def.add(name="more", op="StatefulPartitionedCall")
    call.attr["f"].func.name = saver.signature.name
    path.write_bytes(model.SerializeToString())
    with pytest.raises(UserError, match="__inference__traced_save_"):
        load_denoiser(folder)
    # Nor does the name alone make a saver of a function that names the file itself.
    model = SavedModel.FromString(path.read_bytes())
    functions = model.meta_graphs[0].graph_def.library.function
    (saver,) = [each for each in functions if "traced_save" in each.signature.name]
    saver.signature.input_arg[0].name = "images"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(UserError, match="MergeV2Checkpoints"):
        load_denoiser(folder)


def test_a_graph_around_the_functions_may_not_call_what_saves_the_variables(tmp_path):
    """TensorFlow runs such nodes where a file does not describe its objects."""
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    folder = saved(tmp_path / "model", lambda: None)
    path = tmp_path / "model" / "saved_model.pb"
    model = SavedModel.FromString(path.read_bytes())
    load_denoiser(folder)  # It calls its own savers with the path that it is given.
    model.meta_graphs[0].ClearField("object_graph_def")
    path.write_bytes(model.SerializeToString())
    with pytest.raises(UserError, match="__inference__traced_save_"):
        load_denoiser(folder)


@pytest.mark.parametrize(
    ("function", "received"),
    [
        (lambda images: {"denoised": images, "a_noise": images}, "outputs: a_noise, denoised"),
        (lambda images: {"denoised": tf.reshape(images, tf.shape(images))}, None),
    ],
)
def test_which_output_is_the_picture_is_never_guessed(tmp_path, function, received):
    module = tf.Module()
    shape = [None, None, None, 3] if received else None
    spec = tf.TensorSpec(shape, name="images")
    module.serve = tf.function(function)
    signature = module.serve.get_concrete_function(spec)
    tf.saved_model.save(module, str(tmp_path / "model"), signatures=signature)
    with pytest.raises(UserError, match=f"one output. Received: .*{received or 'unknown'}"):
        load_denoiser(str(tmp_path / "model"))


def test_a_picture_that_is_too_large_for_the_memory_is_one_failure(tmp_path):
    denoiser = load_denoiser(saved(tmp_path / "model", lambda: None))
    picture = np.random.default_rng(0).random((1, 20, 20, 3), np.float32)

    def fails(error):
        def signature(**_):
            raise error(None, None, "OOM when allocating tensor")

        return signature

    denoiser.runner._signature = fails(tf.errors.ResourceExhaustedError)
    with pytest.raises(MemoryError, match="could not run .1, 20, 20, 3"):
        denoiser.denoise(picture)
    denoiser.runner._signature = fails(tf.errors.InternalError)
    with pytest.raises(UserError, match="refuses the images: OOM"):
        denoiser.denoise(picture)


def test_a_network_alone_is_run_and_the_command_has_the_flag(tmp_path, capsys):
    picture = np.random.default_rng(0).random((1, 20, 20, 3), np.float32)
    good = load_denoiser(saved(tmp_path / "good", lambda: None))
    np.testing.assert_allclose(good.denoise(picture), picture)
    bad = saved(tmp_path / "bad", prints(tmp_path / "written"))
    (tmp_path / "a.ppm").write_bytes(b"P6 20 20 255\n" + bytes(range(240)) * 5)
    command = ["denoise", str(tmp_path / "a.ppm"), "--output", str(tmp_path / "out")]
    assert cli.main([*command, f"--model={bad}"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: --model={bad}: the SavedModel has operations that read or ")
    assert "PrintV2" in error and len(error.splitlines()) == 2
    assert cli.main([*command, f"--model={bad}", "--trust-model"]) == 0
    assert (tmp_path / "written").exists()
