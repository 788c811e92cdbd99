"""The one rule of what a command may replace: its mark, never an input, nothing else."""

import json
import os

import pytest

from gradnet_tf.utils import ownership
from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.ownership import Inputs, foreign_in, is_recorded, record, require_replaceable


def test_what_is_recorded_is_ours_until_it_changes(tmp_path):
    ours, other = tmp_path / "a.png", tmp_path / "b.png"
    for path in (ours, other):
        path.write_text("picture")
    record(ours)
    assert is_recorded(ours) and not is_recorded(other)
    ours.write_text("retouched")
    assert not is_recorded(ours)
    ours.unlink()
    ours.symlink_to(other)
    assert not is_recorded(ours)


@pytest.mark.parametrize(
    "text", ["", "[" * 100_000, "[]", '{"files": []}', '{"files": {"a.png": 3}}', '{"files": null}']
)
def test_a_manifest_of_something_else_makes_nothing_ours(tmp_path, text):
    (tmp_path / "a.png").write_text("picture")
    (tmp_path / ownership.MANIFEST).write_text(text)
    assert not is_recorded(tmp_path / "a.png")
    assert "a.png" in foreign_in(tmp_path)


def test_a_manifest_that_is_no_file_is_not_waited_for(tmp_path):
    (tmp_path / "a.png").write_text("picture")
    os.mkfifo(tmp_path / ownership.MANIFEST)
    assert not is_recorded(tmp_path / "a.png")


def test_of_a_folder_all_that_is_not_listed_is_foreign(tmp_path):
    for name in ("a", "b/c"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    ownership.record_folder(tmp_path)
    assert foreign_in(tmp_path) == []
    (tmp_path / "b/link").symlink_to(tmp_path)
    (tmp_path / "b/new").write_text("x")
    (tmp_path / "a").write_text("y")
    assert foreign_in(tmp_path) == ["a", "b/link", "b/new"]
    assert "b/c" in json.loads((tmp_path / ownership.MANIFEST).read_text())["files"]


def test_inputs_are_known_through_links_and_other_spellings(tmp_path):
    (tmp_path / "in").mkdir()
    photo, copy = tmp_path / "in/a.png", tmp_path / "copy.png"
    photo.write_text("photo")
    (tmp_path / "out").symlink_to(tmp_path / "in")
    inputs = Inputs([photo, tmp_path / "missing"])
    for path in (photo, tmp_path / "out/a.png", tmp_path / "in/../in/a.png"):
        assert path in inputs
        with pytest.raises(UserError, match="is one of the inputs"):
            require_replaceable(path, "--output=out", lambda path: True, inputs)
    os.link(photo, copy)  # Replacing a second name leaves the photograph.
    assert copy not in inputs and tmp_path / "in/b.png" not in inputs
    through = Inputs([tmp_path / "out/a.png"])
    assert photo in through


def test_only_what_is_free_or_ours_may_be_replaced(tmp_path):
    path, link = tmp_path / "a", tmp_path / "link"
    require_replaceable(path, "--output=x", lambda path: False)
    path.write_text("x")
    link.symlink_to(tmp_path / "nowhere")
    require_replaceable(path, "--output=x", lambda path: True)
    for each, answer in ((path, False), (link, True)):
        with pytest.raises(UserError) as refused:
            require_replaceable(each, "--output=x", lambda path, answer=answer: answer)
        lines = str(refused.value).splitlines()
        assert len(lines) == 2 and str(each) in lines[0] and "--output=x" in lines[0]
