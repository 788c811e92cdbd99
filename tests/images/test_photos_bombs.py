"""Small files that claim to be enormous are refused before there is memory for them."""

import io
import json
import os
import struct
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

import numpy as np
import photo_samples as files
import pytest
from PIL import Image

from gradnet_tf.images.image_files import read_image
from gradnet_tf.images.photo_files import decode_photo, encode_photo
from gradnet_tf.utils.errors import UserError

SIDE = 60000  # 3600 megapixels: 10.8 GB in 8 bits RGB.


def png(depth=8):
    header = struct.pack(">IIBBBBB", SIDE, SIDE, depth, 2, 0, 0, 0)
    rows = zlib.compress(bytes(10**6))
    chunks = files.chunk(b"IHDR", header) + files.chunk(b"IDAT", rows) + files.chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def patched(data, old, new):
    assert data.count(old) >= 1
    return data.replace(old, new)


def small(format, **options):
    return files.by_pillow(files.noise(32, 48, 3), format, **options)


def tiff(**options):
    """Width and height stand in their entries, as numbers of 16 or 32 bits."""
    data = files.by_tifffile(files.noise(32, 48, 3, dtype=np.uint16), **options)
    for tag, value in ((256, 48), (257, 32)):
        kind = next(k for k in (3, 4) if struct.pack("<HHI", tag, k, 1) in data)
        code = "<HHIH2x" if kind == 3 else "<HHII"
        data = patched(
            data, struct.pack(code, tag, kind, 1, value), struct.pack(code, tag, kind, 1, SIDE)
        )
    return data


def tile():
    """A modest picture in one tile of 16 gigapixels."""
    data = files.by_tifffile(files.noise(32, 48, 3), tile=(16, 16))
    for tag in (322, 323):
        kind = next(k for k in (3, 4) if struct.pack("<HHI", tag, k, 1) in data)
        code = "<HHIH2x" if kind == 3 else "<HHII"
        new = struct.pack("<HHII", tag, 4, 1, 2**17)
        data = patched(data, struct.pack(code, tag, kind, 1, 16), new)
    return data


def webp_canvas():
    """The header of the extended format claims 16 million by 16 million pixels."""
    data = bytearray(small("WEBP", exif=files.exif()))
    place = data.index(b"VP8X") + 12
    data[place : place + 6] = b"\xff" * 6
    return bytes(data)


def webp_lossless():
    data = bytearray(small("WEBP", lossless=True))
    place = data.index(b"VP8L") + 9
    data[place : place + 4] = (2**28 - 1).to_bytes(4, "little")  # 16384 by 16384
    return bytes(data)


def webp_lossy():
    data = bytearray(small("WEBP"))
    place = data.index(b"\x9d\x01\x2a") + 3
    data[place : place + 4] = struct.pack("<HH", 16383, 16383)
    return bytes(data)


def jpeg():
    data = small("JPEG")
    return patched(data, struct.pack(">HH", 32, 48), struct.pack(">HH", 65500, 65500))


def avif():
    data = small("AVIF")
    return patched(data, struct.pack(">II", 48, 32), struct.pack(">II", SIDE, SIDE))


def bmp():
    return patched(small("BMP"), struct.pack("<ii", 48, 32), struct.pack("<ii", SIDE, SIDE))


def ppm(largest):
    return f"P6 {SIDE} {SIDE} {largest}\n".encode() + bytes(1000)


def png_text():
    """A modest picture with a text of 2 GB behind zlib, which nobody has to read."""
    packer = zlib.compressobj(9)
    text = b"".join([packer.compress(bytes(10**6)) for _ in range(300)] + [packer.flush()])
    return files.raw_png(files.noise(5, 6, 3), 2, 8, files.chunk(b"zTXt", b"T\0\0" + text))


