"""Keras' own ways: any model of images to images is a denoiser, and ours export as Keras' do."""

import json

import h5py
import keras
import numpy as np
import pytest

from export.savedmodel.saved_model import write_saved_model
from gradnet_tf.denoiser import Denoiser, load_denoiser
from gradnet_tf.layers.serialized import reason_of
from gradnet_tf.models import FFDNet, FixedSigma, GradNet
from gradnet_tf.models.base import build_model
from gradnet_tf.utils.errors import UserError


@pytest.fixture
def picture():
    return np.random.default_rng(0).random((1, 24, 31, 1), dtype=np.float32)


def functional(channels=1, size=(None, None), outputs=None, subtract=True):
    """A DnCNN as others write it; its noise is small, so that nothing is clipped."""
    layers = keras.layers
    inputs = keras.Input((*size, channels))
    x = layers.Conv2D(8, 3, padding="same", activation="relu")(inputs)
    x = layers.BatchNormalization()(layers.Conv2D(8, 3, padding="same")(x))
    small = keras.initializers.VarianceScaling(1e-3)
    x = layers.Conv2D(outputs or channels, 3, padding="same", kernel_initializer=small)(
        layers.ReLU()(x)
    )
    return keras.Model(inputs, layers.Subtract()([inputs, x]) if subtract else x)


def expected_of(model, picture):
    return np.clip(np.asarray(model(picture)), 0, 1)


def as_keras_2(path):
    """Rewrites the configuration in an .h5 file as Keras 2 wrote it."""

    def older(value):
        if isinstance(value, list):
            return [older(item) for item in value]
        if not isinstance(value, dict):
            return value
        if value.get("class_name") == "DTypePolicy":
            return value["config"]["name"]
        kept = {
            {"batch_shape": "batch_input_shape"}.get(key, key): older(item)
            for key, item in value.items()
            if key not in ("module", "registered_name", "build_config", "optional", "ragged")
        }
        return kept

    def node(found):
        names = []

        def collect(value):
            if isinstance(value, dict):
                if value.get("class_name") == "__keras_tensor__":
                    names.append([*value["config"]["keras_history"], {}])
                else:
                    collect(list(value.values()))
            elif isinstance(value, list):
                for item in value:
                    collect(item)

        collect(found)
        return names

    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        for layer in config["config"]["layers"]:
            layer["inbound_nodes"] = [node(found) for found in layer["inbound_nodes"]]
        config = older(config)
        config["class_name"] = "Model"
        ends = ("input_layers", "output_layers")
        for end in ends:
            found = config["config"][end]
            config["config"][end] = found if isinstance(found[0], list) else [found]
        file.attrs["model_config"] = json.dumps(config).encode()
        file.attrs["keras_version"] = b"2.1.2"
    return path


@pytest.mark.parametrize("suffix", [".keras", ".h5", ".hdf5"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_functional_model(tmp_path, suffix, channels):
    model = functional(channels)
    images = np.random.default_rng(0).random((1, 24, 31, channels), dtype=np.float32)
    path = tmp_path / f"model{suffix}"
    model.save(path)
    denoiser = load_denoiser(str(path))
    assert (denoiser.channels, denoiser.needs_sigma, denoiser.name) == (channels, False, "model")
    np.testing.assert_allclose(denoiser.denoise(images), expected_of(model, images), atol=1e-6)
    # Any size, in turn.
    assert denoiser.denoise(images[:, :1, :3]).shape == (1, 1, 3, channels)


def test_a_model_in_memory(picture):
    model = functional()
    denoiser = Denoiser(model, "mine")
    assert (denoiser.name, denoiser.runtime, denoiser.channels) == ("mine", "keras", 1)
    assert denoiser.source["kind"] == "keras" and denoiser.model.denoiser is model
    np.testing.assert_allclose(denoiser.denoise(picture), expected_of(model, picture), atol=1e-6)
    levels = (picture[0] * 255).astype(np.uint8)
    assert denoiser(levels).shape == levels.shape
    with pytest.raises(TypeError, match="made from a network in memory"):
        denoiser.__reduce__()


def test_our_own_model_in_memory_is_the_one_of_its_file(tmp_path):
    model = GradNet.from_preset("gradnet_tiny_color_blind")
    images = np.random.default_rng(0).random((1, 24, 31, 3), dtype=np.float32)
    own = Denoiser(model)
    assert own.model is model
    model.save(tmp_path / "model.keras")
    loaded = load_denoiser(str(tmp_path / "model.keras"))
    np.testing.assert_array_equal(own.denoise(images), loaded.denoise(images))
    assert own.naive(images) is not None
    # One that was never called is built.
    assert Denoiser(FFDNet(num_layers=2, filters=4, channels=1)).needs_sigma


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (3, "expected a name, a path, a Keras model or a `Runner`. Received: int"),
        (functional(outputs=2, subtract=False), "model: expected a denoiser of gradnet_tf"),
        (functional(size=(8, 8)), "images of any size"),
    ],
)
def test_what_is_not_a_denoiser_in_memory_is_refused(model, words):
    with pytest.raises(UserError, match=words):
        Denoiser(model)


