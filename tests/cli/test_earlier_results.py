"""Results that were made with other settings are skipped, and that is said."""

import json
import os
import signal
import stat
import subprocess
import sys

import cv2
import numpy as np
import pytest
from denoise_case import gradnet, names
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from photo_samples import noise

from gradnet_tf.cli import earlier_results
from gradnet_tf.cli.earlier_results import JOURNAL, NAME, EarlierResults
from gradnet_tf.utils.files import sha256_of
from gradnet_tf.utils.ownership import Inputs
from gradnet_tf.weights import read_card

NOW = {"model": "m", "strength": 1.0}


def test_what_differs_is_known_result_by_result(tmp_path):
    first = EarlierResults(tmp_path, {**NOW, "strength": 0.5})
    first.save([tmp_path / "sub" / "a.png"])
    second = EarlierResults(tmp_path, NOW)
    second.save([tmp_path / "b.png"])
    found = EarlierResults(tmp_path, NOW)
    assert found.differences(tmp_path / "sub" / "a.png") == {"strength": (0.5, 1.0)}
    assert found.differences(tmp_path / "b.png") == {}
    assert found.differences(tmp_path / "unknown.png") == {}
    assert found.settings_of(tmp_path / "b.png") == NOW
    assert found.settings_of(tmp_path / "unknown.png") is None


def test_a_setting_that_is_gone_differs_and_a_hash_that_is_missing_does_not(tmp_path):
    def differences(then, now):
        EarlierResults(tmp_path, {**NOW, **then}).save([tmp_path / "a.png"])
        return EarlierResults(tmp_path, {**NOW, **now}).differences(tmp_path / "a.png")

    assert differences({"detail": 0.5}, {}) == {"detail": (0.5, None)}
    assert differences({}, {"detail": 0.5}) == {"detail": (None, 0.5)}
    first, second = {"gray_sha256": "1" * 64}, {"gray_sha256": "2" * 64}
    assert differences(first, second) == {"gray_sha256": ("1" * 64, "2" * 64)}
    # Folders of earlier versions have none.
    assert differences({}, second) == differences(first, {}) == differences(first, first) == {}


def test_what_another_process_added_stays(tmp_path):
    one, other = EarlierResults(tmp_path, NOW), EarlierResults(tmp_path, {**NOW, "strength": 0.2})
    assert one.settings_of(tmp_path / "b.png") is None  # It has read the file now.
    one.save([tmp_path / "a.png"])
    other.save([tmp_path / "b.png"])
    found = EarlierResults(tmp_path, NOW)
    assert found.settings_of(tmp_path / "a.png") == NOW
    assert found.settings_of(tmp_path / "b.png")["strength"] == 0.2


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"settings": 3, "results": {}}', '{"settings": [], "results": {"a": 5}}'],
)
def test_a_damaged_file_says_nothing(tmp_path, text):
    (tmp_path / NAME).write_text(text)
    earlier = EarlierResults(tmp_path, NOW)
    assert earlier.differences(tmp_path / "a") == {}
    earlier.save([tmp_path / "a"])
    assert EarlierResults(tmp_path, NOW).settings_of(tmp_path / "a") == NOW


def test_nothing_made_nothing_written(tmp_path):
    EarlierResults(tmp_path, NOW).save([])
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def photos(tmp_path):
    (tmp_path / "in").mkdir()
    for number in range(3):
        cv2.imwrite(str(tmp_path / "in" / f"{number}.png"), noise(9, 8, 3, seed=number))
    return tmp_path / "in"


def test_the_command_says_that_old_results_stand(photos, tmp_path, run, capsys):
    """One line; nothing is lost, and a plain rerun says and does nothing new."""
    output = tmp_path / "out"
    arguments = ["denoise", photos, "--output", output, "--model"]
    assert gradnet(*arguments, run) == 0
    before = {name: (output / name).read_bytes() for name in [*names(output), NAME]}
    capsys.readouterr()
    assert gradnet(*arguments, run) == 0
    assert capsys.readouterr().err == ""
    assert gradnet(*arguments, run, "--strength", "0.25") == 0
    printed = capsys.readouterr()
    assert printed.err.splitlines() == [
        "note: 3 skipped results were made with other settings (strength=1 and not 0.25); "
        "use --overwrite to replace them"
    ]
    assert printed.out.splitlines()[-1] == "0 written, 3 skipped, 0 failed"
    assert gradnet(*arguments, "gradnet_tiny") == 0
    assert "(model=run and not gradnet_tiny_color_blind, sha256=" in capsys.readouterr().err
    assert {name: (output / name).read_bytes() for name in before} == before
    # One made anew is no longer spoken of.
    (output / "1.png").unlink()
    assert gradnet(*arguments, run, "--strength", "0.25") == 0
    assert "2 skipped results" in capsys.readouterr().err
    assert gradnet(*arguments, run, "--strength", "0.25", "--overwrite") == 0
    assert gradnet(*arguments, run, "--strength", "0.25") == 0
    assert "note:" not in capsys.readouterr().err
    assert json.loads((output / NAME).read_text())["settings"][-1]["strength"] == 0.25


