"""Results that were made with other settings are skipped, and that is said."""

import json
import os
import stat

import cv2
import pytest
from denoise_case import gradnet, names
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from photo_samples import noise

from gradnet_tf.cli.earlier_results import NAME, EarlierResults

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
    assert "cannot be written: something else has its name" in capsys.readouterr().err
    assert stat.S_ISFIFO((tmp_path / NAME).stat().st_mode)
