"""What a plan leaves out, and says so; what it refuses."""

import pytest
from denoise_case import gradnet
from photo_samples import by_pillow, noise

from gradnet_tf.cli.denoise_plan import plan_jobs
from gradnet_tf.utils.errors import UserError


@pytest.fixture
def folder(tmp_path):
    """Two photographs, pictures of other kinds, a text, and results of an earlier run below."""
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    (folder / "results").mkdir()
    photo = by_pillow(noise(8, 9, 3), "PNG")
    for name in ("a.png", "deep/b.PNG", "results/a.png"):
        (folder / name).write_bytes(photo)
    for name in ("c.HEIC", "d.heic", "deep/e.gif", "f.txt", ".g.heic", "h"):
        (folder / name).write_bytes(b"?")
    (folder / "results" / ".gradnet.json").write_text("{}")
    return folder


def test_other_pictures_and_earlier_results_are_left_out_and_counted(folder, tmp_path):
    plan = plan_jobs([str(folder)], str(tmp_path / "out"))
    assert [job.source.name for job in plan.jobs] == ["a.png", "b.PNG"]
    assert plan.notes == [
        f"left out, results of an earlier run: {folder / 'results'}",
        "left out, pictures of other kinds: 2 .heic, 1 .gif; convert them first",
    ]
    assert plan.failures == []


def test_a_results_folder_that_is_named_is_an_input(folder, tmp_path):
    plan = plan_jobs([str(folder / "results")], str(tmp_path / "out"))
    assert len(plan.jobs) == 1 and plan.notes == []


@pytest.mark.parametrize("flags", [[], ["--dry-run"]])
def test_the_command_prints_the_notes(folder, tmp_path, capsys, flags):
    assert gradnet("denoise", folder, "--output", tmp_path / "out", "--strength=0", *flags) == 0
    err = capsys.readouterr().err
    assert "note: left out, pictures of other kinds: 2 .heic, 1 .gif" in err
    assert "note: left out, results of an earlier run" in err


def test_an_output_named_like_a_picture_is_refused(folder, tmp_path):
    with pytest.raises(UserError, match="expected a folder .* Received: the name of a picture"):
        plan_jobs([str(folder / "a.png")], str(tmp_path / "result.png"))
    (tmp_path / "result.png").mkdir()
    assert plan_jobs([str(folder / "a.png")], str(tmp_path / "result.png")).jobs
