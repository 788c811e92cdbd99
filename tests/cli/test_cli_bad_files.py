"""`gradnet denoise` over a folder of bad files: a line for each, and the good ones are done."""

import contextlib
import io
import os
import socket
import struct
import subprocess
import sys

import numpy as np
import photo_samples as files
import pytest
from denoise_case import gradnet, names, negative
from PIL import Image

from gradnet_tf.cli.denoise_files import denoise_files
from gradnet_tf.cli.denoise_plan import FileOptions, plan_jobs


def cmyk():
    target = io.BytesIO()
    Image.fromarray(files.noise(8, 8, 4), "CMYK").save(target, "JPEG")
    return target.getvalue()


def animated(format):
    target = io.BytesIO()
    first, second = (Image.fromarray(files.noise(8, 8, 3, seed=seed)) for seed in (1, 2))
    first.save(target, format, save_all=True, append_images=[second])
    return target.getvalue()


def bomb():
    """A PNG of 60 bytes that claims 8100 megapixels."""
    header = struct.pack(">IIBBBBB", 90000, 90000, 8, 2, 0, 0, 0)
    chunks = files.chunk(b"IHDR", header) + files.chunk(b"IDAT", b"x") + files.chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def floats(value):
    array = np.full((4, 4), 0.5, np.float32)
    array[1, 2] = value
    return files.by_tifffile(array)


BAD = {
    "animated.png": (lambda: animated("PNG"), "is animated"),
    "animated.webp": (lambda: animated("WEBP"), "is animated"),
    "bomb.png": (bomb, "8100 megapixels; expected at most 200"),
    "cmyk.jpg": (cmyk, "CMYK"),
    "cut.jpg": (lambda: files.by_pillow(files.noise(40, 40, 3), "JPEG")[:900], "truncated"),
    "cut.png": (lambda: files.by_pillow(files.noise(40, 40, 3), "PNG")[:900], "truncated"),
    "cut.tif": (lambda: files.by_tifffile(files.noise(40, 40, 3))[:900], "truncated"),
    "empty.jpg": (lambda: b"", "is empty"),
    "gif.png": (lambda: animated("GIF"), "is GIF; expected"),
    "infinite.tif": (lambda: floats(np.inf), "1 values that are NaN or infinite"),
    "nan.tif": (lambda: floats(np.nan), "1 values that are NaN or infinite"),
    "text.jpg": (lambda: b"Dear Sir or Madam,\n" * 9, "is not an image"),
}
GOOD = {
    "line.png": lambda: files.by_pillow(files.noise(1, 20000, 3), "PNG"),
    "pillar.png": lambda: files.by_pillow(files.noise(20000, 1), "PNG"),
    "pixel.jpg": lambda: files.by_pillow(files.noise(1, 1, 3), "JPEG"),
    "pixel.png": lambda: files.by_pillow(files.noise(1, 1, 3), "PNG"),
    "webp_by_name.webp": lambda: files.by_pillow(files.noise(9, 7, 3), "JPEG"),
}


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for name, (make, _) in BAD.items():
        (folder / name).write_bytes(make())
    for name, make in GOOD.items():
        (folder / name).write_bytes(make())
    return folder


@pytest.mark.parametrize("jobs", [1, 3])
def test_bad_files_of_every_kind(photos, tmp_path, run, jobs, capsys):
    before = {path.name: path.read_bytes() for path in photos.iterdir()}
    output = tmp_path / "out"
    report = tmp_path / "r.html"
    flags = ["--model", run, "--jobs", jobs, "--report", report]
    assert gradnet("denoise", photos, "--output", output, *flags) == 1
    out, err = capsys.readouterr()
    assert out.splitlines()[-1].startswith(f"{len(GOOD)} written, 0 skipped, {len(BAD)} failed, ")
    lines = err.splitlines()
    assert len(lines) == len(BAD)
    for line, (name, (_, words)) in zip(lines, BAD.items(), strict=True):
        assert line.startswith("failed: ") and str(photos / name) in line and words in line
    assert names(output) == sorted(GOOD)
    assert {path.name: path.read_bytes() for path in photos.iterdir()} == before
    for name in GOOD:
        with Image.open(photos / name) as old, Image.open(output / name) as new:
            new.load()
            assert (old.size, old.mode, old.format) == (new.size, new.mode, new.format)
    assert all(name in report.read_text("utf-8") for name in (*BAD, *GOOD))


def test_a_good_file_under_a_wrong_name_keeps_its_format(photos, tmp_path, run):
    path = photos / "webp_by_name.webp"
    assert gradnet("denoise", path, "--output", tmp_path / "out", "--model", run) == 0
    assert (tmp_path / "out" / path.name).read_bytes().startswith(b"\xff\xd8\xff")


