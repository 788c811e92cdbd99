"""docs/notebooks: each runs from top to bottom at small size, and is stored without output."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from gradnet_tf.images.image_files import write_image

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "docs/notebooks").glob("*.ipynb"))
#: What stands in the notebooks, and what the test puts in its place.
SMALL = {
    "denoise_photographs": {'"auto"': '"gradnet_tiny"'},
    "reproduce_a_result": {
        '"cbsd68"': '"sample"',
        '"gradnet_small_color_blind"': '"gradnet_tiny_color_blind"',
        "--sigma=25": "--sigma=25 --max_images=1",
    },
    "train_on_your_pairs": {
        "--preset=gradnet_small": "--preset=gradnet_tiny --steps=4 --naive_steps=2 --log_every=1",
        "mixed_bfloat16": "float32",
        '"30m"': '"60s"',
        "CROP = 64": "CROP = 16",
    },
    "export_to_a_phone": {
        '"gradnet_small"': '"gradnet_tiny"',
        '"tflite_float16,tflite_float32_tile256"': '"tflite_float16"',
        "python -m export": "python -m export --max_images=1",
    },
}


def code_cells(path):
    notebook = json.loads(path.read_text("utf-8"))
    assert notebook["nbformat"] == 4
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None
            yield "".join(cell["source"])


def test_every_notebook_is_here():
    assert {path.stem for path in NOTEBOOKS} == SMALL.keys()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_short_and_without_output(path):
    assert 3 <= len(list(code_cells(path))) <= 6


def run_command(line: str, space: dict) -> None:
    """Runs a line that begins with "!" as Jupyter does, with {NAME} replaced."""
    words = shlex.split(re.sub(r"\{(\w+)\}", lambda found: str(space[found[1]]), line[1:]))
    assert words[0] == "python"
    done = subprocess.run(
        [sys.executable, *words[1:]],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the notebooks export")
@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs(path, tmp_path, monkeypatch):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg", force=True)
    pytest.importorskip("ai_edge_litert")
    monkeypatch.chdir(tmp_path)
    for name in ("train.py", "evaluate.py"):
        (tmp_path / name).symlink_to(ROOT / name)
    generator = np.random.default_rng(0)
    y, x = np.mgrid[:48, :56]
    clean = np.stack([x * 4, y * 5, x + y], -1).astype(float)
    for name in "abcdefghijklmnopqrst":
        noisy = np.clip(clean + generator.normal(0, 20, clean.shape), 0, 255)
        write_image(tmp_path / f"my_pairs/clean/{name}.png", clean.astype(np.uint8))
        write_image(tmp_path / f"my_pairs/noisy/{name}.png", noisy.astype(np.uint8))
    write_image(tmp_path / "photo.jpg", noisy.astype(np.uint8))
    space: dict = {"__name__": "notebook"}
    replaced = set()
    for source in code_cells(path):
        for text, small in SMALL[path.stem].items():
            replaced |= {text} if text in source else set()
            source = source.replace(text, small)
        source = source.replace('"../.."', '"."')
        if source.startswith("!"):
            run_command(source.replace("\\\n", " "), space)
        else:
            exec(compile(source, str(path), "exec"), space)
    assert replaced == SMALL[path.stem].keys()
