"""docs/mobile.md: its Python client cuts a picture as the library does."""

import re
import subprocess
import sys
import types
from pathlib import Path

import cv2
import numpy as np
import pytest

from gradnet_tf import Denoiser
from gradnet_tf.tiling import tiler as tiles

PAGE = (Path(__file__).resolve().parents[2] / "docs/mobile.md").read_text(encoding="utf-8")

PROGRAMS = re.findall(r"```python\n(.*?)```", PAGE, re.S)


@pytest.fixture(scope="module")
def client():
    """The page's program as a module."""
    pytest.importorskip("ai_edge_litert")
    program, _ = PROGRAMS
    module = types.ModuleType("client")
    exec(compile(program, "docs/mobile.md", "exec"), module.__dict__)
    return module


@pytest.mark.parametrize("halo", [52, 58])
def test_the_windows_are_the_librarys(client, halo):
    for length in [*range(1, 60), *range(340, 400), 700, 701, 1501]:
        expected = tiles.spans(length, 256, halo, block=2, fixed=True)
        assert client.spans(length, 256, halo) == [(s.start, s.first, s.last) for s in expected]


def test_a_file_without_its_card_is_one_line(client, tmp_path):
    with pytest.raises(SystemExit) as left:
        client.denoise(np.zeros((8, 8, 3), np.float32), str(tmp_path / "a.tflite.v2.tflite"))
    assert left.value.code == (
        f"{tmp_path / 'a.tflite.v2.json'} is missing: copy the card that the export wrote there"
    )


@pytest.fixture(scope="module")
def tile_file(tmp_path_factory):
    """A tile file with its card, as `python -m export` writes it."""
    pytest.importorskip("tensorflow")
    from datasets.sets.catalog import find_dataset
    from export.export_command import export
    from export.export_config import ExportConfig

    folder = tmp_path_factory.mktemp("exported")
    formats = ("tflite_float32_tile64",)
    options = ExportConfig(model="gradnet_tiny", output=str(folder), formats=formats, max_images=1)
    assert export(options, find_dataset("sample", max_images=1)) == 0
    (path,) = folder.glob("*.tflite")
    return path


@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["interpreter", "compiled"])
def test_the_program_denoises_as_the_library(tmp_path, tile_file, runtime):
    """As somebody who has the page, the file and LiteRT: in a process without our package."""
    noisy = np.random.default_rng(0).integers(90, 160, (150, 201, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "noisy.png"), noisy)
    program, compiled = PROGRAMS
    if runtime == "compiled":  # The class takes the interpreter's place.
        program = program.replace(
            "\n\ndef spans", f"\n{compiled}\nInterpreter = Compiled\n\ndef spans"
        )
    (tmp_path / "client.py").write_text(program, encoding="utf-8")
    command = [sys.executable, "client.py", "noisy.png", tile_file, "denoised.png"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    found = cv2.imread(str(tmp_path / "denoised.png"))[..., ::-1].astype(int)
    expected = Denoiser("gradnet_tiny", runtime="litert")(
        cv2.imread(str(tmp_path / "noisy.png"))[..., ::-1]
    )
    difference = np.abs(found - expected)
    # The attention's crops are drawn differently; the page tells of the end of odd sides.
    assert difference[:-4, :-4].max() <= 1 and difference.max() <= 5 and difference.mean() < 0.2
    assert np.abs(found - noisy.astype(int)[..., ::-1]).mean() > 5


@pytest.mark.slow
def test_a_frame_does_not_weaken_the_program(client, tile_file):
    draw = np.random.default_rng(0)
    clean = cv2.resize(draw.uniform(0.2, 0.8, (12, 12, 3)), (240, 240))
    noisy = np.zeros((520, 520, 3), np.float32)
    inside = slice(140, 380), slice(140, 380)
    noisy[inside] = np.clip(clean + draw.normal(0, 25 / 255, clean.shape), 0, 1)
    expected = Denoiser("gradnet_tiny", runtime="litert")(noisy)
    found = client.denoise(noisy, str(tile_file))
    errors = [np.mean((each[inside] - clean) ** 2) for each in (found, expected)]
    assert errors[0] < 1.1 * errors[1]
