"""Keras' own `model.export` on a network right after loading, beside `python -m export`."""

import keras
import numpy as np
import pytest

from export.litert.tflite import write_tflite
from export.savedmodel.saved_model import write_saved_model
from gradnet_tf.models import FFDNet, GradNet

IMAGES = np.random.default_rng(4).random((1, 21, 18, 3), dtype=np.float32)

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="Keras exports with TensorFlow"
)


@pytest.fixture
def model():
    return GradNet.from_preset("gradnet_tiny")


def run_saved_model(folder, images, endpoint):
    import tensorflow as tf

    loaded = tf.saved_model.load(str(folder))  # has to stay alive during the call
    if endpoint == "serve":
        return np.asarray(loaded.serve(images))
    return np.asarray(loaded.signatures[endpoint](images=tf.constant(images))["denoised"])


def run_litert(path, images):
    interpreter = pytest.importorskip("ai_edge_litert.interpreter").Interpreter(str(path))
    place = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(place, images.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(place, images)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


@pytest.mark.slow
def test_tf_saved_model(model, tmp_path):
    model.export(tmp_path / "keras", format="tf_saved_model", verbose=False)
    write_saved_model(model, tmp_path / "ours")
    theirs = run_saved_model(tmp_path / "keras", IMAGES, "serve")
    ours = run_saved_model(tmp_path / "ours", IMAGES, "serving_default")
    np.testing.assert_allclose(theirs, model(IMAGES), atol=1e-5)
    np.testing.assert_allclose(np.clip(theirs, 0, 1), ours, atol=1e-5)


@pytest.mark.slow
def test_litert(model, tmp_path):
    pytest.importorskip("ai_edge_litert")
    model.export(tmp_path / "keras.tflite", format="litert", verbose=False)
    write_tflite(model, tmp_path / "ours.tflite")
    theirs = run_litert(tmp_path / "keras.tflite", IMAGES)
    np.testing.assert_allclose(theirs, model(IMAGES), atol=1e-5)
    ours = run_litert(tmp_path / "ours.tflite", IMAGES)
    np.testing.assert_allclose(np.clip(theirs, 0, 1), ours, atol=1e-5)


@pytest.mark.slow
# tf2onnx asks NumPy for names that NumPy has dropped.
@pytest.mark.filterwarnings("ignore:In the future `np.object`:FutureWarning")
def test_onnx(model, tmp_path):
    pytest.importorskip("tf2onnx")
    runtime = pytest.importorskip("onnxruntime")
    model.export(tmp_path / "keras.onnx", format="onnx", verbose=False)
    session = runtime.InferenceSession(str(tmp_path / "keras.onnx"))
    for images in (IMAGES, np.repeat(IMAGES, 2, axis=0)[:, :10]):
        (found,) = session.run(None, {session.get_inputs()[0].name: images})
        np.testing.assert_allclose(found, model(images), atol=1e-4)


@pytest.mark.slow
def test_openvino(model, tmp_path):
    openvino = pytest.importorskip("openvino")
    # Keras takes no Path here.
    model.export(str(tmp_path / "keras.xml"), format="openvino", verbose=False)
    # Without the hint processors with bfloat16 compute in it.
    hint = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(tmp_path / "keras.xml", "CPU", hint)
    for images in (IMAGES, np.repeat(IMAGES, 2, axis=0)[:, :10]):
        np.testing.assert_allclose(compiled(images)[0], model(images), atol=1e-5)


@pytest.mark.slow
def test_a_network_that_takes_the_noise_level(tmp_path):
    import tensorflow as tf

    model = FFDNet(num_layers=3, filters=4)
    model.export(tmp_path / "keras", format="tf_saved_model", verbose=False)
    sigma = np.float32([25])
    found = tf.saved_model.load(str(tmp_path / "keras"))
    np.testing.assert_allclose(found.serve(IMAGES, sigma), model(IMAGES, sigma), atol=1e-5)
