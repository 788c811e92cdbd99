"""`--naive=` anything: the run trains, its folder alone is enough afterwards, refusals are told."""

import importlib.util
import json
import os
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
from tiny_run import make_run, tiny_model

from datasets.pipeline.batches import PipelineConfig, TrainingBatches, validation_pairs
from datasets.pipeline.stream import training_stream
from datasets.sets.catalog import find_dataset
from gradnet_tf import models
from gradnet_tf.denoiser import load_denoiser
from gradnet_tf.models.base import build_model
from gradnet_tf.models.classical import CLASSICAL, append_estimate, classical_denoiser
from gradnet_tf.training.config import TrainConfig
from gradnet_tf.training.naive import given_naive
from gradnet_tf.training.run import prepare_workdir, train
from gradnet_tf.utils.errors import UserError

RNG = np.random.default_rng(8)
IMAGES = RNG.random((2, 26, 31, 3), dtype=np.float32)
FIELDS = "channels batch_size crop_size sigma_min sigma_max seed workers estimator".split()


def make_naive(kind, folder):
    """Returns what to give as --naive, below `folder` where it is a file."""
    if kind in CLASSICAL:
        if kind == "bm3d" and importlib.util.find_spec("bm3d") is None:
            pytest.skip("the package bm3d is not installed (its licence is non-commercial)")
        return kind
    if kind == "published DnCNN":
        return str(published_dncnn())
    if kind in ("dncnn_tiny", "gradnet_tiny"):
        return str(make_run(folder / "naive_run", kind)[0])
    keras.utils.set_random_seed(3)
    network = models.FFDNet(4, 8) if kind == "FFDNet" else models.MSKResnet(8, 1, 1)
    model = build_model(network)
    model.reconstruction.kernel.assign(model.reconstruction.kernel * 10)
    folder.mkdir(exist_ok=True)
    model.save(folder / "naive.keras")
    return str(folder / "naive.keras")


def published_dncnn():
    if importlib.util.find_spec("gradnet_tf.loading.published_networks") is None:
        pytest.skip("this version reads no published weights")
    if "GRADNET_PEERS" not in os.environ:
        pytest.skip("GRADNET_PEERS names no folder with published weights")
    return Path(os.environ["GRADNET_PEERS"]) / "dncnn" / "color_sigma25.mat"


def config_for(workdir, naive, **changes):
    fields = {"preset": "gradnet_tiny", "batch_size": 2, "crop_size": 24, "steps": 2}
    fields |= {"sigma_min": 20.0, "sigma_max": 20.0, "validate_every": 2, "checkpoint_every": 2}
    return TrainConfig(workdir=str(workdir), naive=naive, **{**fields, **changes})


def run_training(config, image_set):
    def make_batches(start_step):
        fields = {name: getattr(config, name) for name in FIELDS}
        pipeline = PipelineConfig(**fields, start_step=start_step)
        return training_stream(image_set, pipeline, on_host=bool(config.teacher))

    return train(config, make_batches, validation_pairs(image_set, config.sigma_min, 0, crop=32))


@pytest.fixture
def image_set(make_images):
    return find_dataset("folder", make_images("photos", ["a.png", "b.png"], (32, 36)))


# A network of another kind than the preset's that takes the level, one that is read from a file of
# other people's, and one outside the network. Each takes ten seconds; BM3D more, on every crop.
KINDS = ["FFDNet", "published DnCNN", "opencv_nlm"]
FURTHER_KINDS = ["dncnn_tiny", "gradnet_tiny", "MSKResnet", "bm3d"]


@pytest.mark.parametrize(
    "kind", [*KINDS, *(pytest.param(kind, marks=pytest.mark.slow) for kind in FURTHER_KINDS)]
)
def test_a_run_with_any_naive_denoiser_needs_only_its_folder(kind, image_set, tmp_path):
    naive = make_naive(kind, tmp_path / "given")
    estimate = load_denoiser(naive).denoise(IMAGES, 20.0)
    result = run_training(config_for(tmp_path / "run", naive), image_set)
    assert result["step"] == 2 and np.isfinite(result["psnr"])
    shutil.rmtree(tmp_path / "given", ignore_errors=True)

    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert ("naive_model" in config) == (kind != "dncnn_tiny")  # the preset's own kind
    denoiser = load_denoiser(str(tmp_path / "run"))
    np.testing.assert_allclose(denoiser.naive(IMAGES), estimate, atol=1e-5)
    denoised = denoiser.denoise(IMAGES)
    assert denoised.shape == IMAGES.shape and np.isfinite(denoised).all()
    assert not denoiser.needs_sigma and denoiser.source["preset"] == "gradnet_tiny"
    # The estimate's gradient reaches the output.
    kernel = denoiser.model.reconstruction.kernel
    kernel.assign(kernel * 30)
    before = denoiser.denoise(IMAGES)
    weight = denoiser.model.features.kernel
    weight.assign(0 * weight)
    assert np.abs(denoiser.denoise(IMAGES) - before).max() > 1e-5

    if kind not in ("FFDNet", "opencv_nlm"):
        return
    # The same command goes on, though what it was given is gone.
    edit_steps(tmp_path / "run", 4)
    result = run_training(config_for(tmp_path / "run", naive, steps=4), image_set)
    assert result["step"] == 4
    again = load_denoiser(str(tmp_path / "run"))
    np.testing.assert_allclose(again.naive(IMAGES), estimate, atol=1e-5)


def edit_steps(workdir, steps):
    """Makes a finished run one that was stopped on its way to more steps."""
    path = workdir / "config.json"
    config = json.loads(path.read_text())
    config["train"]["steps"] = steps
    path.write_text(json.dumps(config))


