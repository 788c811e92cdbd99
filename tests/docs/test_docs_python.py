"""docs/python.md: its programs run from top to bottom."""

import re
from pathlib import Path

import keras
import numpy as np
import pytest

from gradnet_tf.images.image_files import write_image

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/python.md").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="the page exports with TensorFlow"
)
def test_the_programs_of_the_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    y, x = np.mgrid[:64, :80].astype(np.float32)
    for number, name in enumerate("abc"):
        picture = np.stack([x * 2, y * 3, x + y], -1) + 10 * number
        write_image(tmp_path / "my_photos" / f"{name}.png", picture.astype(np.uint8))
    programs = re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S)
    assert len(programs) == 9
    space: dict = {"__name__": "page"}
    for number, program in enumerate(programs):
        exec(compile(program, f"docs/python.md, program {number + 1}", "exec"), space)
    assert (tmp_path / "out" / "a.png").is_file()
    assert np.isfinite(space["history"].history["loss"][0])
    assert np.isfinite(space["result"]["mean"]["psnr"])
    again = space["GradNet"].from_preset("presets/own")
    noisy = np.random.default_rng(0).random((1, 20, 24, 3), np.float32)
    np.testing.assert_array_equal(again(noisy), space["model"](noisy))
