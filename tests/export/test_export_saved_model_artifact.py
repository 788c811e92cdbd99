"""The SavedModel as an artifact: bfloat16, versions, limits, warm-up, saved_model_cli."""

import json
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import serving_case as case
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2
from tiny_run import make_run, tiny_model

from export.export_command import export
from export.export_config import ExportConfig
from export.savedmodel import saved_model_artifact
from export.savedmodel.saved_model_artifact import PLACE, write_warmup
from export.verify import checks
from gradnet_tf.denoiser import load_denoiser
from gradnet_tf.models import FFDNet
from gradnet_tf.models.base import build_model
from gradnet_tf.runtimes.keras_runtime import KerasRunner
from gradnet_tf.utils.errors import UserError
from tools.stand_in_model import Servable


@pytest.fixture(scope="module")
def images():
    """A set of one small picture, as an `ImageSet`."""
    return SimpleNamespace(
        name="one",
        split="test",
        names=["a.png"],
        channels=3,
        has_clean=True,
        load=[case.pixels(24, 31)].__getitem__,
        noisy=lambda index: None,
    )


@pytest.fixture(scope="module")
def exported(images, tmp_path_factory):
    """A run exported in bfloat16 as version 3."""
    run = str(make_run(tmp_path_factory.mktemp("runs") / "run")[0])
    output = tmp_path_factory.mktemp("exported")
    formats, limit = ("saved_model_bfloat16",), 300_000
    config = ExportConfig(str(output), run, formats, version=3, max_pixels=limit)
    assert export(config, images) == 0
    return output


def requests_of(folder):
    """The warm-up requests of a SavedModel."""
    for record in tf.data.TFRecordDataset(str(folder / PLACE)):
        log = prediction_log_pb2.PredictionLog()
        log.ParseFromString(record.numpy())
        yield log.predict_log.request


def test_the_bfloat16_variant_is_written_as_the_version_asked_for(exported):
    assert {path.name for path in exported.iterdir()} == {
        "saved_model_bfloat16",
        "saved_model_bfloat16.json",
    }
    card = json.loads((exported / "saved_model_bfloat16.json").read_text())
    assert (card["file"], card["format"]) == ("saved_model_bfloat16/3", "saved_model_bfloat16")
    assert card["limits"] == {"max_pixels": 300_000, "max_images": 64}
    assert set(card["inputs"]) == {"serving_default", "uint8", "encoded"}
    assert 1e-4 < max(card["max_difference"].values()) < 0.05, "bfloat16 must round"
    assert abs(card["quality"]["drop_db"]) < 0.1


def test_a_card_describes_its_own_version_only(exported, tmp_path):
    shutil.copytree(exported / "saved_model_bfloat16/3", tmp_path / "saved_model/1")
    shutil.copytree(exported / "saved_model_bfloat16/3", tmp_path / "saved_model/2")
    (tmp_path / "saved_model/1/assets/old.txt").parent.mkdir(exist_ok=True)
    (tmp_path / "saved_model/1/assets/old.txt").write_text("an earlier export")
    card = json.loads((exported / "saved_model_bfloat16.json").read_text())
    assert card["run"] is not None
    (tmp_path / "saved_model.json").write_text(json.dumps({**card, "file": "saved_model/2"}))
    first, second = (load_denoiser(str(tmp_path / "saved_model" / n)).source for n in "12")
    assert second["sha256"] == card["sha256"] and second["run"] == card["run"]
    assert first["run"] is None and first["sha256"] not in (None, second["sha256"])
    assert load_denoiser(str(tmp_path)).source["sha256"] == card["sha256"]  # the newest


def test_the_bfloat16_network_has_the_weights_in_float32():
    model = tiny_model()
    copy = saved_model_artifact.in_bfloat16(model)
    assert copy.compute_dtype == "bfloat16"
    for weight, wanted in zip(copy.weights, model.weights, strict=True):
        assert weight.dtype == "float32"
        np.testing.assert_array_equal(weight.numpy(), wanted.numpy())


def test_too_little_agreement_in_bfloat16_fails_the_export(exported):
    folder = exported / "saved_model_bfloat16" / "3"
    saved_model_artifact.check_agreement(folder, KerasRunner(tiny_model()).run, 3, False)
    other = KerasRunner(tiny_model(gain=30.0)).run
    with pytest.raises(checks.CheckFailed, match=r"float32 to [\d.]+ dB \(at least 50 dB"):
        saved_model_artifact.check_agreement(folder, other, 3, False)


def test_warm_up_has_a_request_for_each_signature_and_all_succeed(exported):
    servable = Servable(exported / "saved_model_bfloat16", "denoiser")
    assert servable.version == 3
    seen = []
    for request in requests_of(exported / "saved_model_bfloat16" / "3"):
        inputs = {name: tf.make_ndarray(proto) for name, proto in request.inputs.items()}
        outputs = servable.predict(request.model_spec.signature_name, inputs)
        seen.append(request.model_spec.signature_name)
        assert len(next(iter(outputs.values()))) == 1
    assert sorted(seen) == ["encoded", "serving_default", "uint8"]


def test_warm_up_of_a_network_that_takes_a_level_gives_one(tmp_path):
    write_warmup(tmp_path, 1, needs_sigma=True)
    for request in requests_of(tmp_path):
        assert tf.make_ndarray(request.inputs["sigma"]).tolist() == [25.0]


def run_cli(folder, *arguments):
    """Returns what `saved_model_cli` prints about a SavedModel."""
    command = [sys.executable, "-m", "tensorflow.python.tools.saved_model_cli", *arguments]
    command += ["--dir", str(folder), "--tag_set", "serve"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_saved_model_cli_shows_the_signatures(exported):
    shown = run_cli(exported / "saved_model_bfloat16" / "3", "show", "--all")
    for name in ("serving_default", "uint8", "encoded"):
        assert f"signature_def['{name}']" in shown
    for text in ("inputs['image_bytes'] tensor_info", "dtype: DT_STRING", "shape: (-1, -1, -1, 3)"):
        assert text in shown


@pytest.mark.slow
def test_saved_model_cli_runs_a_signature(exported, tmp_path):
    np.save(tmp_path / "images.npy", np.full((1, 4, 5, 3), 128, np.uint8))
    given = ["--signature_def", "uint8", "--inputs", f"images={tmp_path / 'images.npy'}"]
    shown = run_cli(exported / "saved_model_bfloat16" / "3", "run", *given)
    assert "Result for output key denoised" in shown


def test_a_limit_out_of_range_is_refused_before_anything_is_written(images, tmp_path):
    config = ExportConfig(str(tmp_path / "o"), "gradnet_tiny", max_pixels=7)
    with pytest.raises(UserError, match="--max_pixels"):
        export(config, images)
    assert not (tmp_path / "o").exists()


def test_a_network_that_takes_a_level_is_refused_for_int8_alone(images, tmp_path):
    model = build_model(FFDNet(num_layers=2, filters=16))
    model.save(tmp_path / "ffdnet.keras")
    config = ExportConfig(
        str(tmp_path / "o"), str(tmp_path / "ffdnet.keras"), formats=("tflite_int8",)
    )
    with pytest.raises(UserError, match="8-bit files are for blind networks"):
        export(config, images)
