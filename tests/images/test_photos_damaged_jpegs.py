"""JPEGs whose picture is damaged are refused; those that only lack their end mark are read."""

import io
import os
import re
import struct
import subprocess
import sys
import tempfile
import threading

import hostile_files
import numpy as np
import photo_samples as files
import pytest
from PIL import Image

from gradnet_tf.images.image_files import read_image
from gradnet_tf.images.jpeg import jpeg_warning
from gradnet_tf.images.photo_files import decode_photo, encode_photo
from gradnet_tf.utils.errors import UserError

KINDS = {
    "baseline": {},
    "progressive": {"progressive": True},
    "4:4:4": {"subsampling": 0},
    "restarts": {"restart_marker_blocks": 16},
    "gray": {},
}


def photograph(side=192):
    y, x = np.mgrid[0:side, 0:side]
    clean = np.stack([x, y, (x + y) / 2], axis=2) * 0.7 + 30
    noise = np.random.default_rng(0).normal(0, 15, clean.shape)
    return np.clip(clean + noise, 0, 255).astype(np.uint8)


def jpeg(kind):
    picture = photograph()[..., 0] if kind == "gray" else photograph()
    return files.by_pillow(picture, "JPEG", quality=90, **KINDS[kind])


def hole(data, size, value=None):
    """`size` bytes in the middle are zeros, as a failing card leaves them, or other ones."""
    middle = len(data) // 2
    old = data[middle : middle + size]
    new = bytes(size) if value is None else bytes(b ^ value if b != 255 else b for b in old)
    return data[:middle] + new + data[middle + size :]


