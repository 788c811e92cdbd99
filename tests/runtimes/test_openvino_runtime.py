"""The shipped .tflite files in OpenVINO: whole pictures, tiles, and what is read of the format."""

import json
import shutil
import struct

import numpy as np
import pytest

from gradnet_tf import weights
from gradnet_tf.denoiser import load_denoiser
from gradnet_tf.runtimes import openvino_runtime
from gradnet_tf.runtimes.litert_runtime import LiteRTFile
from gradnet_tf.runtimes.openvino_runtime import OpenVINOFile, _with_first, read_graphs
from gradnet_tf.tiling.tile_config import TileConfig
from gradnet_tf.utils.errors import UserError

TINY = "gradnet_tiny_color_blind"
PATH = weights.FOLDER / "litert" / f"{TINY}.tflite"


def test_the_graphs_are_read_as_litert_reads_them():
    ours, theirs = OpenVINOFile(PATH), LiteRTFile(PATH, 1)
    assert (
        set(ours.signatures) == set(theirs.signatures) == {"serving_default", "tile", "attention"}
    )
    for name in ours.signatures:
        for side in ("inputs", "outputs"):
            found, wanted = getattr(ours, side)(name), getattr(theirs, side)(name)
            assert found.keys() == wanted.keys()
            for key in found:
                shapes = [each[key]["shape_signature"].tolist() for each in (found, wanted)]
                assert shapes[0] == shapes[1], (name, key)
                assert found[key]["dtype"] == wanted[key]["dtype"] == np.float32


def test_any_graph_can_be_the_first():
    content = PATH.read_bytes()
    graphs = read_graphs(content)
    for name, graph in graphs.items():
        changed = _with_first(content, graph["index"])
        # The signatures still count the old places, so the first one is now read for this graph.
        first = next(each for each in graphs if graphs[each]["index"] == 0)
        found = read_graphs(changed)[first]["inputs"] if name == first else None
        assert len(changed) == len(content)
        assert found is None or found.keys() == graph["inputs"].keys()
        assert _with_first(changed, graph["index"]) == content


@pytest.mark.parametrize("content", [b"", b"TFL3" * 5, PATH.read_bytes()[:900]])
def test_a_damaged_file_is_refused(tmp_path, content):
    (tmp_path / "a.tflite").write_bytes(content)
    with pytest.raises(UserError, match="a.tflite: "):
        OpenVINOFile(tmp_path / "a.tflite").signatures.index("serving_default")


def test_a_vector_that_claims_more_than_the_file_has_is_refused_at_once():
    content = bytearray(PATH.read_bytes())
    (root,) = struct.unpack_from("<I", content, 0)
    field = openvino_runtime._field(content, root, openvino_runtime._MODEL_GRAPHS)
    (step,) = struct.unpack_from("<I", content, field)
    struct.pack_into("<I", content, field + step, 2**31)
    with pytest.raises(ValueError, match="longer than the file"):
        read_graphs(content)


def test_a_tensor_may_have_no_name():
    content = bytearray(PATH.read_bytes())
    (root,) = struct.unpack_from("<I", content, 0)
    table = openvino_runtime._tables(content, root, openvino_runtime._MODEL_GRAPHS)[0]
    # Forgets where the first field of the graph is, as files do that lack it.
    (offset,) = struct.unpack_from("<i", content, table)
    struct.pack_into("<H", content, table - offset + 4, 0)
    assert openvino_runtime._text(content, table, 0) == ""


def test_a_precision_that_it_does_not_compute_in_is_refused(tmp_path):
    path = shutil.copy(PATH, tmp_path / "a.tflite")
    with pytest.raises(UserError, match="runs in OpenVINO with float32 or bfloat16.*mixed_float16"):
        load_denoiser(str(path), "mixed_float16", runtime="openvino")


@pytest.fixture
def cache(monkeypatch, tmp_path):
    pytest.importorskip("openvino", reason="OpenVINO is not installed: pip install openvino")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_it_computes_what_litert_computes(cache, tmp_path):
    images = np.random.default_rng(0).random((1, 190, 210, 3), np.float32)
    exact = load_denoiser(TINY, "float32", runtime="litert")
    for precision, least in (("float32", 90), ("bfloat16", 45)):
        denoiser = load_denoiser(TINY, precision, runtime="openvino")
        assert (denoiser.runtime, denoiser.source["precision"]) == ("openvino", precision)
        for tiles in (TileConfig("whole", pooling="whole"), TileConfig(96, pooling="crops")):
            wanted, found = (each.denoise(images, None, tiles) for each in (exact, denoiser))
            assert -10 * np.log10(np.mean((found - wanted) ** 2) + 1e-12) > least, tiles
    assert any((tmp_path / "gradnet" / "openvino").iterdir())  # compiled graphs are kept


def test_tiles_do_not_change_the_result(cache):
    image = np.random.default_rng(1).random((1, 300, 200, 3), np.float32)
    denoiser = load_denoiser(TINY, "float32", runtime="openvino")
    whole, tiled = (
        denoiser.denoise(image, None, TileConfig(side, pooling="crops")) for side in ("whole", 64)
    )
    np.testing.assert_allclose(tiled, whole, atol=1e-5)


def test_an_exported_file_runs_there(cache, tmp_path):
    for suffix in (".tflite", ".json"):
        (tmp_path / f"a{suffix}").write_bytes(PATH.with_suffix(suffix).read_bytes())
    denoiser = load_denoiser(str(tmp_path / "a.tflite"), "float32", runtime="openvino")
    assert denoiser.runtime == "openvino"
    assert json.loads((tmp_path / "a.json").read_text())["halo"] > 0
    assert denoiser.denoise(np.zeros((1, 9, 9, 3), np.float32)).shape == (1, 9, 9, 3)


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert openvino_runtime._cache() == {"CACHE_DIR": str(tmp_path / "gradnet" / "openvino")}
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert openvino_runtime._cache() == {}
