"""What the command says of files, of links, of what it leaves out; and the date of the results."""

import os

import numpy as np
import photo_samples as files
import pytest
from denoise_case import gradnet

from gradnet_tf.cli.denoise_plan import plan_jobs
from gradnet_tf.images.photo_files import decode_photo
from gradnet_tf.utils.errors import UserError

SUFFIXES = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".jfi"),
    "PNG": (".png", ".apng"),
    "BMP": (".bmp", ".dib"),
    "PPM": (".ppm", ".pnm", ".pgm", ".pbm"),
    "PFM": (".pfm",),
    "TIFF": (".tif", ".tiff"),
}


def picture(format="PNG"):
    if format == "PFM":
        return b"PF\n8 9\n-1\n" + files.noise(9, 8, 3, dtype=np.float32).tobytes()
    return files.by_pillow(files.noise(9, 8, 3), format)


@pytest.fixture
def folder(tmp_path):
    """A photograph, links of every kind, and files that are no photographs."""
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    (tmp_path / "elsewhere" / "2024").mkdir(parents=True)
    for path in (folder / "a.png", folder / "deep" / "b.png", tmp_path / "elsewhere/2024/c.png"):
        path.write_bytes(picture())
    (folder / "2024").symlink_to(tmp_path / "elsewhere" / "2024")
    (folder / "deep" / "up").symlink_to(folder)
    (folder / "linked.png").symlink_to(tmp_path / "elsewhere" / "2024" / "c.png")
    (folder / "gone.png").symlink_to("/not mounted/photo.png")
    (folder / "gone.txt").symlink_to("/not mounted/text")
    (folder / ".cache").mkdir()
    for name in ("x.txt", "deep/y.txt", ".hidden.png", "z.heic", "noname", ".gradnet-files.json"):
        (folder / name).write_bytes(b"?")
    os.mkfifo(folder / "pipe.png")
    return folder


def test_folders_take_every_suffix_of_the_formats(tmp_path):
    (tmp_path / "in").mkdir()
    for format, suffixes in SUFFIXES.items():
        for suffix in suffixes:
            (tmp_path / "in" / f"a{suffix}").write_bytes(picture(format))
    plan = plan_jobs([str(tmp_path / "in")], str(tmp_path / "out"))
    assert len(plan.jobs) == sum(map(len, SUFFIXES.values())) and not plan.left_out
    assert (
        gradnet("denoise", tmp_path / "in", "--output", tmp_path / "out", "--model=gradnet_tiny")
        == 0
    )
    assert len(list((tmp_path / "out").glob("a.*"))) == len(plan.jobs)


def test_a_folder_and_a_pattern_take_the_same_and_count_the_rest(folder, tmp_path):
    by_folder = plan_jobs([str(folder)], str(tmp_path / "out"))
    names = [job.source.relative_to(folder).as_posix() for job in by_folder.jobs]
    assert sorted(names) == ["a.png", "deep/b.png", "linked.png"]
    assert by_folder.left_out == (
        "10 left out (.txt: 2, hidden: 2, links to folders: 2, .heic: 1, "
        "links that lead nowhere: 1, pipes and devices: 1, without a suffix: 1)"
    )
    gone = f"{folder / 'gone.png'}: this link leads nowhere: /not mounted/photo.png does not exist"
    assert by_folder.failures == [gone]
    links = f"{folder / '2024'}, {folder / 'deep' / 'up'}"
    assert by_folder.notes[-1] == f"left out, links to folders: {links}; " + (
        "name them as inputs to follow them"
    )
    for pattern in ("**", "**/*"):
        by_pattern = plan_jobs([str(folder / pattern)], str(tmp_path / "out"))
        assert sorted(job.target for job in by_pattern.jobs) == sorted(
            job.target for job in by_folder.jobs
        )
        assert by_pattern.failures == by_folder.failures
        assert by_pattern.notes == by_folder.notes


def test_a_link_to_a_folder_that_is_named_is_followed(folder, tmp_path):
    for text in ("2024", "2024/*.png"):
        plan = plan_jobs([str(folder / text)], str(tmp_path / "out"))
        assert [job.source.name for job in plan.jobs] == ["c.png"] and plan.left_out == ""


def test_a_pattern_leaves_hidden_names_alone_unless_it_has_the_dot(folder, tmp_path):
    with pytest.raises(UserError, match="matches no images"):
        plan_jobs([str(folder / "*hidden*")], str(tmp_path / "out"))
    plan = plan_jobs([str(folder / ".hid*")], str(tmp_path / "out"))
    assert [job.source.name for job in plan.jobs] == [".hidden.png"]
    # A double star within a name is one star, as a shell has it.
    plan = plan_jobs([str(folder / "a**")], str(tmp_path / "out"))
    assert [job.source.name for job in plan.jobs] == ["a.png"]