DAMAGE = {
    "half, then the end mark": lambda data: data[: len(data) // 2] + b"\xff\xd9",
    "half": lambda data: data[: len(data) // 2],
    "the last 30 bytes are missing": lambda data: data[:-30],
    "they are missing before the end mark": lambda data: data[:-30] + data[-2:],
    "zeros inside": lambda data: hole(data, 512),
    "bits inside": lambda data: hole(data, 512, 0x55),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("kind", KINDS)
def test_images_of_data_sets_have_the_same_rule(tmp_path, kind, damage):
    (tmp_path / "a.jpg").write_bytes(DAMAGE[damage](jpeg(kind)))
    with pytest.raises(UserError, match="a.jpg is (damaged|truncated)"):
        read_image(tmp_path / "a.jpg")
    (tmp_path / "a.jpg").write_bytes(jpeg(kind))
    assert read_image(tmp_path / "a.jpg").shape == (192, 192, 3)


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_with_a_destroyed_part_is_refused(kind, damage, capfd):
    data = DAMAGE[damage](jpeg(kind))
    with pytest.raises(UserError, match=r"^x (is damaged|is truncated|cannot be decoded)[^\n]*$"):
        decode_photo(data, "x")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("cut", [2, 1])
@pytest.mark.parametrize("kind", KINDS)
def test_without_an_end_mark_the_picture_is_read_and_a_note_reports_it(kind, cut):
    data = jpeg(kind)
    whole, photo = decode_photo(data, "x"), decode_photo(data[:-cut], "x")
    np.testing.assert_array_equal(photo.array, whole.array)
    assert whole.notes == () and len(photo.notes) == 1 and "end mark" in photo.notes[0]
    assert encode_photo(photo).endswith(b"\xff\xd9")
    assert decode_photo(encode_photo(photo), "x").notes == ()


@pytest.mark.parametrize("between", [bytes(200), b"\1\2\3\4\5\6\7", bytes(10)])
def test_a_few_bytes_too_many_are_a_note(between):
    data = jpeg("baseline")
    photo = decode_photo(data[:-2] + between + data[-2:], "x")
    np.testing.assert_array_equal(photo.array, decode_photo(data, "x").array)
    assert len(photo.notes) == 1 and "unnecessary bytes" in photo.notes[0]


def test_odd_metadata_does_not_hide_damage():
    """libjpeg prints its first warning only: here about the version of JFIF."""
    for place in (
        lambda data: data.index(b"JFIF\0") + 5,
        lambda data: data.index(b"\xff\xda") + 12,
    ):
        data = bytearray(jpeg("baseline"))
        data[place(data)] = 9  # The version of JFIF, the last coefficient of the scan.
        assert decode_photo(bytes(data), "x").notes == ()
        with pytest.raises(UserError, match="is damaged"):
            decode_photo(DAMAGE["zeros inside"](bytes(data)), "x")


def test_whole_files_of_every_kind_are_silent():
    for kind in KINDS:
        assert decode_photo(jpeg(kind), "x").notes == ()
    for quality in (5, 50, 100):
        data = files.by_pillow(photograph(), "JPEG", quality=quality, optimize=True)
        assert decode_photo(data, "x").notes == ()
    flat = files.by_pillow(np.full((64, 64, 3), 128, np.uint8), "JPEG", optimize=True)
    assert decode_photo(flat, "x").notes == ()


def test_a_damaged_strip_within_a_tiff_is_refused():
    data = jpeg("gray")
    assert decode_photo(hostile_files.tiff(7, data, side=192), "x").pixels.shape == (192, 192, 1)
    with pytest.raises(UserError, match="is damaged: part of its picture is destroyed"):
        decode_photo(hostile_files.tiff(7, DAMAGE["zeros inside"](data), side=192), "x")


def segment(marker, content):
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def frame(marker, components=1):
    parts = b"".join(bytes([number, 0x11, 0]) for number in range(1, components + 1))
    return segment(marker, struct.pack(">BHHB", 8, 16, 16, components) + parts)


@pytest.mark.parametrize(
    ("marker", "name"),
    [(0xC3, "a lossless JPEG"), (0xCB, "a lossless JPEG"), (0xC5, "a hierarchical JPEG"),
     (0xF7, "a JPEG-LS")],
)  # fmt: skip
def test_other_kinds_of_jpeg_are_named(marker, name):
    data = b"\xff\xd8" + frame(marker) + segment(0xDA, bytes([1, 1, 0, 1, 0, 0])) + b"\1\xff\xd9"
    with pytest.raises(UserError, match=f"^x is {name}; expected") as raised:
        decode_photo(data, "x")
    assert "damaged" not in str(raised.value)


def test_a_missing_table_is_named():
    data = jpeg("baseline")
    start = data.index(b"\xff\xdb")
    end = data.index(b"\xff\xc0")
    with pytest.raises(UserError, match=r"^x [^\n]*[a-z]{4}[^\n]*$") as raised:
        decode_photo(data[:start] + data[end:], "x")
    assert not re.search(r"\(\d*\)$", str(raised.value))


def test_what_other_threads_write_meanwhile_is_passed_on(capfd):
    done = threading.Event()

    def write():
        while not done.is_set():
            os.write(2, b"a line of another thread\n")
            written.append(1)

    written = []
    writer = threading.Thread(target=write)
    writer.start()
    try:
        data = DAMAGE["zeros inside"](jpeg("baseline"))
        found = {jpeg_warning(data) for _ in range(20)}
    finally:
        done.set()
        writer.join()
    assert len(found) == 1 and "extraneous" in found.pop()
    assert capfd.readouterr().err == "a line of another thread\n" * len(written)


def test_damage_is_found_without_a_standard_error_stream(tmp_path):
    target = io.BytesIO()
    Image.fromarray(photograph()).save(target, "JPEG", quality=90)
    (tmp_path / "a.jpg").write_bytes(DAMAGE["half, then the end mark"](target.getvalue()))
    code = (
        "import os; os.close(2)\n"
        "from gradnet_tf.images.jpeg import jpeg_warning\n"
        "text = jpeg_warning(open('a.jpg', 'rb').read())\n"
        "print(text); print(os.open('a.jpg', os.O_RDONLY) < 3)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines()[0] == "premature end of data segment"


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="the system has no files in memory")
def test_reading_needs_no_folder_for_temporary_files(monkeypatch):
    def nowhere(*_, **__):
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(tempfile, "TemporaryFile", nowhere)
    assert decode_photo(jpeg("baseline"), "x").array.shape == (192, 192, 3)
