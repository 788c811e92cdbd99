"""`gradnet denoise` where names, outputs and pixels are odd."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from denoise_case import gradnet
from photo_samples import by_opencv, by_pillow, noise

from gradnet_tf import read_photo, weights, write_photo
from gradnet_tf.denoiser import Denoiser
from gradnet_tf.tiling.tile_config import TileConfig
from gradnet_tf.utils.errors import UserError


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(by_pillow(noise(20, 24, 3), "PNG"))
    return path


@pytest.mark.skipif(os.name != "posix", reason="names are bytes on POSIX systems")
def test_a_name_that_is_no_utf_8_is_a_name(photo, tmp_path):
    odd = os.fsencode(tmp_path) + b"/n\xff\xfe.png"
    with open(odd, "wb") as file:
        file.write(photo.read_bytes())
    arguments = ["denoise", os.fsdecode(odd), "--output", tmp_path / "out", "--strength=0"]
    more = ["--report", tmp_path / "r.html"]
    command = [sys.executable, "-m", "gradnet_tf", *arguments, *more]
    for wanted in (b"1 written", b"1 skipped"):
        done = subprocess.run(command, capture_output=True, check=False)
        assert done.returncode == 0 and wanted in done.stdout, done.stderr
    assert (tmp_path / "r.html").is_file() and (tmp_path / "out" / ".gradnet.json").is_file()


def test_a_dry_run_of_standard_input_is_refused(capsys):
    assert gradnet("denoise", "-", "--dry-run") == 2
    assert "--dry-run: not allowed with - as INPUT. Leave the flag out" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("stream", [True, False])
def test_a_full_disk_behind_standard_output_is_one_line(photo, tmp_path, stream):
    files = ["-"] if stream else [str(photo), "--output", str(tmp_path / "out")]
    command = [sys.executable, "-m", "gradnet_tf", "denoise", *files, "--strength=0"]
    with open("/dev/full", "wb") as full, open(photo, "rb") as source:
        done = subprocess.run(
            command, stdin=source, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 2
    assert done.stderr == "error: cannot write standard output: the disk is full.\n"


def test_a_16_bit_file_that_uses_a_part_of_its_range_is_reported(tmp_path, capsys):
    for name, top in (("dark.png", 4095), ("usual.png", 65535)):
        pixels = np.minimum(noise(20, 24, 3, dtype=np.uint16), np.uint16(top))
        (tmp_path / name).write_bytes(by_opencv(pixels, ".png"))
    flags = ("--model=gradnet_tiny", "--output", tmp_path / "out")
    assert gradnet("denoise", tmp_path / "dark.png", tmp_path / "usual.png", *flags) == 0
    err = capsys.readouterr().err
    assert (
        "dark.png: uses only the darkest eighth of its 16-bit range" in err
        and "usual.png" not in err
    )


def test_floats_on_the_0_255_scale_are_refused():
    with pytest.raises(UserError, match=r"nominal range \[0, 1\]; scale others first"):
        Denoiser("gradnet_tiny")(noise(9, 9, 3).astype(np.float32))


def test_a_photograph_keeps_its_format_whatever_the_name(photo, tmp_path):
    picture = read_photo(photo)
    with pytest.raises(UserError, match="was read as PNG .* expected one of .png"):
        write_photo(tmp_path / "b.jpg", picture)
    write_photo(tmp_path / "b.png", picture)
    write_photo(tmp_path / "b", picture)
    assert (tmp_path / "b.png").read_bytes() == (tmp_path / "b").read_bytes()


def test_litert_needs_less_memory_than_tensorflow():
    """Pictures of a quarter megapixel within 500 MB, and the error says what is needed."""
    denoiser = Denoiser("gradnet_tiny")
    if denoiser.source["runtime"] != "litert":
        pytest.skip("another runtime was chosen")
    picture = noise(512, 512)
    denoiser(picture, tiles=TileConfig("auto", 500_000_000))
    with pytest.raises(UserError, match="`max_memory` must be at least 2"):
        denoiser(picture, tiles=TileConfig("auto", 100_000_000))


def test_the_report_of_a_rerun_names_the_gray_weights(tmp_path):
    (tmp_path / "grey.png").write_bytes(by_opencv(noise(20, 24), ".png"))
    command = ("denoise", tmp_path / "grey.png", "--output", tmp_path / "out")
    for name in ("first.html", "again.html"):
        assert gradnet(*command, "--report", tmp_path / name) == 0
        assert weights.GRAY in (tmp_path / name).read_text("utf-8")