@pytest.mark.parametrize("jobs", [1, 3])
def test_a_full_disk_fails_what_does_not_fit(tmp_path, jobs, monkeypatch, capsys):
    """Simulated: the disk holds 2000 bytes of one file, and the large ones do not fit."""
    (tmp_path / "in").mkdir()
    for number, side in enumerate((8, 60, 8, 60)):
        data = files.by_pillow(files.noise(side, side, 3), "PNG")
        (tmp_path / "in" / f"{number}.png").write_bytes(data)
    write = type(tmp_path).write_bytes

    def small(path, data):
        write(path, data[:2000])
        if len(data) > 2000:
            raise OSError(28, "No space left on device")

    plan = plan_jobs([str(tmp_path / "in")], str(tmp_path / "out"))
    monkeypatch.setattr(type(tmp_path), "write_bytes", small)
    assert denoise_files(plan, lambda _: negative, FileOptions(jobs=jobs)) == 1
    monkeypatch.undo()
    out, err = capsys.readouterr()
    assert "2 written, 0 skipped, 2 failed" in out
    failures = [line for line in err.splitlines() if not line.startswith("note: ")]
    assert err.count("No space left on device") == 2 and len(failures) == 2
    assert names(tmp_path / "out") == ["0.png", "2.png"]


def other_user(folder):
    """Returns how a command begins that has no special rights, and opens the way to a folder."""
    if os.geteuid() == 0 and not os.path.exists("/usr/bin/setpriv"):
        pytest.skip("the superuser may read and write everything, and there is no setpriv")
    for each in (folder, *folder.parents):
        if each.name.startswith(("test_", "popen-", "pytest-")):
            each.chmod(0o755)
    return ["setpriv", "--reuid=65534", "--clear-groups"] if os.geteuid() == 0 else []


@pytest.mark.skipif(os.name != "posix", reason="needs the permissions of POSIX")
def test_what_may_not_be_read_fails_alone(photos, tmp_path):
    """As a user without rights, where the tests run as one who may read all."""
    closed = tmp_path / "in" / "closed"
    closed.mkdir()
    (closed / "a.png").write_bytes(GOOD["pixel.png"]())
    (photos / "pixel.png").chmod(0)
    closed.chmod(0)
    (tmp_path / "out").mkdir()
    (tmp_path / "out").chmod(0o777)
    become = other_user(tmp_path)
    command = [sys.executable, "-m", "gradnet_tf", "denoise", str(photos), "--strength=0"]
    done = subprocess.run(
        [*become, *command, "--output", str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=False,
    )
    closed.chmod(0o755)
    if "Permission denied" not in done.stderr and not done.stdout:
        pytest.skip(f"another user cannot run this Python: {done.stderr[-200:]}")
    assert done.returncode == 1
    assert f"failed: {closed}: cannot read this folder: Permission denied" in done.stderr
    assert f"failed: cannot read {photos / 'pixel.png'}: Permission denied" in done.stderr
    assert len(done.stderr.splitlines()) == len(BAD) + 2
    assert names(tmp_path / "out") == sorted(set(GOOD) - {"pixel.png"})


@pytest.mark.skipif(os.name != "posix", reason="needs the permissions of POSIX")
@pytest.mark.parametrize("flags", [[], ["--strength=0"], ["--preview"]])
def test_a_folder_that_may_not_be_written_is_refused_first(photos, tmp_path, flags):
    """The model named here does not exist, which only loading it would tell."""
    (tmp_path / "out").mkdir(mode=0o755)
    (tmp_path / "out").chmod(0o555)
    become = other_user(tmp_path)
    command = [sys.executable, "-m", "gradnet_tf", "denoise", str(photos / "pixel.png")]
    flags = [*flags, "--model=runs/absent", "--output", str(tmp_path / "out")]
    done = subprocess.run([*become, *command, *flags], capture_output=True, text=True, check=False)
    if "--output=" not in done.stderr and "absent" not in done.stderr:
        pytest.skip(f"another user cannot run this Python: {done.stderr[-200:]}")
    said = "no file can be created there: Permission denied. Give another folder."
    assert done.stderr == f"error: --output={tmp_path / 'out'}: {said}\n"
    assert done.returncode == 2


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path, capsys):
    (tmp_path / "good.png").write_bytes(files.by_pillow(files.noise(8, 8, 3), "PNG"))
    os.mkfifo(tmp_path / "fifo.png")
    os.mkfifo(tmp_path / "fifo.html")
    good = (tmp_path / "good.png", "--output", tmp_path / "out")
    assert gradnet("denoise", *good, "--report", tmp_path / "fifo.html") == 2
    assert "Received: a pipe, a socket or a device" in capsys.readouterr().err
    with socket.socket(socket.AF_UNIX) as server, contextlib.chdir(tmp_path):
        server.bind("socket.png")
        os.symlink("/dev/zero", tmp_path / "zero.png")
        for name in ("fifo.png", "socket.png", "zero.png", "/dev/zero"):
            out = tmp_path / "out" / name.strip("/").replace("/", "_")
            code = gradnet("denoise", tmp_path / name, "--output", out)
            said = capsys.readouterr().err
            assert code in (1, 2) and "Traceback" not in said, said
            assert not names(out)
