"""`gradnet denoise` in tiles: results, formats, and what is refused."""

import numpy as np
import pytest
import tifffile
from denoise_case import gradnet, names, read
from photo_samples import by_opencv, noise, read_opencv
from PIL import Image

from gradnet_tf.denoiser import load_denoiser
from gradnet_tf.tiling import tiler
from gradnet_tf.tiling.tile_config import TileConfig


@pytest.fixture
def photos(tmp_path):
    """A folder with a colour PNG, a grey JPEG, and with 16 bits a PNG with alpha and a TIFF."""
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.png").write_bytes(by_opencv(noise(90, 101, 3), ".png"))
    (folder / "deep.png").write_bytes(by_opencv(noise(85, 140, 4, dtype=np.uint16), ".png"))
    (folder / "grey.jpg").write_bytes(by_opencv(noise(90, 70), ".jpg"))
    tifffile.imwrite(folder / "deep.tif", noise(70, 80, dtype=np.uint16))
    return folder


def test_depth_alpha_and_gray_pass_through_tiles(photos, tmp_path, run, monkeypatch):
    cuts, windows = [], tiler.windows

    def recorded(*arguments):
        cuts.append(len(windows(*arguments)))
        return windows(*arguments)

    monkeypatch.setattr(tiler, "windows", recorded)
    output = tmp_path / "out"
    assert gradnet("denoise", photos, "--output", output, "--model", run, "--tile=16") == 0
    assert len(cuts) == 4 and min(cuts) > 1
    before = read_opencv((photos / "deep.png").read_bytes())
    deep = read_opencv((output / "deep.png").read_bytes())
    assert deep.dtype == np.uint16
    np.testing.assert_array_equal(deep[..., 3], before[..., 3])
    whole = load_denoiser(run)(before, tiles=TileConfig("whole"))
    # Half a level of 8 bits would be 128; windows differ in the order of float32 sums.
    assert np.abs(deep.astype(int) - whole).max() <= 8
    assert np.abs(deep[..., :3].astype(int) - before[..., :3]).max() > 1000
    with Image.open(output / "grey.jpg") as image:
        assert image.mode == "L"
    found = tifffile.imread(output / "deep.tif")
    assert found.shape == (70, 80) and found.dtype == np.uint16


def test_strength_0_with_tiles_gives_the_files_back(photos, tmp_path, run):
    output = tmp_path / "out"
    more = ["--tile=16", "--strength=0"]
    assert gradnet("denoise", photos, "--output", output, "--model", run, *more) == 0
    found = names(photos)
    assert found == names(output)
    assert all((photos / name).read_bytes() == (output / name).read_bytes() for name in found)


def test_tiles_do_not_change_the_result(photos, tmp_path, run):
    outputs = []
    for arguments in ([], ["--tile", "16"], ["--tile=auto", "--max_memory=2GB"]):
        outputs.append(tmp_path / f"out{len(outputs)}")
        assert gradnet("denoise", photos, "--output", outputs[-1], "--model", run, *arguments) == 0
    for name in ("a.png", "grey.jpg"):
        first, *others = (read(output / name).astype(int) for output in outputs)
        assert all(np.abs(other - first).max() <= 1 for other in others)


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("--tile=8", "argument --tile: expected auto, whole or a side of at least 16 pixels"),
        (
            "--max_memory=much",
            "argument --max-memory: expected an amount of memory",
        ),
    ],
)
def test_bad_tiles_are_refused_before_anything_is_read(tmp_path, capsys, flag, words):
    assert gradnet("denoise", tmp_path / "none", "--output", tmp_path / "out", flag) == 2
    assert words in capsys.readouterr().err


def test_too_little_memory_is_a_failure_of_the_file(photos, tmp_path, run, capsys):
    output = tmp_path / "out"
    code = gradnet(
        "denoise", photos / "a.png", "--output", output, "--model", run, "--max_memory=1MB"
    )
    assert code == 1
    assert "`max_memory` must be at least" in capsys.readouterr().err
    assert list(output.iterdir()) == []
