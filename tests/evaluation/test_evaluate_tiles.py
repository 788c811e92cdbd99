"""evaluate.py --tile: what is recorded, and that the score stays."""

import json

import cv2
import pytest
from evaluation_case import photographs
from script_case import exit_code, loaded_script
from tiny_run import make_run

from gradnet_tf.tiling import tiler
from gradnet_tf.tiling.tiler import windows


def test_tiles_are_recorded_and_score_the_same(capsys, tmp_path, monkeypatch):
    folder, _ = make_run(tmp_path / "run")
    photos = tmp_path / "large"
    photos.mkdir()
    cv2.imwrite(str(photos / "a.png"), photographs(1, 90, 140)["a.png"])
    cuts, found = [], {}

    def recorded(*arguments):
        cuts.append(windows(*arguments))
        return cuts[-1]

    monkeypatch.setattr(tiler, "windows", recorded)
    for tile in (None, "16"):
        output = tmp_path / f"out_{tile}"
        more = [] if tile is None else [f"--tile={tile}"]
        common = ("--dataset=folder", f"--data_dir={photos}", f"--output={output}")
        arguments = [f"--model={folder}", "--max_images=1", *common, *more]
        assert exit_code(loaded_script("evaluate"), *arguments) == 0, capsys.readouterr().err
        found[tile] = json.loads((output / "metrics.json").read_text("utf-8"))
    assert (found[None]["tile"], found["16"]["tile"]) == ("auto", 16)
    # 90×140 pixels in windows of 68, of which 16 to 42 are kept.
    assert [len(cut) for cut in cuts] == [1, 3 * 6]
    psnr = found[None]["images"][0]["psnr"]
    assert found["16"]["images"][0]["psnr"] == pytest.approx(psnr, abs=1e-4)
