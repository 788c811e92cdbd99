"""The time left, by the pace of this invocation once there is one; notes, printed or logged."""

import logging
import re
from pathlib import Path

import numpy as np
import pytest

from gradnet_tf import Denoiser
from gradnet_tf.utils.console import LOGGER, TimeLeft, duration_text, inform, note, quiet, warn

ROOT = Path(__file__).resolve().parents[2]
#: `note` and its like; the boundary of commands; two commands that are no part of `gradnet`.
PRINTERS = {
    "gradnet_tf/utils/console.py",
    "gradnet_tf/utils/command.py",
    "gradnet_tf/utils/options.py",
    "gradnet_tf/batch/__main__.py",
    "gradnet_tf/steering/preview_sheet.py",
}


def test_the_first_steps_tell_nothing():
    left = TimeLeft(0)
    # A minute for compiling, then a second a step.
    shown = [left.text(step, step / 128, 60 + step) for step in range(1, 8)]
    assert shown[:5] == ["–"] * 5
    assert shown[5:] == ["2:02", "2:01"]


def test_a_run_that_goes_on_is_measured_again():
    left = TimeLeft(50)
    shown = {step: left.text(step, step / 128, 5000 + 2 * step) for step in range(51, 58)}
    assert shown[54] == shown[55] == "–" and shown[56] == "2:24" and shown[57] == "2:22"


def test_a_budget_leaves_what_it_has_left():
    left = TimeLeft(0, untimed=1)
    assert left.text(1, 32 / 128, 32) == "–"
    assert left.text(2, 64 / 128, 64) == "1:04"


@pytest.mark.parametrize("done", [1.0, 1.2])
def test_nothing_is_left_at_the_end_however_few_the_steps(done):
    assert TimeLeft(0).text(1, done, 3) == "0:00"


def test_notes_go_to_logging_if_a_program_asks_for_it(capsys, monkeypatch):
    found = []

    class Handler(logging.Handler):
        def emit(self, record):
            found.append((record.levelname, record.getMessage()))

    note("printed 100%")
    assert capsys.readouterr().err == "note: printed 100%\n"
    monkeypatch.setattr(LOGGER, "handlers", [Handler()])
    monkeypatch.setattr(LOGGER, "propagate", False)
    LOGGER.setLevel(logging.INFO)
    try:
        note("logged 100%")
        warn("so is this")
        assert found == [("INFO", "logged 100%"), ("WARNING", "so is this")]
        LOGGER.handlers.clear()
        LOGGER.setLevel(logging.ERROR)
        note("silenced")
        warn("silenced")
    finally:
        LOGGER.setLevel(logging.NOTSET)
    assert capsys.readouterr().err == ""


def test_a_denoiser_in_a_program_logs_and_prints_nothing(capsys, caplog, monkeypatch):
    picture = np.random.default_rng(0).integers(90, 160, (24, 24, 3), np.uint8)
    denoise = Denoiser("opencv_nlm")
    denoise(picture)
    printed = capsys.readouterr().err
    assert "noise level not given, estimated: sigma=" in printed
    monkeypatch.setattr(LOGGER, "handlers", [caplog.handler])
    monkeypatch.setattr(LOGGER, "propagate", False)
    LOGGER.setLevel(logging.INFO)
    try:
        denoise(picture)
    finally:
        LOGGER.setLevel(logging.NOTSET)
    assert [(r.name, r.levelname, r.getMessage()) for r in caplog.records] == [
        ("gradnet_tf", "INFO", printed.rstrip("\n"))
    ]
    assert capsys.readouterr() == ("", "")


def test_the_library_prints_failures_of_commands_only():
    """What a program that imports the library would see on its standard error."""
    printers = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "gradnet_tf").rglob("*.py")
        if re.search(r"print\([^\n]*file=sys\.stderr", path.read_text("utf-8"))
    }
    assert all(path.startswith("gradnet_tf/cli/") for path in printers - PRINTERS), printers


def test_quiet_leaves_warnings(capsys):
    with quiet():
        note("a note")
        inform("the usual")
        warn("a warning")
    inform("after it")
    assert capsys.readouterr().err == "warning: a warning\nafter it\n"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(9.26, "9.3 s"), (60, "1 min 0 s"), (1737.6, "28 min 58 s"), (11040, "3 h 4 min")],
)
def test_durations_are_in_words(seconds, text):
    assert duration_text(seconds) == text
