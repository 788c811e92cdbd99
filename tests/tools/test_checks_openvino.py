"""OpenVINO, which shares no code with TensorFlow, reads the artifacts and computes the same."""

import json

import numpy as np
import pytest
from tiny_run import make_run, tiny_model

from export.litert.tflite import write_tflite
from export.savedmodel.saved_model import write_saved_model
from export.verify.checks import SIZES, probe_image
from gradnet_tf.denoiser import load_denoiser
from gradnet_tf.runtimes.keras_runtime import KerasRunner
from gradnet_tf.utils.errors import UserError
from tools import checks_openvino
from tools.checks_openvino import VARIABLE, agreement, main, openvino_python, run_openvino

needs_openvino = pytest.mark.skipif(
    openvino_python() is None, reason=f"no OpenVINO: see make openvino-check or {VARIABLE}"
)


@pytest.fixture(scope="module")
def model():
    return tiny_model()


@pytest.mark.slow
@needs_openvino
@pytest.mark.parametrize(
    ("name", "write"),
    [("saved_model", write_saved_model), ("float32.tflite", write_tflite)],
)
def test_openvino_agrees_with_keras_at_odd_sizes(model, tmp_path, name, write):
    write(model, tmp_path / name)
    images = [probe_image(*size, 3) for size in SIZES]
    found, told = run_openvino(tmp_path / name, images)
    runner = KerasRunner(model)
    for image, output in zip(images, found, strict=True):
        expected = runner.run(image)
        assert output.shape == expected.shape
        difference, decibels = agreement(output, expected)
        print(f"{name} {image.shape[1:3]}: {difference:.1e}, {decibels:.0f} dB, {told['version']}")
        assert difference <= 1e-5
    assert np.abs(expected - np.clip(image, 0, 1)).max() > 0.01  # the network does something


@pytest.mark.slow
@needs_openvino
def test_bfloat16_is_a_choice_and_coarser(model, tmp_path):
    write_saved_model(model, tmp_path / "saved_model")
    image = probe_image(64, 64, 3)
    (full,), _ = run_openvino(tmp_path / "saved_model", [image])
    (half,), _ = run_openvino(tmp_path / "saved_model", [image], "bf16")
    assert agreement(half, full)[1] > 45


@pytest.mark.slow
@needs_openvino
def test_what_openvino_refuses_is_named(tmp_path):
    (tmp_path / "broken.tflite").write_bytes(b"TFL3 but not more")
    with pytest.raises(UserError, match="broken.tflite: OpenVINO fails"):
        run_openvino(tmp_path / "broken.tflite", [probe_image(8, 8, 3)])


@pytest.mark.parametrize(("error", "code"), [(0.0, 0), (0.01, 1), (np.nan, 1)])
def test_the_exit_code_tells_whether_the_files_agree(tmp_path, monkeypatch, capsys, error, code):
    write_card(tmp_path)
    outputs = [load_denoiser("gradnet_tiny").denoise(probe_image(*size, 3)) for size in SIZES]
    told = {"version": "0", "seconds": dict.fromkeys("012", 0.1)}
    # The last picture alone, because the extremes of Python forget a NaN that is not the first.
    found = [*outputs[:-1], outputs[-1] + np.float32(error)]
    monkeypatch.setattr(checks_openvino, "run_openvino", lambda *_: (found, told))
    assert main([str(tmp_path)]) == code
    assert ("90 dB expected" in capsys.readouterr().out) == bool(code)


def write_card(folder):
    shape = {"images": {"shape": [1, None, None, 3]}}
    card = {"name": "gradnet_tiny", "file": "a.tflite", "inputs": {"serving_default": shape}}
    (folder / "a.json").write_text(json.dumps(card))


def test_files_of_a_run_are_compared_with_that_run(tmp_path, monkeypatch):
    folder, model = make_run(tmp_path / "run")
    write_card(tmp_path)
    card = json.loads((tmp_path / "a.json").read_text())
    digest = load_denoiser(str(folder)).source["sha256"]
    card |= {"run": str(folder), "weights_sha256": digest}
    (tmp_path / "a.json").write_text(json.dumps(card))
    outputs = [load_denoiser(str(folder)).denoise(probe_image(*size, 3)) for size in SIZES]
    told = {"version": "0", "seconds": dict.fromkeys("012", 0.1)}
    monkeypatch.setattr(checks_openvino, "run_openvino", lambda *_: (outputs, told))
    assert main([str(tmp_path)]) == 0
    (tmp_path / "a.json").write_text(json.dumps({**card, "weights_sha256": "0" * 64}))
    with pytest.raises(UserError, match="has other ones.\nExport it again"):
        main([str(tmp_path)])


def test_a_file_read_by_its_other_signature_is_a_failure(tmp_path, monkeypatch, capsys):
    """OpenVINO takes the first signature of a .tflite file, whatever its name."""
    write_card(tmp_path)
    vectors = [np.zeros((1, 1, 1, 64), np.float32)] * len(SIZES)
    told = {"version": "0", "seconds": dict.fromkeys("012", 0.1)}
    monkeypatch.setattr(checks_openvino, "run_openvino", lambda *_: (vectors, told))
    assert main([str(tmp_path)]) == 1
    assert "another signature" in capsys.readouterr().out


def test_without_openvino_the_way_to_it_is_reported(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="make openvino-check"):
        run_openvino("saved_model", [])


def test_a_folder_without_artifacts_is_refused(tmp_path):
    (tmp_path / "note.json").write_text("{}")
    with pytest.raises(UserError, match="no artifact"):
        main([str(tmp_path)])


def test_agreement_counts_the_largest_difference_and_decibels():
    expected = np.zeros((1, 2, 2, 1))
    found = expected.copy()
    found[0, 0, 0, 0] = 0.2
    difference, decibels = agreement(found, expected)
    assert difference == pytest.approx(0.2)
    assert decibels == pytest.approx(20.0)
    assert agreement(found, found)[1] == np.inf
