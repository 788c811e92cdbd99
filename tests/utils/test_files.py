"""Files are whole or absent, and JSON is strict."""

import errno
import hashlib
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

from gradnet_tf.utils import files
from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.files import atomic_path, atomic_write, make_folder, sha256_of, write_json


def test_text_and_bytes_are_written_into_new_folders(tmp_path):
    atomic_write(tmp_path / "a" / "b" / "text.txt", "grün")
    assert (tmp_path / "a/b/text.txt").read_bytes() == "grün".encode()
    atomic_write(tmp_path / "a" / "bytes", b"\0\1")
    assert (tmp_path / "a/bytes").read_bytes() == b"\0\1"


def test_a_failure_keeps_the_old_file_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "result.npz"
    atomic_write(path, "old")
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_text("half of the new")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["result.npz"]


def test_the_temporary_file_is_beside_and_keeps_the_suffix(tmp_path):
    with atomic_path(tmp_path / "picture.png") as temporary:
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".png" and temporary.name.startswith(".")
        assert not (tmp_path / "picture.png").exists()
        temporary.write_text("x")
    assert [p.name for p in tmp_path.iterdir()] == ["picture.png"]


def test_the_result_is_as_readable_as_any_new_file(tmp_path):
    atomic_write(tmp_path / "ours", "x")
    (tmp_path / "plain").write_text("x")
    modes = [os.stat(tmp_path / name).st_mode for name in ("ours", "plain")]
    assert modes[0] == modes[1]


def test_json_has_null_for_what_json_cannot_say(tmp_path):
    value = {
        "nan": float("nan"),
        "inf": np.float32(np.inf),
        "number": np.float64(1.5),
        "count": np.int64(3),
        "path": Path("a") / "b",
        "list": (1, [float("-inf"), "grün"]),
        7: None,
    }
    write_json(tmp_path / "value.json", value)
    text = (tmp_path / "value.json").read_text(encoding="utf-8")
    assert json.loads(text) == {
        "nan": None,
        "inf": None,
        "number": 1.5,
        "count": 3,
        "path": "a/b",
        "list": [1, [None, "grün"]],
        "7": None,
    }
    assert text.endswith("}\n") and "NaN" not in text


def test_sha256_is_hashlibs(tmp_path):
    (tmp_path / "file").write_bytes(b"abc" * 1000)
    assert sha256_of(tmp_path / "file") == hashlib.sha256(b"abc" * 1000).hexdigest()


def test_threads_leave_the_permissions_and_the_umask_as_they_are(tmp_path, monkeypatch):
    """The umask can only be read by setting it, for the whole process."""
    umask = os.umask

    def slowly(mask):
        before = umask(mask)
        time.sleep(0.002)
        return before

    monkeypatch.setattr(os, "umask", slowly)
    before = umask(0o027)
    try:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda number: atomic_write(tmp_path / str(number), b"x"), range(24)))
        after = umask(0o027)
    finally:
        umask(before)
    assert after == 0o027
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o640}


@pytest.mark.parametrize(
    "name",
    ["a" * 234 + ".png", "a" * 251 + ".png", "夏" * 82 + ".png", "a." + "b" * 253, "a" * 255],
)
def test_names_as_long_as_the_system_allows_are_written(tmp_path, name):
    atomic_write(tmp_path / name, b"x")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_folders_are_made_1500_levels_deep(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    deep = os.path.join("out", *["d"] * 1500)
    make_folder(deep)
    atomic_write(Path(deep) / "a", "x")
    assert Path(deep, "a").read_text() == "x"
    for _ in range(1500):  # Python's own removal of trees may end at its recursion limit.
        deep, (name, *_) = os.path.dirname(deep), os.listdir(deep)
        path = os.path.join(deep, "d", name)
        (os.unlink if os.path.isfile(path) else os.rmdir)(path)


def test_a_folder_that_cannot_be_made_leaves_no_parents(tmp_path):
    (tmp_path / "there").mkdir()
    too_long = os.path.join(tmp_path, "there", *["d"] * 3000)
    with pytest.raises(OSError, match="too long"):
        make_folder(too_long)
    assert list((tmp_path / "there").iterdir()) == []
    (tmp_path / "there" / "file").write_text("kept")
    with pytest.raises(OSError):
        make_folder(tmp_path / "new" / "folder" / ("n" * 300))
    with pytest.raises(FileExistsError):
        make_folder(tmp_path / "there" / "file" / "folder")
    assert [str(p.relative_to(tmp_path)) for p in sorted(tmp_path.rglob("*"))] == [
        "there",
        "there/file",
    ]


def test_drives_that_refuse_permissions_are_written(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chmod", refuse)
    atomic_write(tmp_path / "a", b"x")
    assert (tmp_path / "a").read_bytes() == b"x" and len(list(tmp_path.iterdir())) == 1


def test_an_output_folder_is_tried_and_left_empty(tmp_path, monkeypatch):
    files.require_writable(tmp_path / "new" / "out", "--output=x")
    assert not list((tmp_path / "new" / "out").iterdir())
    with pytest.raises(UserError, match=r"--output=x: cannot be created: File exists\. Give"):
        (tmp_path / "file").write_text("")
        files.require_writable(tmp_path / "file" / "out", "--output=x")
    refusal = PermissionError(errno.EACCES, "Permission denied")
    monkeypatch.setattr(files.tempfile, "TemporaryFile", Mock(side_effect=refusal))
    with pytest.raises(UserError, match="no file can be created there: Permission denied"):
        files.require_writable(tmp_path, "--output=x")


def test_a_full_disk_names_the_file(tmp_path):
    with pytest.raises(OSError, match="No space") as caught, atomic_path(tmp_path / "a.json"):
        raise OSError(errno.ENOSPC, "No space left on device")  # As `write` raises it.
    assert caught.value.filename == str(tmp_path / "a.json")
