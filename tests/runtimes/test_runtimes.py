"""Keras or LiteRT: which one runs weights that ship, and that both compute the same."""

import subprocess
import sys

import numpy as np
import pytest

from gradnet_tf import weights
from gradnet_tf.cli.main import main
from gradnet_tf.denoiser import Denoiser, load_denoiser
from gradnet_tf.images.image_files import read_image, write_image
from gradnet_tf.loading.load import resolve
from gradnet_tf.runtimes import choose_runtime
from gradnet_tf.utils.errors import UserError

TINY = "gradnet_tiny_color_blind"


@pytest.fixture
def free(monkeypatch):
    """A machine without a GPU, on which nobody chose a backend."""
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setattr(choose_runtime, "_has_gpu", lambda: False)


@pytest.mark.parametrize(
    "name", [card["name"] for card in weights.list_weights() if weights.find_tflite(card["name"])]
)
def test_both_runtimes_compute_the_same(name):
    litert, keras = (load_denoiser(name, "float32", runtime=each) for each in ("litert", "keras"))
    assert (litert.name, litert.channels) == (keras.name, keras.channels)
    assert litert.source["runtime"] == "litert" and litert.model is None
    assert litert.source["trained_sigma"] == keras.source["trained_sigma"]
    images = np.random.default_rng(0).random((2, 61, 47, keras.channels), np.float32)
    np.testing.assert_allclose(litert.denoise(images), keras.denoise(images), atol=1e-5)


def test_the_default_and_its_gray_partner_ship_for_litert():
    assert weights.find_tflite("default") and weights.find_tflite(weights.GRAY)
    assert weights.find_tflite(TINY) and weights.find_tflite("nonsense") is None


def test_auto_takes_litert_unless_there_is_a_reason(free, monkeypatch, tmp_path):
    assert resolve(TINY, "auto").litert == weights.find_tflite("gradnet_tiny")
    assert resolve(TINY, "keras").litert is None
    assert resolve("opencv_nlm", "auto").litert is None
    assert resolve(str(tmp_path), "auto").litert is None
    monkeypatch.setattr(choose_runtime, "_has_gpu", lambda: True)
    assert resolve(TINY, "auto").litert is None
    assert resolve(TINY, "litert").litert == weights.find_tflite("gradnet_tiny")
    monkeypatch.setattr(choose_runtime, "_has_gpu", lambda: False)
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    assert resolve(TINY, "auto").litert is None
    monkeypatch.delenv("KERAS_BACKEND")
    monkeypatch.setattr(choose_runtime.importlib.util, "find_spec", lambda name: None)
    assert resolve(TINY, "auto").litert is None


@pytest.mark.parametrize("spec", ["opencv_nlm", "gradnet", "."])
def test_litert_without_a_file_says_what_to_do(spec):
    with pytest.raises(UserError, match="no .tflite file is shipped for .*\nExport one"):
        resolve(spec, "litert")


def test_an_unknown_runtime_is_refused():
    with pytest.raises(UserError, match="`runtime` must be one of auto, keras, litert"):
        load_denoiser("default", runtime="onnx")


def test_a_damaged_file_is_refused(free, monkeypatch, tmp_path):
    (tmp_path / "litert").mkdir()
    for name in (f"{TINY}.json", f"{TINY}.weights.h5", f"litert/{TINY}.json"):
        (tmp_path / name).write_bytes((weights.FOLDER / name).read_bytes())
    content = bytearray((weights.FOLDER / "litert" / f"{TINY}.tflite").read_bytes())
    content[-1] ^= 1
    (tmp_path / "litert" / f"{TINY}.tflite").write_bytes(content)
    monkeypatch.setattr(weights, "FOLDER", tmp_path)
    with pytest.raises(UserError, match="damaged or was replaced"):
        Denoiser(TINY)


@pytest.mark.parametrize("runtime", ["keras", "litert"])
def test_the_command_takes_the_flag(free, tmp_path, runtime):
    noisy = np.random.default_rng(0).integers(0, 256, (50, 60, 3), np.uint8)
    write_image(tmp_path / "a.png", noisy)
    arguments = ["denoise", str(tmp_path / "a.png"), "--output", str(tmp_path / runtime)]
    assert main([*arguments, f"--model={TINY}", f"--runtime={runtime}"]) == 0
    wanted = load_denoiser(TINY, runtime=runtime)(noisy)
    np.testing.assert_array_equal(read_image(tmp_path / runtime / "a.png"), wanted)


def test_litert_needs_no_framework(tmp_path):
    write_image(tmp_path / "a.png", np.zeros((9, 9, 3), np.uint8))
    code = """
import sys
from gradnet_tf.cli.main import main
code = main(["denoise", sys.argv[1], "--output", sys.argv[2], "--runtime=litert"])
known = {"tensorflow", "keras", "jax", "torch"} & {name.split(".")[0] for name in sys.modules}
sys.exit(f"imported: {known}" if known else code)
"""
    command = [sys.executable, "-c", code, str(tmp_path / "a.png"), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "" or "gray" in done.stderr  # no native chatter


def test_a_file_that_is_not_its_cards_is_refused(tmp_path):
    place = weights.FOLDER / "litert"
    for suffix in (".tflite", ".json"):
        (tmp_path / f"a{suffix}").write_bytes((place / f"{TINY}{suffix}").read_bytes())
    load_denoiser(str(tmp_path / "a.tflite"))
    data = bytearray((tmp_path / "a.tflite").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "a.tflite").write_bytes(data)
    with pytest.raises(
        UserError, match="its sha256 is .*the card beside it, a.json, says"
    ) as caught:
        load_denoiser(str(tmp_path / "a.tflite"))
    assert len(str(caught.value).splitlines()) <= 3
    (tmp_path / "a.json").write_text("{}")  # a card that says nothing of it
    load_denoiser(str(tmp_path / "a.tflite"))


@pytest.mark.parametrize("text", ["[" * 100_000, "3", '{"halo": "x", "sha256": 3}', "\xff"])
def test_a_card_that_is_none(tmp_path, text):
    place = weights.FOLDER / "litert"
    (tmp_path / "a.tflite").write_bytes((place / f"{TINY}.tflite").read_bytes())
    (tmp_path / "a.json").write_text(text, "latin-1")
    try:
        load_denoiser(str(tmp_path / "a.tflite"))
    except UserError as error:
        assert len(str(error).splitlines()) <= 3