def test_a_link_to_itself_is_a_failure_and_no_more(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(picture())
    for name in ("loop.png", "loop"):
        (tmp_path / "in" / name).symlink_to(name)
    for text in (tmp_path / "in", tmp_path / "in" / "**"):
        plan = plan_jobs([str(text)], str(tmp_path / "out"))
        assert [job.source.name for job in plan.jobs] == ["a.png"]
        assert len(plan.failures) == 1 and "loop.png: this link leads nowhere" in plan.failures[0]
        assert plan.left_out == "1 left out (links that lead nowhere: 1)"


def test_a_folder_without_photographs_says_what_is_there(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.heic").write_bytes(b"?")
    with pytest.raises(UserError, match=r"no images in this folder .*\nReceived: 1 left out"):
        plan_jobs([str(tmp_path / "in")], str(tmp_path / "out"))


@pytest.mark.parametrize("flags", [["--strength=0"], ["--model=gradnet_tiny"]])
def test_the_last_line_counts_and_the_exit_code_knows(folder, tmp_path, capsys, flags):
    assert gradnet("denoise", folder, "--output", tmp_path / "out", *flags) == 1
    printed = capsys.readouterr()
    assert "3 written, 0 skipped, 1 failed, 10 left out (.txt: 2" in printed.out
    assert "failed: " in printed.err and "gone.png: this link leads nowhere" in printed.err
    assert gradnet("denoise", folder, "--output", tmp_path / "out", "--dry-run") == 1
    assert "0 to write, 3 to skip, 10 left out" in capsys.readouterr().out


TIME = 1_556_938_921_123_456_789


@pytest.mark.parametrize("flags", [["--strength=0"], ["--model=gradnet_tiny"]])
def test_a_result_has_the_date_of_its_photograph(tmp_path, flags):
    source = tmp_path / "scan.ppm"
    source.write_bytes(picture("PPM"))
    os.utime(source, ns=(TIME, TIME))
    for _ in range(2):
        out = tmp_path / "out"
        assert gradnet("denoise", source, "--output", out, "--overwrite", *flags) == 0
        assert (out / "scan.ppm").stat().st_mtime_ns == TIME
    assert (tmp_path / "out" / ".gradnet.json").stat().st_mtime_ns != TIME


def test_notes_name_files_and_side_data_once(tmp_path, capsys):
    """Credentials of several files in one line; none where nothing is changed."""
    (tmp_path / "in").mkdir()
    array = files.noise(9, 8, 3)
    for name in "abcde":
        data = files.raw_png(array, 2, 8, files.chunk(b"caBX", b"c2pa"))
        (tmp_path / "in" / f"{name}.png").write_bytes(data)
    (tmp_path / "in" / "f.jpg").write_bytes(picture("JPEG")[:-2])
    command = ("denoise", tmp_path / "in", "--output", tmp_path / "out", "--model=gradnet_tiny")
    assert gradnet(*command) == 0
    lines = capsys.readouterr().err.splitlines()
    credentials = [line for line in lines if "content credentials" in line]
    assert len(credentials) == 1 and credentials[0].startswith("note: not in the results of ")
    assert "c.png and 2 more: " in credentials[0] and "d.png" not in credentials[0]
    assert [line for line in lines if "end mark" in line] == [
        f"note: {tmp_path / 'in' / 'f.jpg'}: the end mark of the JPEG is missing; its pixels are "
        "complete"
    ]
    assert gradnet(*command, "--strength=0", "--overwrite") == 0
    assert "content credentials" not in capsys.readouterr().err
    assert (tmp_path / "out" / "a.png").read_bytes() == (tmp_path / "in" / "a.png").read_bytes()


def test_a_result_of_every_new_suffix_can_be_read(tmp_path):
    """A bitmap of black and white becomes gray, whatever its name."""
    (tmp_path / "a.pbm").write_bytes(b"P4\n16 16\n" + bytes(range(32)))
    assert (
        gradnet("denoise", tmp_path / "a.pbm", "--output", tmp_path / "out", "--model=gradnet_tiny")
        == 0
    )
    photo = decode_photo((tmp_path / "out" / "a.pbm").read_bytes(), "x")
    assert photo.pixels.shape == (16, 16, 1)
