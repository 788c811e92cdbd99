"""What is no photograph, or none that can be kept whole, is refused in one line."""

import io
import logging
import struct
import warnings
import zlib

import numpy as np
import photo_samples as files
import pytest
from PIL import Image

from gradnet_tf.images.photo import Photo
from gradnet_tf.images.photo_files import decode_photo, encode_photo, quiet_decoders, read_photo
from gradnet_tf.utils.errors import UserError


def two_pictures(format, **options):
    target = io.BytesIO()
    pictures = [Image.fromarray(files.noise(8, 8, 3, seed=seed)) for seed in (1, 2)]
    pictures[0].save(target, format, save_all=True, append_images=pictures[1:], **options)
    return target.getvalue()


def cmyk(format):
    target = io.BytesIO()
    Image.fromarray(files.noise(8, 8, 4), "CMYK").save(target, format)
    return target.getvalue()


def floats(*values):
    array = np.full((4, 4), 0.5, np.float32)
    array[0, : len(values)] = values
    return files.by_tifffile(array)


def volume():
    """A TIFF that claims five layers: tifffile would make room for all that such tags claim."""
    data = files.by_tifffile(files.noise(8, 8), extratags=[(65000, 4, 1, 5, True)])
    return data.replace(struct.pack("<HHI", 65000, 4, 1), struct.pack("<HHI", 32997, 4, 1))


def deep_avif():
    data = bytearray(files.by_pillow(files.noise(8, 8, 3), "AVIF"))
    data[data.index(b"av1C") + 6] |= 0x40
    return bytes(data)


def deep_png(colour_type=2, filter=0, rows=4, interlaced=0):
    """16-bit RGB whose rows libpng would complain about on the screen."""
    header = struct.pack(">IIBBBBB", 4, 4, 16, colour_type, 0, 0, interlaced)
    content = zlib.compress((bytes([filter]) + bytes(24)) * rows)
    chunks = files.chunk(b"IHDR", header) + files.chunk(b"IDAT", content)
    return b"\x89PNG\r\n\x1a\n" + chunks + files.chunk(b"IEND", b"")


BAD = {
    "empty": (lambda: b"", "is empty"),
    "text": (lambda: b"this is text", "is not an image: it begins with b'this is text'"),
    "a GIF": (lambda: two_pictures("GIF"), "is GIF; expected JPEG, PNG"),
    "a HEIC": (lambda: b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "is HEIC"),
    "an animated PNG": (lambda: two_pictures("PNG"), "is animated"),
    "an animated WebP": (lambda: two_pictures("WEBP"), "is animated"),
    "an animated AVIF": (lambda: two_pictures("AVIF"), "is animated"),
    "pages": (lambda: two_pictures("TIFF"), "several pages"),
    "a CMYK JPEG": (lambda: cmyk("JPEG"), "CMYK"),
    "a CMYK TIFF": (lambda: cmyk("TIFF"), "CMYK"),
    "NaN": (lambda: floats(np.nan, np.inf), "2 values that are NaN or infinite"),
    "floats to 255": (lambda: floats(0, 255), "from 0 to 255; expected"),
    "signed": (lambda: files.by_tifffile(np.zeros((4, 4), np.int16)), "16-bit signed"),
    "32 bits": (lambda: files.by_tifffile(np.zeros((4, 4), np.uint32)), "32-bit unsigned"),
    "a volume": (volume, "is a TIFF of a volume"),
    "a deep AVIF": (deep_avif, "10 or 12 bits"),
    "a row too few": (lambda: deep_png(rows=3), "end too early"),
    "a pass too few": (lambda: deep_png(interlaced=1), "end too early"),
    "an odd filter": (lambda: deep_png(filter=5), "an unknown filter"),
    "a palette of 16 bits": (lambda: deep_png(colour_type=3), "a color type without 16 bits"),
    "an odd PNM": (lambda: b"P5 2 2 1023 12345678", "values up to 1023"),
}


@pytest.mark.parametrize("name", BAD)
def test_the_reason_is_reported_in_one_line(name, capfd):
    make, words = BAD[name]
    with pytest.raises(UserError) as raised:
        decode_photo(make(), "x.png")
    message = str(raised.value)
    assert message.startswith("x.png ") and words in message
    assert len(message.splitlines()) == 1
    assert capfd.readouterr() == ("", "")