def test_an_h5_file_of_keras_2(tmp_path, picture):
    model = functional()
    model.save(tmp_path / "model.h5")
    denoiser = load_denoiser(str(as_keras_2(tmp_path / "model.h5")))
    np.testing.assert_allclose(denoiser.denoise(picture), expected_of(model, picture), atol=1e-6)


def test_a_sequential_model_and_one_around_ours(tmp_path, picture):
    layers = keras.layers
    model = keras.Sequential(
        [keras.Input((None, None, 1)), layers.Conv2D(4, 3, padding="same"), layers.Conv2D(1, 1)]
    )
    model.save(tmp_path / "a.keras")
    found = load_denoiser(str(tmp_path / "a.keras")).denoise(picture)
    np.testing.assert_allclose(found, expected_of(model, picture), atol=1e-6)
    inner = GradNet.from_preset("gradnet_tiny_color_blind")
    inputs = keras.Input((None, None, 3))
    outer = keras.Model(inputs, layers.Rescaling(1.0)(inner(inputs)))
    outer.save(tmp_path / "b.keras")
    colors = picture.repeat(3, axis=-1)
    found = load_denoiser(str(tmp_path / "b.keras")).runner.run(colors)
    np.testing.assert_allclose(found, expected_of(inner, colors), atol=1e-6)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: functional(outputs=3, subtract=False), "if it maps images to images: "),
        (lambda: functional(size=(64, 64)), r"must take images of any size, keras.Input\(\(None"),
        (lambda: functional(channels=4), "must map images"),
        (
            lambda: keras.Sequential([keras.Input((7,)), keras.layers.Dense(7)]),
            "must map images",
        ),
    ],
)
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_models_of_other_shapes_are_refused(tmp_path, make, words, suffix):
    make().save(tmp_path / f"a{suffix}")
    with pytest.raises(UserError, match=words) as caught:
        load_denoiser(str(tmp_path / f"a{suffix}"))
    assert len(str(caught.value).splitlines()) <= 2


def test_layers_that_run_code_or_read_files_are_refused_in_every_format(tmp_path):
    inputs = keras.Input((None, None, 1))
    model = keras.Model(inputs, keras.layers.Lambda(lambda x: x)(inputs))
    for name in ("a.keras", "a.h5"):
        model.save(tmp_path / name)
        with pytest.raises(UserError, match="names the class 'Lambda'"):
            load_denoiser(str(tmp_path / name))
    functional().save(tmp_path / "b.h5")
    as_keras_2(tmp_path / "b.h5")
    with h5py.File(tmp_path / "b.h5", "r+") as file:
        config = json.loads(file.attrs["model_config"])
        config["config"]["layers"][1]["class_name"] = "Lambda"
        file.attrs["model_config"] = json.dumps(config).encode()
    with pytest.raises(UserError, match="names the class 'Lambda'"):
        load_denoiser(str(tmp_path / "b.h5"))


def test_h5_files_that_are_not_a_whole_model(tmp_path):
    functional().save_weights(tmp_path / "a.weights.h5")
    (tmp_path / "a.weights.h5").rename(tmp_path / "weights_only.h5")
    with pytest.raises(UserError, match="weights file does not define its network"):
        load_denoiser(str(tmp_path / "weights_only.h5"))
    functional().save(tmp_path / "b.h5")
    data = (tmp_path / "b.h5").read_bytes()
    (tmp_path / "other").write_bytes(data)
    with pytest.raises(UserError, match="needs the suffix .h5"):
        load_denoiser(str(tmp_path / "other"))
    (tmp_path / "cut.h5").write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match="Keras does not read this file"):
        load_denoiser(str(tmp_path / "cut.h5"))
    with h5py.File(tmp_path / "b.h5", "r+") as file:
        file["model_weights/more"] = h5py.ExternalLink(str(tmp_path / "weights_only.h5"), "/")
    with pytest.raises(UserError, match="`more` is missing"):
        load_denoiser(str(tmp_path / "b.h5"))
    functional().save(tmp_path / "c.h5")
    with h5py.File(tmp_path / "c.h5", "r+") as file:
        config = file.attrs["model_config"]
        config = config.decode() if isinstance(config, bytes) else config
        file.attrs["model_config"] = config.replace('"filters": 8', '"filters": 800000').encode()
    with pytest.raises(UserError, match="more weights than"):
        load_denoiser(str(tmp_path / "c.h5"))


def test_another_precision_of_someone_elses_model_is_refused(tmp_path):
    functional().save(tmp_path / "a.keras")
    with pytest.raises(UserError, match="was saved in float32"):
        load_denoiser(str(tmp_path / "a.keras"), "mixed_bfloat16")