def test_a_changed_mask_and_changed_partners_are_other_settings(photos, tmp_path, capsys):
    output, mask = tmp_path / "out", tmp_path / "mask.png"
    arguments = ["denoise", photos, "--output", output, "--model=auto", "--mask", mask]
    cv2.imwrite(str(mask), np.full((9, 8), 255, np.uint8))
    assert gradnet(*arguments, "--strength=0") == gradnet(*arguments, "--strength=0") == 0
    said = capsys.readouterr()
    assert "note:" not in said.err and "0 written, 3 skipped" in said.out
    recorded = json.loads((output / NAME).read_text())
    (stored,) = recorded["settings"]
    for kind in ("gray", "camera"):
        assert stored[f"{kind}_sha256"] == read_card(stored[kind])["sha256"]
    assert stored["mask_sha256"] == sha256_of(mask)
    cv2.imwrite(str(mask), np.zeros((9, 8), np.uint8))
    assert gradnet(*arguments, "--strength=0") == 0
    assert (
        "3 skipped results were made with other settings (mask_sha256=" in capsys.readouterr().err
    )
    stored |= {"camera_sha256": "0" * 64, "mask_sha256": sha256_of(mask)}
    (output / NAME).write_text(json.dumps(recorded))
    assert gradnet(*arguments, "--strength=0") == 0
    assert "other settings (camera_sha256=00000000 and not " in capsys.readouterr().err


ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stored=ODD | st.lists(ODD), results=ODD | st.dictionaries(st.just("a.png"), ODD))
def test_settings_of_any_types_are_no_harm(tmp_path, capsys, stored, results):
    (tmp_path / NAME).write_text(json.dumps({"settings": stored, "results": results}))
    found = EarlierResults(tmp_path, NOW)
    found.note_differences([tmp_path / "a.png"])
    said = capsys.readouterr().err
    assert all(letter.isprintable() or letter == "\n" for letter in said)
    found.save([tmp_path / "b.png"])
    assert EarlierResults(tmp_path, NOW).settings_of(tmp_path / "b.png") == NOW


@pytest.mark.parametrize("text", ["[" * 100_000, '{"settings": ' * 100_000, "", "3", "\xff"])
def test_settings_that_are_none_are_written_again(tmp_path, text):
    (tmp_path / NAME).write_text(text, "latin-1")
    found = EarlierResults(tmp_path, NOW)
    found.save([tmp_path / "b.png"])
    assert EarlierResults(tmp_path, NOW).settings_of(tmp_path / "b.png") == NOW


def test_what_is_no_file_of_settings_is_neither_read_nor_replaced(tmp_path, capsys):
    os.mkfifo(tmp_path / NAME)
    found = EarlierResults(tmp_path, NOW)  # does not wait
    found.save([tmp_path / "b.png"])
    assert "cannot be written: not a regular file" in capsys.readouterr().err
    assert stat.S_ISFIFO((tmp_path / NAME).stat().st_mode)


# Prints a line when the second photograph is about to be written, and waits there.
STUCK = """
import sys, time
from gradnet_tf.cli import denoise_files, main as cli
write, calls = denoise_files.write_file, []
def stuck(*arguments):
    calls.append(0)
    if len(calls) == 2:
        print("stuck", flush=True)
        time.sleep(120)
    return write(*arguments)
denoise_files.write_file = stuck
sys.exit(cli.main(sys.argv[1:]))
"""


