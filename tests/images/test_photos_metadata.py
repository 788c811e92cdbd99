"""Photographs keep EXIF, profile, XMP, resolution and text; Pillow and tifffile are the judges."""

import io
import os
import struct

import numpy as np
import photo_samples as files
import pytest
import tifffile
from PIL import Image, PngImagePlugin

import gradnet_tf
from gradnet_tf.images.photo_files import decode_photo, encode_photo
from gradnet_tf.utils.errors import UserError


def denoised(data):
    """Reads, changes every pixel a little, and writes."""
    photo = decode_photo(data, "a file")
    step = photo.pixels.dtype.type(1 if photo.pixels.dtype.kind == "u" else 1e-3)
    return encode_photo(
        photo.with_pixels(photo.pixels ^ step if step == 1 else photo.pixels + step)
    )


def opened(data):
    return Image.open(io.BytesIO(data))


@pytest.mark.parametrize(
    ("format", "options"),
    [
        ("JPEG", {}),
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("WEBP", {"quality": 80}),
        ("AVIF", {"quality": 80}),
    ],
)
def test_exif_and_profile_are_kept_and_nothing_is_turned(format, options):
    picture = files.noise(24, 36, 3)
    data = files.by_pillow(picture, format, exif=files.exif(), icc_profile=files.PROFILE, **options)
    with opened(data) as before, opened(denoised(data)) as after:
        assert files.exif_facts(before) == files.exif_facts(after) == files.EXIF_FACTS
        assert after.info["icc_profile"] == files.PROFILE
        assert after.size == before.size == (36, 24)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_xmp_is_kept(format):
    text = PngImagePlugin.PngInfo()  # Where PNG has XMP.
    text.add_itxt("XML:com.adobe.xmp", files.XMP.decode())
    options = {"pnginfo": text} if format == "PNG" else {"xmp": files.XMP}
    data = files.by_pillow(files.noise(8, 8, 3), format, **options)
    with opened(denoised(data)) as after:
        assert after.info["xmp"] == files.XMP


@pytest.mark.parametrize(("format", "near"), [("JPEG", 0), ("PNG", 0.02), ("BMP", 0.1)])
def test_resolution_is_kept(format, near):
    data = files.by_pillow(files.noise(8, 8, 3), format, dpi=(300, 150))
    with opened(denoised(data)) as after:
        assert after.info["dpi"] == pytest.approx((300, 150), abs=near)


def test_jpeg_segments_are_kept_byte_for_byte():
    """IPTC, comments and unknown ones in their order; not the list of further pictures."""

    def segment(marker, content):
        return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content

    kept = [
        segment(0xED, b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0\0\0\0\x02ab"),
        segment(0xFE, b"a comment"),
        segment(0xE5, bytes(range(256))),
    ]
    plain = files.by_pillow(files.noise(8, 8, 3), "JPEG")
    more = segment(0xE2, b"MPF\0MM\0*\0\0\0\x08\0\0")
    written = denoised(plain[:2] + b"".join(kept) + more + plain[2:])
    assert b"".join(kept) in written and b"MPF\0" not in written
    assert written.count(b"JFIF\0") == 1


def test_a_jpeg_in_adobe_rgb_coding_keeps_its_colors():
    picture = np.full((16, 16, 3), (200, 30, 90), np.uint8)
    data = files.by_pillow(picture, "JPEG", keep_rgb=True, quality=100)
    assert decode_photo(data, "RGB").pixels.mean(axis=(0, 1)) == pytest.approx((200, 30, 90), abs=2)
    found = files.read_opencv(denoised(data)).mean(axis=(0, 1))
    assert found == pytest.approx((200, 30, 90), abs=3)


@pytest.mark.parametrize("depth", [8, 16])
def test_png_chunks_are_kept_byte_for_byte(depth):
    kept = [
        files.chunk(b"gAMA", (45455).to_bytes(4, "big")),
        files.chunk(b"pHYs", struct.pack(">IIB", 11811, 5906, 1)),
        files.chunk(b"tEXt", b"Title\0A cat"),
        files.chunk(b"bKGD", b"\0\1\0\2\0\3"),
        files.chunk(b"abCd", b"unknown, but may be copied"),
    ]
    dropped = files.chunk(b"abCD", b"unknown, and tied to the pixels")
    array = files.noise(5, 6, 3, dtype=np.uint16 if depth == 16 else np.uint8)
    written = denoised(files.raw_png(array, 2, depth, *kept, dropped))
    assert b"".join(kept) in written and b"abCD" not in written
    assert written.index(b"gAMA") < written.index(b"IDAT")


def test_png_text_is_kept():
    data = files.by_pillow(files.noise(8, 8, 3), "PNG", pnginfo=files.png_text())
    with opened(data) as before, opened(denoised(data)) as after:
        before.load(), after.load()
        assert len(before.text) == 3 and after.text == before.text
        assert after.text["Author"].lang == "nb"


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("layout", [{}, {"byteorder": ">"}, {"bigtiff": True}])
def test_tiff_tags_are_kept(dtype, layout):
    """All of them, with unknown ones; of the pixels' own tags there are none of the old."""
    data = files.by_tifffile(
        files.noise(20, 30, 3, dtype=dtype),
        resolution=(300, 150),
        resolutionunit="INCH",
        description="A cat",
        datetime="2026:01:02 03:04:05",
        software="tests",
        iccprofile=files.PROFILE,
        tile=(16, 16),
        extratags=[
            (274, 3, 1, 6, True),
            (700, 1, len(files.XMP), files.XMP, True),
            (65000, 12, 2, (0.5, 1.5), True),
        ],
        **layout,
    )
    tags = (270, 274, 282, 283, 296, 305, 306, 700, 34675, 65000)
    with tifffile.TiffFile(io.BytesIO(data)) as before:
        wanted = {tag: before.pages[0].tags[tag].value for tag in tags}
    with tifffile.TiffFile(io.BytesIO(denoised(data))) as after:
        page = after.pages[0]
        assert {tag: page.tags[tag].value for tag in tags} == wanted
        assert wanted[34675] == files.PROFILE and wanted[274] == 6
        assert not page.is_tiled and page.shape == (20, 30, 3)


def test_tiff_exif_and_its_directories_are_kept():
    """Pillow writes directories behind pointers, which have to point to their new places."""
    target = io.BytesIO()
    tags = Image.Exif()
    tags.load(files.exif())
    Image.fromarray(files.noise(9, 7, 3)).save(target, "TIFF", exif=tags, dpi=(240, 120))
    data = target.getvalue()
    with opened(data) as before, opened(denoised(data)) as after:
        assert files.exif_facts(before) == files.exif_facts(after) == files.EXIF_FACTS
        assert after.info["dpi"] == (240, 120)


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    source, target = tmp_path / "in.jpg", tmp_path / "new" / "out.jpg"
    source.write_bytes(files.by_pillow(files.noise(8, 8, 3), "JPEG", exif=files.exif()))
    photo = gradnet_tf.read_photo(source)
    gradnet_tf.write_photo(target, photo.with_pixels(photo.pixels // 2))
    with Image.open(target) as image:
        assert files.exif_facts(image) == files.EXIF_FACTS
    before = target.read_bytes()

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(UserError, match="cannot write .*out.jpg: No space left on device"):
        gradnet_tf.write_photo(target, photo)
    assert target.read_bytes() == before and len(list(target.parent.iterdir())) == 1
