"""Files of unknown origin are tried in another process before LiteRT opens them here."""

import numpy as np
import pytest

from gradnet_tf import weights
from gradnet_tf.denoiser import load_denoiser
from gradnet_tf.runtimes.litert_runtime import require_no_crash
from gradnet_tf.utils.errors import UserError


def test_a_file_that_crashes_litert_is_refused(tmp_path):
    flatbuffers = pytest.importorskip("flatbuffers")
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
    whole = weights.tflite_path(weights.find_card("gradnet_tiny_color_blind")).read_bytes()
    model = schema.ModelT.InitFromPackedBuf(whole)
    # One byte of the file; LiteRT follows the index wherever it points.
    model.signatureDefs[2].subgraphIndex = 2130706434
    builder = flatbuffers.Builder(len(whole))
    builder.Finish(model.Pack(builder), b"TFL3")
    path = tmp_path / "damaged.tflite"
    path.write_bytes(builder.Output())
    with pytest.raises(UserError, match="crashes LiteRT .signal SIGSEGV.*\n.*damaged"):
        load_denoiser(str(path), runtime="auto")
    # A whole copy without a card passes the same trial.
    (tmp_path / "whole.tflite").write_bytes(whole)
    assert load_denoiser(str(tmp_path / "whole.tflite")).denoise(np.zeros((1, 9, 9, 3), "f4")).shape


def test_the_trial_imports_nothing_that_lies_beside_a_file(tmp_path, monkeypatch):
    whole = weights.tflite_path(weights.find_card("gradnet_tiny_color_blind"))
    (tmp_path / "numpy.py").write_text("open('ran', 'w')")
    monkeypatch.chdir(tmp_path)
    require_no_crash(whole)
    assert not (tmp_path / "ran").exists()
