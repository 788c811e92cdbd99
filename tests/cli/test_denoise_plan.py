"""What a plan leaves out, and says so; what it refuses."""

import os

import pytest
from denoise_case import gradnet
from photo_samples import by_pillow, noise
from PIL import PngImagePlugin

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


@pytest.mark.parametrize("pattern", ["**/*.png", "*/**/*.png", "*/**", "**/**/*.png", "**/a/**"])
def test_patterns_end_where_links_lead_back_or_everywhere(tmp_path, pattern, monkeypatch):
    (tmp_path / "in" / "a" / "b").mkdir(parents=True)
    for folder in ("a", "a/b"):
        (tmp_path / "in" / folder / "x.png").write_bytes(b"")
    (tmp_path / "in" / "back").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "a" / "all").symlink_to("/")
    (tmp_path / "in" / "self").symlink_to("self")
    listed, listdir = [], os.listdir

    def counted(folder):
        listed.append(folder)
        assert len(listed) < 100
        return listdir(folder)

    monkeypatch.setattr(os, "listdir", counted)
    plan = plan_jobs([str(tmp_path / "in" / pattern)], str(tmp_path / "out"))
    found = sorted(str(job.source.relative_to(tmp_path / "in")) for job in plan.jobs)
    assert found == ["a/b/x.png", "a/x.png"]
    assert "links to folders" in plan.left_out


def test_hidden_names_match_patterns_that_begin_with_a_dot(tmp_path):
    for name in (".a/x.png", "b/.y.png", "b/z.png"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(b"")

    def matched(pattern):
        jobs = plan_jobs([str(tmp_path / "in" / pattern)], str(tmp_path / "out")).jobs
        return sorted(str(job.source.relative_to(tmp_path / "in")) for job in jobs)

    assert matched("**/*.png") == ["b/z.png"]
    assert matched(".*/*.png") == [".a/x.png"]
    assert matched("**/.*.png") == ["b/.y.png"]
    assert matched("b/[yz].png") == ["b/z.png"]


def test_a_folder_with_brackets_is_meant_by_a_pattern_below_it(tmp_path):
    photo = by_pillow(noise(8, 9, 3), "PNG")
    for name in ("photos [2024]/right.png", "photos 2/wrong.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(photo)
    plan = plan_jobs([str(tmp_path / "photos [2024]" / "*.png")], str(tmp_path / "out"))
    assert [(job.source.name, job.target.name) for job in plan.jobs] == [("right.png", "right.png")]
    assert plan.jobs[0].target == tmp_path / "out" / "right.png"


def test_charts_of_ours_are_left_out_unless_they_are_named(tmp_path):
    info = PngImagePlugin.PngInfo()
    info.add_text("Software", "GradNet-TF noise sheet")
    (tmp_path / "chart.png").write_bytes(by_pillow(noise(8, 9, 3), "PNG", pnginfo=info))
    (tmp_path / "photo.png").write_bytes(by_pillow(noise(8, 9, 3), "PNG"))
    plan = plan_jobs([str(tmp_path)], str(tmp_path / "out"))
    assert [job.source.name for job in plan.jobs] == ["photo.png"]
    assert plan.left_out == "1 left out (charts of gradnet: 1)"
    named = plan_jobs([str(tmp_path / "*.png")], str(tmp_path / "out"))
    assert len(named.jobs) == 2