BOMBS = {
    "png": png,
    "png 16": lambda: png(16),
    "jpeg": jpeg,
    "tiff": tiff,
    "tiff deflate": lambda: tiff(compression="zlib"),
    "tiff tile": tile,
    "webp canvas": webp_canvas,
    "webp lossless": webp_lossless,
    "webp lossy": webp_lossy,
    "avif": avif,
    "bmp": bmp,
    "ppm": lambda: ppm(255),
    "ppm 16": lambda: ppm(65535),
}


def measure():
    """Decodes each bomb; prints the message and by how many MB the peak has grown."""
    import resource

    def peak():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    made = {name: make() for name, make in BOMBS.items()} | {"png text": png_text()}
    for format in ("PNG", "JPEG", "WEBP", "AVIF", "TIFF", "BMP", "PPM"):
        decode_photo(small(format), "warm")
    found = {}
    for name, data in made.items():
        before = peak()
        try:
            photo = decode_photo(data, name)
            encode_photo(photo)
            message = "read"
        except UserError as error:
            message = str(error)
        found[name] = (message, peak() - before)
        found[f"{name}, data set"] = _read_as_data(data, peak)
    print(json.dumps(found))


def _read_as_data(data, peak):
    """The same by the reader of data sets."""
    before = peak()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.png")
        path.write_bytes(data)
        try:
            message = str(read_image(path).shape)
        except UserError as error:
            message = str(error).replace(str(path), "FILE")
    return message, peak() - before


@pytest.fixture(scope="module")
def measured():
    here = Path(__file__).parent
    places = (here, here.parent / "helpers", here.parents[1])
    path = os.pathsep.join([*map(str, places), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", "import test_photos_bombs as t; t.measure()"],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_in_one_line_and_without_memory(name, measured):
    message, grown = measured[name]
    assert message.startswith(f"{name} ") and len(message.splitlines()) == 1
    assert "megapixels; expected at most" in message or "is damaged" in message, message
    assert grown < 30, f"{grown:.0f} MB were taken"


@pytest.mark.parametrize("name", BOMBS)
def test_data_sets_refuse_bombs_as_well(name, measured):
    message, grown = measured[f"{name}, data set"]
    first, second = message.splitlines()
    assert first.startswith("image file FILE ") and "--max-megapixels" not in first
    if name == "avif":
        assert first.endswith(" is AVIF.")
    else:
        assert "megapixels; expected at most 200." in first or "is damaged" in first, message
    assert second.startswith("Expected an image file (png, ")
    assert second.endswith("of at most 200 megapixels.")
    assert grown < 30, f"{grown:.0f} MB were taken"


def test_a_text_that_is_a_bomb_is_carried_over_unread(measured):
    message, grown = measured["png text"]
    assert message == "read" and grown < 30


EXTREME = [(1, 1), (1, 20000), (20000, 1)]
KINDS = [
    *(("PNG", {}), ("JPEG", {}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"})),
    *(("WEBP", {}), ("WEBP", {"lossless": True}), ("AVIF", {}), ("BMP", {}), ("PPM", {})),
]


@pytest.mark.parametrize("shape", EXTREME)
@pytest.mark.parametrize(("format", "options"), KINDS)
def test_extreme_shapes_of_every_format(format, options, shape):
    if format == "WEBP":  # The format ends at 16383.
        shape = tuple(min(side, 16383) for side in shape)
    grey = {"PNG", "TIFF", "PPM"} & {format}
    for array in (files.noise(*shape, 3), *([files.noise(*shape)] if grey else [])):
        data = files.by_pillow(array, format, **options)
        photo = decode_photo(data, "x")
        assert photo.pixels.shape == (*shape, 3 if array.ndim == 3 else 1)
        again = decode_photo(encode_photo(photo), "again")
        assert again.pixels.shape == photo.pixels.shape
        with Image.open(io.BytesIO(data)) as image:
            np.testing.assert_array_equal(photo.array.reshape(array.shape), np.asarray(image))