BMP = {"resolution": (0, 0), "space": b"", "profile": b""}
PAM = {"kind": "7", "largest": 255}
GOOD = {
    "png": lambda: files.by_pillow(files.noise(40, 40, 3), "PNG"),
    "png 16": lambda: files.by_opencv(files.noise(40, 40, 3, dtype=np.uint16), ".png"),
    "jpeg": lambda: files.by_pillow(files.noise(40, 40, 3), "JPEG", exif=files.exif()),
    "webp": lambda: files.by_pillow(files.noise(40, 40, 3), "WEBP"),
    "avif": lambda: files.by_pillow(files.noise(40, 40, 3), "AVIF"),
    "tiff": lambda: files.by_tifffile(files.noise(40, 40, 3, dtype=np.uint16)),
    "tiff deflate": lambda: files.by_tifffile(files.noise(40, 40, 3), compression="zlib"),
    "tiff lzw": lambda: files.by_opencv(files.noise(40, 40, 3, dtype=np.uint16), ".tiff"),
    "bmp": lambda: files.by_pillow(files.noise(40, 40, 3), "BMP"),
    "bmp alpha": lambda: encode_photo(Photo(files.noise(40, 40, 4), "bmp", b"", BMP)),
    "pam": lambda: encode_photo(Photo(files.noise(40, 40, 4), "pnm", b"", PAM)),
    "pfm": lambda: b"PF\n40 40\n-1\n" + files.noise(40, 40, 3, dtype=np.float32).tobytes(),
    "pgm of 12 bits": lambda: b"P5\n40 40\n4095\n" + bytes([7, 7]) * 1600,
    "pgm of text": lambda: b"P2\n40 40\n100\n" + b"7 13\n" * 800,
    "png key": lambda: files.raw_png(files.noise(40, 40), 0, 8, files.chunk(b"tRNS", b"\0\7")),
    "ppm": lambda: files.by_pillow(files.noise(40, 40, 3), "PPM"),
    "ppm 16": lambda: files.by_opencv(files.noise(40, 40, 3, dtype=np.uint16), ".ppm"),
}


@pytest.mark.parametrize("name", GOOD)
def test_no_cut_file_passes_for_a_whole_one(name):
    data = GOOD[name]()
    decode_photo(data, "x")
    for length in {1, 5, 20, len(data) // 4, len(data) // 2, len(data) * 3 // 4}:
        with pytest.raises(UserError, match="^x "):
            decode_photo(data[:length], "x")


@pytest.mark.parametrize("name", GOOD)
def test_mutated_files_fail_politely_or_are_read(name, capfd):
    """No other error than ours, no warning, nothing printed; what is read can be written."""
    random = np.random.default_rng(7)
    data = GOOD[name]()
    for _ in range(60):
        mutant = bytearray(data)
        # Half the changes hit the first 200 bytes, where the headers are.
        for _ in range(random.integers(1, 5)):
            end = len(data) if random.random() < 0.5 else 200
            mutant[random.integers(min(end, len(data)))] = random.integers(256)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                photo = decode_photo(bytes(mutant), "x", max_megapixels=1)
            except UserError as error:
                assert len(str(error).splitlines()) == 1
                continue
            decode_photo(encode_photo(photo), "again")
    assert capfd.readouterr() == ("", "")


def test_the_content_decides_and_not_the_suffix(tmp_path):
    (tmp_path / "really.jpg").write_bytes(GOOD["png"]())
    assert read_photo(tmp_path / "really.jpg").format == "png"


def test_the_limit_of_pixels_is_an_argument():
    data = GOOD["tiff"]()
    with pytest.raises(UserError, match="expected at most 0.001"):
        decode_photo(data, "x", max_megapixels=0.001)
    assert Image.MAX_IMAGE_PIXELS  # Pillow's own limit stands as it was.


def test_pillows_own_messages_stay_off_the_screen(caplog):
    """2048 samples a pixel: Pillow logs an error of its own before it refuses."""
    data = bytearray(files.by_pillow(files.noise(8, 8, 3), "TIFF"))
    entry = struct.pack("<HHI", 277, 3, 1)
    place = data.index(entry) + len(entry)
    data[place : place + 2] = struct.pack("<H", 2048)
    with pytest.raises(UserError):
        decode_photo(bytes(data), "a.tif")
    assert not caplog.records


def test_threads_leave_the_process_as_they_found_it():
    """The first one in goes first: each by itself would restore what another one changed."""
    before = logging.getLogger("PIL").level, Image.MAX_IMAGE_PIXELS
    first, second = quiet_decoders(), quiet_decoders()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert Image.MAX_IMAGE_PIXELS is None
    second.__exit__(None, None, None)
    assert (logging.getLogger("PIL").level, Image.MAX_IMAGE_PIXELS) == before