def test_results_of_a_killed_run_are_recognized(photos, tmp_path, capsys):
    output = tmp_path / "out"
    arguments = ["denoise", str(photos), "--output", str(output), "--strength", "0"]
    command = [sys.executable, "-c", STUCK, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert "0.png ->" in process.stdout.readline()
        assert process.stdout.readline() == "stuck\n"
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert sorted(path.name for path in output.iterdir()) == [JOURNAL, "0.png"]
    # The user's own file is not taken for a result.
    (output / "1.png").write_bytes(b"mine")
    assert gradnet(*arguments, "--quality", "95") == 0
    assert "2 skipped" in (said := capsys.readouterr()).out
    assert "1 skipped result was made with other settings (quality=None and not 95)" in said.err
    assert gradnet(*arguments, "--quality", "95", "--overwrite") == 1
    said = capsys.readouterr()
    assert "2 written, 0 skipped, 1 failed" in said.out
    assert "1.png exists and is not a result of this command" in said.err
    assert (output / "1.png").read_bytes() == b"mine"
    assert not (output / JOURNAL).exists()


def test_a_file_that_took_the_name_of_a_killed_runs_result_is_not_replaced(tmp_path):
    EarlierResults(tmp_path, NOW).announce(tmp_path / "a.png", b"result", Inputs())
    (tmp_path / "a.png").write_bytes(b"mine")
    found = EarlierResults(tmp_path, NOW)
    assert not found.is_recorded(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes(b"result")
    assert found.is_recorded(tmp_path / "a.png")
    assert not found.is_recorded(tmp_path / "b.png")


def test_the_end_of_a_run_removes_its_own_entries_only(tmp_path):
    killed, run = EarlierResults(tmp_path, NOW), EarlierResults(tmp_path, {**NOW, "strength": 0.2})
    killed.announce(tmp_path / "a.png", b"a", Inputs())
    run.announce(tmp_path / "b.png", b"b", Inputs())
    run.save([tmp_path / "b.png"])
    assert len((tmp_path / JOURNAL).read_text().splitlines()) == 1
    found = EarlierResults(tmp_path, NOW)
    assert found.settings_of(tmp_path / "a.png") == NOW
    assert found.settings_of(tmp_path / "b.png")["strength"] == 0.2
    found.save([tmp_path / "a.png"])
    assert not (tmp_path / JOURNAL).exists()


@pytest.mark.parametrize(
    "line",
    [b"", b"[" * 100_000, b"3", b'{"name": 3}', b'{"name": "a.png", "sha256": 3, "settings": {}}']
    + [b'{"name": "a.png", "sha256": "", "settings": []}', b"\xff\x00"],
)
def test_a_damaged_journal_is_no_harm(tmp_path, line):
    (tmp_path / JOURNAL).write_bytes(line + b"\n" + line)
    found = EarlierResults(tmp_path, NOW)
    assert not found.is_recorded(tmp_path / "a.png") and found.settings_of(tmp_path / "a") is None
    found.announce(tmp_path / "a.png", b"x", Inputs())
    found.save([tmp_path / "a.png"])
    assert EarlierResults(tmp_path, NOW).is_recorded(tmp_path / "a.png")


def test_a_journal_that_is_a_link_or_a_pipe_is_not_written(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "mine").write_bytes(b"mine")
    (tmp_path / "out" / JOURNAL).symlink_to(tmp_path / "mine")
    found = EarlierResults(tmp_path / "out", NOW)
    found.announce(tmp_path / "out" / "a.png", b"x", Inputs())
    found.save([tmp_path / "out" / "a.png"])
    assert (tmp_path / "mine").read_bytes() == b"mine"
    (tmp_path / "out" / JOURNAL).unlink()
    os.mkfifo(tmp_path / "out" / JOURNAL)
    found.announce(tmp_path / "out" / "a.png", b"x", Inputs())  # does not wait


def test_a_result_that_was_not_written_leaves_no_entry(tmp_path):
    found = EarlierResults(tmp_path, NOW)
    found.announce(tmp_path / "a.png", b"x", Inputs())
    found.save({})
    assert list(tmp_path.iterdir()) == []


def test_a_record_that_cannot_be_read_is_kept(tmp_path, monkeypatch, capsys):
    """Without it, --overwrite would refuse all earlier results."""
    EarlierResults(tmp_path, NOW).save([tmp_path / "a.png"])
    before = (tmp_path / NAME).read_bytes()
    monkeypatch.setattr(earlier_results, "_MOST_RECORDS", 10)
    EarlierResults(tmp_path, NOW).save([tmp_path / "b.png"])
    assert (tmp_path / NAME).read_bytes() == before
    assert f"note: {tmp_path / NAME} cannot be written: it has more than" in capsys.readouterr().err
    monkeypatch.undo()
    assert EarlierResults(tmp_path, NOW).is_recorded(tmp_path / "a.png")


def test_a_second_kill_before_the_renaming_keeps_the_first_result_replaceable(tmp_path):
    target = tmp_path / "a.png"
    for content in (b"first", b"second"):
        EarlierResults(tmp_path, NOW).announce(target, content, Inputs())
        if content == b"first":
            target.write_bytes(content)
    assert EarlierResults(tmp_path, NOW).is_recorded(target)
    target.write_bytes(b"mine")
    assert not EarlierResults(tmp_path, NOW).is_recorded(target)


def test_a_record_that_is_a_link_stays_one(tmp_path, capsys):
    (tmp_path / "mine.json").write_text('{"settings": [], "results": {}}')
    (tmp_path / NAME).symlink_to("mine.json")
    EarlierResults(tmp_path, NOW).save([tmp_path / "b.png"])
    assert (tmp_path / NAME).is_symlink() and "it is a link" in capsys.readouterr().err
    assert (tmp_path / "mine.json").read_text() == '{"settings": [], "results": {}}'
