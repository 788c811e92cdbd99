"""The line that says how far `gradnet denoise` is."""

import io
import os
import re

import pytest
from PIL import Image

from gradnet_tf.cli.denoise_files import FileProgress
from gradnet_tf.images.photo_files import estimate_megapixels, megapixels_of
from gradnet_tf.utils.console import ProgressLine


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Clock:
    """Seconds that pass when they are told to."""

    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def progress(monkeypatch):
    """Returns (progress, its clock, a function that returns the line on the screen)."""
    screen, clock = Terminal(), Clock()
    monkeypatch.setattr("gradnet_tf.utils.console.time.monotonic", clock)
    shown = FileProgress(ProgressLine(screen), clock)
    return shown, clock, lambda: screen.getvalue().split("\r")[-1].rstrip()


def test_files_tiles_speed_and_time_left(progress):
    shown, clock, line = progress
    shown.begin(2, [10.0, 30.0])
    shown.loading()
    assert line() == "2 of 4 files  loading the model"
    shown.start("a.jpg", 10.0, 10.0)
    clock.now += 50  # The first tile pays for compiling, so the speed is taken from here on.
    shown.on_tile(1, 10)
    clock.now += 2
    shown.on_tile(3, 10)
    # 2 megapixels in 2 seconds; 7 + 30 are left.
    assert line() == "2 of 4 files  a.jpg 30%  1 megapixels/s  0:37 left"
    clock.now += 7
    shown.worked()
    shown.finish()
    assert line() == "3 of 4 files  1 megapixels/s  0:30 left"


def test_a_single_large_picture_has_progress_too(progress):
    shown, clock, line = progress
    shown.begin(0, [24.0])
    shown.start("large.tif", 24.0, 24.0)
    for part in range(1, 5):
        clock.now += 3
        shown.on_tile(part, 8)
    assert line() == "0 of 1 files  large.tif 50%  1 megapixels/s  0:12 left"


def test_estimates_give_way_to_the_truth(progress):
    shown, clock, line = progress
    shown.begin(0, [10.0, 10.0, 10.0])
    shown.start("a.jpg", 10.0, 20.0)
    shown.on_tile(1, 2)
    clock.now += 10
    shown.worked()
    shown.finish()
    assert line() == "1 of 3 files  1 megapixels/s  0:20 left"
    clock.now += 10
    shown.finish(10.0)  # The next one cannot be read.
    assert line() == "2 of 3 files  0.5 megapixels/s  0:20 left"


def test_without_a_terminal_short_work_says_nothing_and_long_work_now_and_then(monkeypatch):
    screen, clock = io.StringIO(), Clock()
    monkeypatch.setattr("gradnet_tf.utils.console.time.monotonic", clock)
    shown = FileProgress(ProgressLine(screen), clock)
    shown.begin(0, [100.0])
    shown.loading()
    shown.start("a.jpg", 100.0, 100.0)
    for part in range(1, 100):
        clock.now += 1
        shown.on_tile(part, 100)
        if part == 25:
            assert screen.getvalue() == ""
    lines = screen.getvalue().splitlines()
    assert 2 <= len(lines) <= 4
    assert all(re.fullmatch(r"0 of 1 files  a\.jpg \d+%  1 meg.*left", line) for line in lines)


def test_a_long_name_does_not_wrap(progress, monkeypatch):
    shown, clock, line = progress
    size = os.terminal_size((60, 20))
    monkeypatch.setattr("gradnet_tf.utils.console.shutil.get_terminal_size", lambda: size)
    shown.begin(0, [1.0, 1.0])
    shown.start("x" * 200, 1.0, 1.0)
    shown.on_tile(1, 2)
    clock.now += 1
    shown.on_tile(2, 2)
    assert 0 < len(line()) < 60


def test_a_line_is_wiped_before_text_and_comes_again_after(progress):
    shown, clock, line = progress
    shown.begin(0, [1.0, 1.0])
    shown.loading()
    shown.clear()
    assert line() == ""
    shown.loading()
    assert line() == "0 of 2 files  loading the model"


def test_sizes_are_those_of_the_headers_and_else_go_by_bytes(tmp_path):
    paths = []
    for number, side in enumerate((500, 1000)):
        paths.append(tmp_path / f"{number}.png")
        Image.new("RGB", (side, side)).save(paths[-1])
    (tmp_path / "text.png").write_text("no photograph")
    paths += [tmp_path / "text.png", tmp_path / "missing.png"]
    assert megapixels_of(paths[0]) == 0.25 and megapixels_of(paths[2]) is None
    # The middle of the known ones has 1 megapixel in 500 bytes.
    sizes = [1000, 500, 250, 0]
    assert estimate_megapixels(paths, sizes) == [0.25, 1.0, 0.5, 0.0]
    # No time for headers: a megapixel for a megabyte.
    assert estimate_megapixels(paths, sizes, seconds=-1.0) == [1e-3, 5e-4, 2.5e-4, 0.0]
