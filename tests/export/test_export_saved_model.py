"""The SavedModel is judged by TensorFlow's C++ loader: numbers, signatures, names, refusals."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny_run import tiny_model

from export.savedmodel.saved_model import write_saved_model
from export.verify import checks
from export.verify.artifact import sha256_of_folder
from export.verify.cpp_loader import LoaderError, run_saved_model
from export.verify.formats import TFLiteFormat
from gradnet_tf.denoiser import load_denoiser
from gradnet_tf.runtimes.keras_runtime import KerasRunner

SIZES = [(1, 1), (37, 31), (481, 321)]


def noisy_images(*shape):
    return np.random.default_rng(5).normal(0.5, 0.3, shape).astype(np.float32)


@pytest.fixture(scope="module")
def model():
    return tiny_model()


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported") / "saved_model" / "1"
    write_saved_model(model, folder)
    return folder


@pytest.fixture(scope="module")
def in_cpp(folder):
    """What the C++ loader gives at the three sizes and for a batch of two."""
    images = [noisy_images(1, *size, 3) for size in SIZES] + [noisy_images(2, 6, 5, 3)]
    return images, run_saved_model(folder, [{"images": image} for image in images])


def test_the_cpp_loader_agrees_with_keras_at_odd_sizes(model, in_cpp):
    changed = 0.0
    for images, outputs in zip(in_cpp[0], in_cpp[1].outputs, strict=True):
        plain = np.asarray(model(images))
        found = outputs["denoised"]
        assert found.shape == images.shape and found.dtype == np.float32
        assert np.abs(found - np.clip(plain, 0, 1)).max() <= 1e-5
        changed = max(changed, np.abs(plain - images).max())
    assert changed > 0.02, "the network must do something here"


def test_the_signatures_have_the_documented_names(in_cpp):
    signatures = in_cpp[1].signatures
    for name in ("serving_default", "uint8"):
        assert list(signatures[name]["inputs"]) == ["images"]
        assert list(signatures[name]["outputs"]) == ["denoised"]
    assert list(signatures["encoded"]["inputs"]) == ["image_bytes"]
    assert list(signatures["encoded"]["outputs"]) == ["denoised_bytes"]


def test_the_uint8_signature_rounds_what_keras_gives(model, folder):
    levels = np.random.default_rng(3).integers(0, 256, (2, 37, 31, 3), dtype=np.uint8)
    found = run_saved_model(folder, [{"images": levels}], signature="uint8").outputs[0]["denoised"]
    wanted = 255 * np.clip(np.asarray(model(levels.astype(np.float32) / 255)), 0, 1)
    assert found.dtype == np.uint8
    assert np.abs(found - wanted).max() <= 0.5 + 255e-5


def test_the_check_passes_and_gives_the_figures(model, folder):
    differences = checks.check_saved_model(folder, KerasRunner(model).run, 3)
    assert set(differences) == {"1x1", "37x31", "481x321"}
    assert max(differences.values()) <= 1e-5


def test_the_check_fails_for_another_network(folder):
    other = KerasRunner(tiny_model(gain=30.0)).run
    with pytest.raises(checks.CheckFailed, match=r"differs from Keras by 1x1: .*37x31: "):
        checks.check_saved_model(folder, other, 3)


def compare_as_tflite(what, function):
    """Judges a function of images as a float32 file, against the identity."""
    runner = SimpleNamespace(run=function)
    denoiser = SimpleNamespace(channels=3, needs_sigma=False, denoise=lambda images, *_: images)
    checks.check_tflite(what, runner, denoiser, TFLiteFormat("float32"))


def test_not_a_number_fails_the_check():
    def broken(images):
        return np.full_like(images, np.nan)

    with pytest.raises(checks.CheckFailed, match="nan"):
        compare_as_tflite("broken", broken)


def test_another_shape_fails_the_check():
    def cropped(images):
        return images[:, :1]

    with pytest.raises(checks.CheckFailed, match=r"shape \(1, 1, 31, 3\) at 37x31"):
        compare_as_tflite("cropped", cropped)


def test_the_python_loader_serves_it_as_a_model(model, folder):
    images = noisy_images(2, 9, 14, 3)
    wanted = np.clip(np.asarray(model(images)), 0, 1)
    for path in (folder, folder.parent, folder.parent.parent):
        denoiser = load_denoiser(str(path))
        np.testing.assert_allclose(denoiser.denoise(images), wanted, atol=1e-5)
        assert (denoiser.channels, denoiser.model, denoiser.naive(images)) == (3, None, None)


def test_the_newest_version_is_served(folder, tmp_path):
    for version in ("2", "10"):
        (tmp_path / version).mkdir()
    (tmp_path / "10" / "saved_model.pb").write_bytes(b"\xff")
    with pytest.raises(ValueError, match="/10: the SavedModel does not load"):
        load_denoiser(str(tmp_path))


def test_the_loader_names_what_it_refuses(folder, tmp_path):
    with pytest.raises(LoaderError, match="could not load the SavedModel"):
        run_saved_model(tmp_path, [])
    with pytest.raises(LoaderError, match="no signature 'other' in .*serving_default"):
        run_saved_model(folder, [], signature="other")
    with pytest.raises(LoaderError, match="could not run the signature 'serving_default'"):
        run_saved_model(folder, [{"images": noisy_images(1, 4, 4, 1)}])


def test_the_cpp_loader_sees_the_fault_that_the_python_loader_forgives(tmp_path):
    """Why it is the judge: a tf.Module around a Keras model, saved the obvious way."""
    model = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(3, 1)])
    module = tf.Module()
    module.model = model
    module.run = tf.function(
        lambda images: model(images),
        input_signature=[tf.TensorSpec([None, None, None, 3], tf.float32, name="images")],
    )
    tf.saved_model.save(module, str(tmp_path), signatures=module.run.get_concrete_function())
    images = noisy_images(1, 4, 4, 3)
    assert load_denoiser(str(tmp_path)).denoise(images).shape == images.shape
    with pytest.raises(LoaderError, match="Could not find variable"):
        run_saved_model(tmp_path, [{"images": images}])


def test_a_gray_model_takes_one_channel(tmp_path):
    model = tiny_model("dncnn_tiny", channels=1)
    write_saved_model(model, tmp_path / "1")
    assert max(checks.check_saved_model(tmp_path / "1", KerasRunner(model).run, 1).values()) <= 1e-5
    assert load_denoiser(str(tmp_path)).channels == 1


def test_the_hash_of_a_folder_follows_its_files(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_bytes(b"1")
    before = sha256_of_folder(tmp_path)
    (tmp_path / "a" / "x").write_bytes(b"2")
    assert sha256_of_folder(tmp_path) != before
    (tmp_path / "a" / "x").write_bytes(b"1")
    assert sha256_of_folder(tmp_path) == before