def test_a_damaged_copy_asks_for_the_file_that_was_given(image_set, tmp_path):
    naive = make_naive("MSKResnet", tmp_path / "given")
    config = config_for(tmp_path / "run", naive)
    given = given_naive(config)
    prepare_workdir(config, naive_model=given.of_another_kind(config))
    given.keep(tmp_path / "run")
    (copy,) = (tmp_path / "run/naive/best").glob("*.weights.h5")
    whole = copy.read_bytes()
    copy.write_bytes(b"broken")
    again = given_naive(config)
    pairs = zip(again.weights, given.weights, strict=True)
    assert all(np.array_equal(ours, theirs) for ours, theirs in pairs)
    again.keep(tmp_path / "run")
    assert len(copy.read_bytes()) == len(whole)
    (tmp_path / "given" / "naive.keras").unlink()
    assert given_naive(config).weights[0].shape == given.weights[0].shape


def test_precision_reaches_a_given_network(tmp_path):
    given = given_naive(config_for(tmp_path / "run", make_naive("FFDNet", tmp_path / "given")))
    for precision in ("mixed_bfloat16", "float32"):
        network = given.build(precision).denoiser
        assert network.convs[1].compute_dtype == precision.removeprefix("mixed_")


def test_classical_estimates_follow_the_noisy_crops(image_set):
    """The noisy half and the clean crops are those of any run; the rest is the estimate."""
    fields = {"batch_size": 3, "crop_size": 24, "sigma_min": 20, "sigma_max": 20}
    plain = TrainingBatches(image_set, PipelineConfig(**fields)).batch(5)
    batches = TrainingBatches(image_set, PipelineConfig(**fields, estimator="opencv_nlm"))
    noisy, clean = batches.batch(5)
    assert noisy.shape == batches.noisy_shape == (3, 24, 24, 6)
    np.testing.assert_array_equal(clean, plain[1])
    expected = append_estimate(plain[0], 20, classical_denoiser("opencv_nlm"))
    np.testing.assert_array_equal(noisy, expected)
    np.testing.assert_array_equal(batches.batch(5)[0], noisy)


def test_a_network_with_a_given_estimate_round_trips_as_keras_file(tmp_path):
    model = models.GradNet(models.GivenEstimate("opencv_nlm", 20.0), 8, 1, 1)
    model = build_model(model)
    model.save(tmp_path / "model.keras")
    denoiser = load_denoiser(str(tmp_path / "model.keras"))
    both = append_estimate(IMAGES, 20.0, classical_denoiser("opencv_nlm"))
    expected = np.clip(keras.ops.convert_to_numpy(model(both)), 0, 1)
    np.testing.assert_allclose(denoiser.denoise(IMAGES), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "changes", "words"),
    [
        ("FFDNet", {"sigma_min": 0.0}, "needs the noise level, which a blind network"),
        ("opencv_nlm", {"sigma_min": 0.0}, "needs the noise level, which a blind network"),
        ("opencv_nlm", {"degradation": "camera"}, "a degradation of several stages has none"),
        ("opencv_nlm", {"joint": True}, "has no weights that could be trained"),
        ("MSKResnet", {"channels": 1}, "expected a network for --channels=1. Received: channels=3"),
    ],
)
def test_what_cannot_be_the_naive_denoiser_is_refused(kind, changes, words, tmp_path):
    naive = make_naive(kind, tmp_path / "given")
    with pytest.raises(UserError, match=words) as caught:
        train(config_for(tmp_path / "run", naive, **changes), None, [])
    assert len(str(caught.value).splitlines()) <= 3
    assert not (tmp_path / "run").exists()


def test_an_estimate_outside_costs_and_cannot_be_exported(image_set, tmp_path, capsys):
    run_training(config_for(tmp_path / "run", "opencv_nlm"), image_set)
    said = capsys.readouterr().err
    assert "warning: opencv_nlm computes the naive estimate of every crop" in said
    assert "crops of 24×24 per second" in said
    with pytest.raises(UserError, match="its naive denoiser is not a part of the network"):
        train(config_for(tmp_path / "other", str(tmp_path / "run")), None, [])
    if keras.backend.backend() != "tensorflow":
        return
    from export.export_command import export
    from export.export_config import ExportConfig
    from export.weights.shipping import ship

    with pytest.raises(UserError, match="its naive denoiser is opencv_nlm, which is not part"):
        export(ExportConfig(model=str(tmp_path / "run"), output=str(tmp_path / "out")), None)
    with pytest.raises(UserError, match="opencv_nlm: not a network, so it cannot be exported"):
        export(ExportConfig(model="opencv_nlm", output=str(tmp_path / "out")), None)
    with pytest.raises(UserError, match="its naive denoiser is not that of preset gradnet_tiny"):
        ship(tmp_path / "run", "gradnet_tiny_color_s20", [], tmp_path, str)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"registered_name": "other>Network"}, "names the class 'other>Network'"),
        ({"registered_name": None, "module": "os", "class_name": "system"}, "the class 'system'"),
        ({"config": {"dtype": {"class_name": "__lambda__", "config": {}}}}, "'__lambda__'"),
        ({"config": {"num_layers": 1}}, "not an architecture of this version: `num_layers` must"),
    ],
)
def test_a_run_that_names_a_foreign_class_is_refused(change, words, tmp_path):
    folder, _ = make_run(tmp_path / "run")
    architecture = keras.saving.serialize_keras_object(tiny_model("dncnn_tiny"))
    config = {"preset": "gradnet_tiny", "channels": 3, "naive_model": {**architecture, **change}}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=words):
        load_denoiser(str(folder))
