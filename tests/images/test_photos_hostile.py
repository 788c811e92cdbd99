"""Small photographs that decompress to, or take the time of, far more than their size says."""

import json
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import hostile_files
import numpy as np
import photo_samples
import pytest

from gradnet_tf.images.image_files import read_image
from gradnet_tf.images.jpeg import require_few_scans
from gradnet_tf.images.photo_files import decode_photo, encode_photo, read_photo
from gradnet_tf.utils.errors import UserError

BOMB_BYTES = 2**27


def measure():
    """Decodes each TIFF; prints what came of it and by how many MB the peak has grown."""
    import resource

    def peak():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    for options in ({}, {"compression": "tiff_lzw"}):
        decode_photo(photo_samples.by_pillow(photo_samples.noise(32, 32), "TIFF", **options), "x")
    found = {}
    for name, make in hostile_files.TIFF_BOMBS.items():
        data = make(BOMB_BYTES)
        before = peak()
        try:
            message = str(decode_photo(data, "x").pixels.shape)
        except UserError as error:
            message = str(error)
        found[name] = (message, peak() - before)
    print(json.dumps(found))


@pytest.fixture(scope="module", params=["with", "without"])
def measured(request):
    if request.param == "with":
        pytest.importorskip("imagecodecs")
    here = Path(__file__).parent
    places = (here, here.parent / "helpers", here.parents[1])
    path = os.pathsep.join([*map(str, places), os.environ.get("PYTHONPATH", "")])
    block = "import sys; sys.modules['imagecodecs'] = None; " if request.param == "without" else ""
    done = subprocess.run(
        [sys.executable, "-c", f"{block}import test_photos_hostile as t; t.measure()"],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", hostile_files.TIFF_BOMBS)
def test_a_tiff_takes_the_memory_of_its_pixels(name, measured):
    message, grown = measured[name]
    assert message == "(32, 32, 1)" or message.startswith("x is ")
    assert grown < 40, f"{grown:.0f} MB were taken"


@pytest.mark.parametrize("between", [b" " * 4000, b"#\n" * 2000, b"\n" * 40 + b"#" * 3000])
@pytest.mark.parametrize("end", [b"x", b"1", b"1 1", b"#"])
def test_pnm_headers_are_read_in_one_pass(between, end):
    # With a quantifier within another, 40 blanks take longer than anybody waits.
    with pytest.raises(UserError, match="is damaged: a PNM begins with"):
        decode_photo(b"P6" + between + end, "x")


def test_pnm_headers_have_comments():
    data = b"P5 # a\n#b\n 2\t3 #c\n#d\n255\n" + bytes(range(6))
    assert decode_photo(data, "x").pixels.shape == (3, 2, 1)


def test_jpegs_have_few_scans(tmp_path):
    for side in (64, 512):
        data = hostile_files.jpeg_scans(2000, side)
        with pytest.raises(UserError, match="^x is a JPEG of more than 100 scans"):
            decode_photo(data, "x")
        (tmp_path / "a.jpg").write_bytes(data)
        with pytest.raises(UserError, match="more than 100 scans"):
            read_image(tmp_path / "a.jpg")
    data = hostile_files.jpeg_scans(80)
    assert decode_photo(data, "x").pixels.shape == (512, 512, 1)
    (tmp_path / "a.jpg").write_bytes(data)
    assert read_image(tmp_path / "a.jpg").shape == (512, 512, 3)
    # A film behind the picture holds any bytes, and a picture within a segment is none of ours.
    behind = hostile_files.jpeg_scans(5) + b"\xff\xda\0\2" * 1000
    require_few_scans(behind, 2)
    thumbnail = b"\xff\xd8\xff\xe1" + (4002).to_bytes(2, "big") + b"\xff\xda\0\2" * 1000 + data[2:]
    require_few_scans(thumbnail, 2)


def test_jpegs_within_tiffs_have_few_scans():
    for tiled in (False, True):
        data = hostile_files.tiff(7, hostile_files.jpeg_scans(2000, 32), tiled)
        with pytest.raises(UserError, match="more than 100 scans"):
            decode_photo(data, "x")


def test_16_bit_pngs_end_with_their_rows():
    for depth in (8, 16):
        data = hostile_files.png_long_rows(2**24, depth)
        try:
            assert decode_photo(data, "x").pixels.shape == (4, 4, 3)
        except UserError as error:
            assert "more compressed pixels" in str(error)


def test_tiff_tags_hold_no_more_than_the_file():
    import struct

    whole = photo_samples.by_pillow(photo_samples.noise(8, 8), "TIFF") + bytes(10**6)
    start = len(whole)
    entries = [struct.pack("<HHII", tag, 1, start, 0) for tag in range(1000, 60000)]
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    with pytest.raises(UserError, match="hold more than the file"):
        decode_photo(b"II*\0" + struct.pack("<I", start) + whole[8:] + directory, "x")


def test_strips_in_one_place_do_not_run_without_end():
    import struct

    # Each of 30 strips is the same nearly endless stream of empty blocks.
    segment = b"\x78\x9c" + b"\0\0\0\xff\xff" * 10_000
    count, start = 32, 8 + len(segment)
    numbers = {256: 32, 257: 32, 258: 8, 259: 8, 262: 1, 277: 1, 278: 1}
    entries = [struct.pack("<HHII", tag, 4, 1, value) for tag, value in numbers.items()]
    behind = start + 2 + 12 * (len(entries) + 2) + 4
    entries.insert(5, struct.pack("<HHII", 273, 4, count, behind))
    entries.append(struct.pack("<HHII", 279, 4, count, behind + 4 * count))
    data = b"II*\0" + struct.pack("<I", start) + segment
    data += struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    data += struct.pack("<32I", *[8] * 32) + struct.pack("<32I", *[len(segment)] * 32)
    with pytest.raises(UserError, match="contradict each other"):
        decode_photo(data, "x")


def test_a_png_of_more_rows_than_its_size_is_refused_and_libpng_prints_nothing(capfd):
    """Otherwise libpng writes a warning of its own to standard error."""
    data = photo_samples.by_opencv(photo_samples.noise(8, 9, 3, dtype=np.uint16), ".png")
    header = struct.pack(">II", 9, 7)
    kind = b"IHDR" + header + data[24:29]
    fewer = data[:12] + kind + struct.pack(">I", zlib.crc32(kind)) + data[33:]
    with pytest.raises(UserError, match="more compressed pixels than its size"):
        decode_photo(fewer, "a.png")
    assert capfd.readouterr().err == ""


def test_a_million_blanks_in_xmp_take_no_time():
    code = (
        "from gradnet_tf.images.photo import without_provenance as f\n"
        "text = b'<x a:provenance=\"y\"' + b' ' * 10**6 + b'/>'\n"
        "assert f(text) == b'<x' + b' ' * 10**6 + b'/>'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_directories_of_a_tiff_that_point_at_each_other_are_written_once():
    def entry(tag, kind, count, value):
        return struct.pack("<HHII", tag, kind, count, value)

    place, size = 16, 100_000
    directory = place + size
    loop = directory + 2 + 12 * 11 + 4
    pointers = [entry(34665, 4, 1, loop), entry(34853, 4, 1, loop)]
    numbers = {256: 1, 257: 1, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: 1, 279: 1}
    tags = [entry(tag, 4, 1, value) for tag, value in numbers.items()] + pointers
    children = [entry(tag, 7, size, place) for tag in (1000, 1001)]
    children += [*pointers, entry(40965, 4, 1, loop)]
    data = struct.pack("<2sHI", b"II", 42, directory) + bytes(8 + size)
    for entries in (tags, children):
        data += struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    assert len(encode_photo(decode_photo(data, "x"))) < 4 * len(data)


def test_a_file_larger_than_its_picture_can_be_is_not_read(tmp_path):
    path = tmp_path / "large.tif"
    with open(path, "wb") as file:
        file.write(b"II*\0")
        file.truncate(2 * 10**9)
    with pytest.raises(UserError, match=r"has 2.0 GB; expected at most 0.5 GB for 1 megapixels"):
        read_photo(path, 1.0)
