"""The table of .tflite files: their order, their times, and what it says without any."""

import json

import pytest
from tiny_run import tiny_model

from benchmarks.measuring import best_times
from benchmarks.speed.tflite_speed import find_cards, load_runs, precision
from export.litert.tflite import write_tflite
from gradnet_tf.utils.errors import UserError


def test_cards_come_float32_first_and_any_size_first(tmp_path):
    formats = ["tflite_int8", "tflite_float32_tile64", "tflite_float32", "saved_model"]
    for name in formats:
        card = {"format": name, "tile": 64 if "tile" in name else None}
        (tmp_path / f"{name}.json").write_text(json.dumps(card))
    (tmp_path / "other.json").write_text("{}")
    found = [(precision(card), card["tile"]) for card in find_cards(tmp_path)]
    assert found == [("float32", None), ("int8", None), ("float32", 64)]


def test_a_folder_without_files_says_what_to_do(tmp_path):
    with pytest.raises(UserError, match="Run python -m export first"):
        find_cards(tmp_path)


def test_every_file_is_timed(tmp_path):
    paths = [tmp_path / "a.tflite", tmp_path / "b.tflite"]
    for path, side in zip(paths, (None, 40), strict=True):
        write_tflite(tiny_model("dncnn_tiny"), path, "float32", side)
    times = best_times(load_runs(paths, 1), 2)
    assert len(times) == 2 and all(0 < value < 60 for value in times)