def test_export_without_a_call(tmp_path, picture):
    colors = picture.repeat(3, axis=-1)
    model = GradNet.from_preset("gradnet_tiny_color_blind")
    model.export(tmp_path / "first", verbose=False)
    expected = expected_of(model, colors)
    model.save(tmp_path / "a.keras")
    keras.models.load_model(tmp_path / "a.keras").export(tmp_path / "second", verbose=False)
    for name in ("first", "second"):
        found = Denoiser(tmp_path / name).runner.run(colors)
        np.testing.assert_allclose(np.clip(found, 0, 1), expected, atol=1e-5)


def test_export_of_a_network_with_the_noise_level(tmp_path, picture):
    model = build_model(FFDNet(3, 4, channels=1))
    model.export(tmp_path / "a", verbose=False)
    denoiser = Denoiser(tmp_path / "a")
    assert denoiser.needs_sigma
    found = denoiser.runner.run(picture, np.float32([20]))
    expected = np.asarray(model(picture, np.float32([20])))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_export_of_a_gradnet_that_passes_the_noise_level_on(tmp_path, picture):
    """By Keras' export it is one clear line; ours, and one with a fixed level, work."""
    psi = FFDNet(2, 4, channels=1)
    model = build_model(GradNet(psi, filters=4, num_modules=1, num_units=1, channels=1))
    for format in ("tf_saved_model", "litert"):
        with pytest.raises(ValueError, match="needs the noise level.*python -m export.*FixedSigma"):
            model.export(tmp_path / "a", format=format, verbose=False)
    write_saved_model(model, tmp_path / "b")
    found = Denoiser(tmp_path / "b").runner.run(picture, np.float32([20]))
    expected = np.clip(np.asarray(model(picture, sigma=np.float32([20]))), 0, 1)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    fixed = GradNet(FixedSigma(psi, 20), filters=4, num_modules=1, num_units=1, channels=1)
    build_model(fixed).set_weights(model.get_weights())
    fixed.export(tmp_path / "c", verbose=False)
    np.testing.assert_allclose(Denoiser(tmp_path / "c").denoise(picture), expected, atol=1e-5)


def test_a_functional_model_as_the_naive_denoiser(tmp_path, picture):
    naive = functional()
    model = build_model(GradNet(naive, filters=4, num_modules=1, num_units=1, channels=1))
    model.save(tmp_path / "a.keras")
    denoiser = load_denoiser(str(tmp_path / "a.keras"))
    np.testing.assert_allclose(denoiser.naive(picture), expected_of(naive, picture), atol=1e-6)


@pytest.mark.parametrize("folder", ["models [v2]", "run=[1,2]", "what?", "a*b"])
def test_saved_models_in_folders_whose_name_reads_as_a_pattern(tmp_path, picture, folder):
    from export.savedmodel.saved_model_artifact import _folder_in_place

    model = functional()
    with _folder_in_place(tmp_path / folder / "saved_model" / "1") as new:
        model.export(new, verbose=False)
    assert [path.name for path in (tmp_path / folder / "saved_model").iterdir()] == ["1"]
    found = Denoiser(tmp_path / folder).denoise(picture)
    np.testing.assert_allclose(found, expected_of(model, picture), atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"model": "nothing"}, "model='nothing': no such file, folder or name"),
        ({"model": ""}, "model: expected a path or a name"),
        ({"model": __file__}, "this kind of file is not supported"),
        ({"model": "dncnn", "runtime": "litert"}, "runtime='litert': no .tflite file is shipped"),
        ({"runtime": "fast"}, "`runtime` must be one of"),
    ],
)
def test_errors_from_python_name_the_argument(arguments, words):
    with pytest.raises(UserError, match=words) as caught:
        Denoiser(**arguments)
    assert "--model" not in str(caught.value) and "--runtime" not in str(caught.value)
    with pytest.raises(UserError, match="--model=nothing: no such file"):
        load_denoiser("nothing")


def test_a_reason_is_cut_between_words():
    short = "one line"
    assert reason_of(ValueError(f"{short}\nanother")) == short
    words = " ".join(f"layer_{number}" for number in range(100))
    cut = reason_of(ValueError(words))
    assert cut.endswith(" …") and len(cut) < 210
    assert words.startswith(cut.removesuffix(" …") + " ")
    assert reason_of(ValueError()) == "ValueError"


@keras.saving.register_keras_serializable("laboratory")
class OwnLayer(keras.layers.Layer):
    def call(self, images):
        return images


def test_a_file_with_a_class_of_ones_own_says_how_to_use_it(tmp_path):
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, OwnLayer()(inputs))
    model.save(tmp_path / "own.keras")
    with pytest.raises(UserError) as caught:
        load_denoiser(str(tmp_path / "own.keras"))
    first, second = str(caught.value).splitlines()
    assert "'laboratory>OwnLayer'" in first and "layers of Keras" in first
    assert second.startswith("Nothing of it was loaded.") and "Denoiser(model)" in second
    picture = np.full((8, 9, 3), 0.5, np.float32)  # and this way works
    np.testing.assert_allclose(Denoiser(model).denoise(picture[None])[0], picture, atol=1e-6)
