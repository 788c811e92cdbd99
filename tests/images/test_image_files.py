"""Decoding, encoding and the words of their errors."""

import importlib.util
import io
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from gradnet_tf.images.image_files import (
    list_images,
    read_image,
    to_float,
    to_gray,
    to_uint8,
    write_image,
)
from gradnet_tf.images.photo_files import decode_photo
from gradnet_tf.utils.errors import UserError

RAMP = np.arange(20 * 30 * 3, dtype=np.uint32).reshape(20, 30, 3).astype(np.uint8)


def _photo(name="china.jpg") -> Path:
    return Path(importlib.util.find_spec("sklearn").origin).parent / "datasets/images" / name


def _pillow_bytes(image, kind, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def test_every_8_bit_value_survives_float_and_back():
    values = np.arange(256, dtype=np.uint8)
    assert to_float(values).dtype == np.float32
    assert to_float(values)[255] == 1.0
    np.testing.assert_array_equal(to_uint8(to_float(values)), values)


def test_to_uint8_clips_and_rounds_halves_to_even():
    halves = np.array([-3.0, 0.5 / 255, 1.5 / 255, 2.5 / 255, 7.0], np.float64)
    np.testing.assert_array_equal(to_uint8(halves), [0, 0, 2, 2, 255])


def test_jpeg_decodes_to_the_pixels_of_pillow():
    expected = np.asarray(Image.open(_photo()).convert("RGB"))
    np.testing.assert_array_equal(read_image(_photo()), expected)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".webp", ".ppm", ".PNG"])
def test_lossless_formats_return_what_was_written(tmp_path, suffix):
    path = tmp_path / "new folder" / f"ramp{suffix}"
    write_image(path, RAMP)
    np.testing.assert_array_equal(read_image(path), RAMP)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_png_is_rgb_for_other_readers(tmp_path):
    write_image(tmp_path / "ramp.png", RAMP)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "ramp.png")), RAMP)


def test_jpeg_is_written_at_quality_95(tmp_path):
    photo = read_image(_photo())
    write_image(tmp_path / "a.jpg", photo)
    tables = []
    for data in (
        (tmp_path / "a.jpg").read_bytes(),
        _pillow_bytes(Image.fromarray(photo), "JPEG", quality=95),
    ):
        with Image.open(io.BytesIO(data)) as image:
            tables.append({key: list(table) for key, table in image.quantization.items()})
    assert tables[0] == tables[1]


def test_gray_is_replicated_for_color_and_kept_otherwise(tmp_path):
    grey = RAMP[..., :1]
    write_image(tmp_path / "grey.png", grey)
    np.testing.assert_array_equal(read_image(tmp_path / "grey.png", 3), np.repeat(grey, 3, 2))
    np.testing.assert_array_equal(read_image(tmp_path / "grey.png", 1), grey)
    np.testing.assert_array_equal(read_image(tmp_path / "grey.png", None), grey)


def test_color_becomes_bt601_luma(tmp_path):
    write_image(tmp_path / "ramp.png", RAMP)
    grey = read_image(tmp_path / "ramp.png", 1)
    luma = RAMP.astype(np.float64) @ [0.299, 0.587, 0.114]
    assert grey.shape == (20, 30, 1)
    assert np.abs(grey[..., 0] - luma).max() <= 0.51
    equal = np.repeat(RAMP[..., :1], 3, axis=2)
    np.testing.assert_array_equal(to_gray(equal), RAMP[..., :1])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_orientation_tags_do_not_turn_the_pixels(tmp_path, kind):
    exif = Image.Exif()
    exif[274] = 6  # Orientation: turn by 90°.
    path = tmp_path / f"tagged.{kind.lower()}"
    path.write_bytes(_pillow_bytes(Image.fromarray(RAMP), kind, exif=exif))
    assert read_image(path).shape == (20, 30, 3)


@pytest.mark.parametrize("mode", ["P", "1", "CMYK"])
def test_palette_bilevel_and_cmyk_files_are_read(tmp_path, mode):
    kind = "JPEG" if mode == "CMYK" else "PNG"
    image = Image.open(_photo()).resize((40, 30)).convert(mode)
    path = tmp_path / "image"
    path.write_bytes(_pillow_bytes(image, kind))
    expected = np.asarray(Image.open(path).convert("RGB"))
    assert np.abs(read_image(path).astype(int) - expected).max() <= (mode == "CMYK")


def test_the_format_is_detected_by_content_not_by_suffix(tmp_path):
    (tmp_path / "really_png.jpg").write_bytes(_pillow_bytes(Image.fromarray(RAMP), "PNG"))
    np.testing.assert_array_equal(read_image(tmp_path / "really_png.jpg"), RAMP)


def test_opaque_alpha_is_dropped_and_transparency_refused(tmp_path):
    alpha = np.full((20, 30, 1), 255, np.uint8)
    opaque = Image.fromarray(np.concatenate([RAMP, alpha], axis=2))
    (tmp_path / "opaque.png").write_bytes(_pillow_bytes(opaque, "PNG"))
    np.testing.assert_array_equal(read_image(tmp_path / "opaque.png"), RAMP)
    opaque.putpixel((0, 0), (1, 2, 3, 254))
    (tmp_path / "glass.png").write_bytes(_pillow_bytes(opaque, "PNG"))
    with pytest.raises(UserError, match=r"glass\.png has transparent pixels; expected opaque"):
        read_image(tmp_path / "glass.png")


def test_deeper_files_are_refused_with_their_depth(tmp_path):
    cv2.imwrite(str(tmp_path / "deep.png"), RAMP.astype(np.uint16))
    with pytest.raises(UserError, match=r"deep\.png is 16-bit; expected 8 bits per channel"):
        read_image(tmp_path / "deep.png")
    cv2.imwrite(str(tmp_path / "deep.tiff"), RAMP.astype(np.float32))
    with pytest.raises(UserError, match="deep.tiff is floating point; expected 8 bits"):
        read_image(tmp_path / "deep.tiff")


def test_missing_empty_folder_and_text_files_are_distinguished(tmp_path):
    with pytest.raises(UserError, match=r"nothing\.png does not exist"):
        read_image(tmp_path / "nothing.png")
    (tmp_path / "empty.png").touch()
    with pytest.raises(UserError, match=r"empty\.png is empty \(0 bytes\)"):
        read_image(tmp_path / "empty.png")
    (tmp_path / "text.png").write_text("hello, this is text")
    with pytest.raises(UserError, match=r"text\.png is not an image: it begins with b'hello") as e:
        read_image(tmp_path / "text.png")
    assert "Expected an image file (png, jpg" in str(e.value)
    with pytest.raises(UserError, match="is a folder; expected an image file"):
        read_image(tmp_path)


@pytest.mark.parametrize("cut", [1, 12, 100, 0.5])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "progressive"])
def test_truncated_files_are_refused(tmp_path, capfd, kind, cut):
    options = {"progressive": True} if kind == "progressive" else {}
    image = Image.fromarray(read_image(_photo()))
    # A thumbnail in a comment has an end mark of its own.
    if kind != "PNG":
        options["comment"] = _pillow_bytes(image.resize((64, 48)), "JPEG")
    data = _pillow_bytes(image, "PNG" if kind == "PNG" else "JPEG", **options)
    path = tmp_path / "cut"
    path.write_bytes(data)
    assert read_image(path).shape == (427, 640, 3)
    path.write_bytes(data[: int(len(data) * cut) if cut < 1 else -cut])
    with pytest.raises(UserError, match="cut is truncated: its end is missing after"):
        read_image(path)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("kind", ["TIFF", "BMP", "WEBP", "PPM"])
def test_truncated_files_of_other_formats_are_refused(tmp_path, kind):
    path = tmp_path / "cut"
    path.write_bytes(_pillow_bytes(Image.fromarray(RAMP), kind)[:-30])
    with pytest.raises(UserError, match="Expected an image file"):
        read_image(path)


DAMAGED = {
    **{f"TIFF {name}": ("TIFF", {"compression": name}) for name in ("tiff_lzw", "jpeg")},
    "TIFF deflate": ("TIFF", {"compression": "tiff_adobe_deflate"}),
    "TIFF packbits": ("TIFF", {"compression": "packbits"}),
    "TIFF": ("TIFF", {}),
    "PNG": ("PNG", {}),
    "JPEG": ("JPEG", {}),
    "JPEG progressive": ("JPEG", {"progressive": True}),
    "WEBP": ("WEBP", {}),
    "BMP": ("BMP", {}),
    "PPM": ("PPM", {}),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damage_that_photographs_are_refused_for_is_refused_in_data_sets(tmp_path, capfd, name):
    kind, options = DAMAGED[name]
    picture = Image.open(_photo()).convert("RGB").resize((96, 80))
    data = _pillow_bytes(picture, kind, **options)
    path = tmp_path / "a.png"
    path.write_bytes(data)
    assert read_image(path).shape == (80, 96, 3)
    random = np.random.default_rng(5)
    refused = 0
    for _ in range(60):
        mutant = bytearray(data)
        mutant[random.integers(len(data))] ^= random.integers(1, 256)
        path.write_bytes(mutant)
        try:
            decode_photo(bytes(mutant), "x")
        except UserError:
            refused += 1
            with pytest.raises(UserError, match=r"^image file .*a\.png (is|has|cannot) "):
                read_image(path)
    assert refused >= (kind == "PNG") + 5 * ("lzw" in name or "jpeg" in name or "deflate" in name)
    assert capfd.readouterr().err == ""


def _with_chunk(png: bytes, kind: bytes, content: bytes, wrong: int = 0) -> bytes:
    """Puts a chunk behind the header of a PNG; `wrong` changes its checksum."""
    check = struct.pack(">I", zlib.crc32(kind + content) ^ wrong)
    return png[:33] + struct.pack(">I", len(content)) + kind + content + check + png[33:]


def test_odd_metadata_says_nothing_and_changes_no_pixel(tmp_path, capfd):
    """libpng and libjpeg write warnings to standard error themselves."""
    png, jpg = (_pillow_bytes(Image.fromarray(RAMP), kind) for kind in ("PNG", "JPEG"))
    jfif = jpg.index(b"JFIF\0") + 5
    adobe = b"\xff\xee\0\x0eAdobe\0\x64" + bytes(4) + b"\x07"
    files = [
        (png, _with_chunk(png, b"tEXt", b"Title\0old", wrong=1)),
        (png, _with_chunk(png, b"iCCP", b"x\0\0" + zlib.compress(b"no profile"))),
        (png, _with_chunk(png, b"cHRM", b"short")),
        (png, _with_chunk(png, b"eXIf", b"none")),
        (jpg, jpg[:jfif] + b"\x07\x07" + jpg[jfif + 2 :]),
        (jpg, jpg[:2] + adobe + jpg[2 + 2 + 16 :]),  # instead of JFIF's segment
        (jpg, jpg[:-2] + bytes(40) + jpg[-2:]),  # some cameras
    ]
    for number, (plain, odd) in enumerate(files):
        (tmp_path / "plain").write_bytes(plain)
        (tmp_path / "odd").write_bytes(odd)
        speaks = cv2.imdecode(np.frombuffer(odd, np.uint8), cv2.IMREAD_UNCHANGED) is not None
        assert speaks and capfd.readouterr().err, number
        expected = read_image(tmp_path / "plain")
        np.testing.assert_array_equal(read_image(tmp_path / "odd"), expected)
        assert capfd.readouterr().err == "", number


def test_a_png_with_a_color_key_is_still_transparent(tmp_path):
    png = _pillow_bytes(Image.fromarray(RAMP), "PNG")
    key = np.asarray(RAMP[0, 0], ">u2").tobytes()
    (tmp_path / "a.png").write_bytes(_with_chunk(png, b"tRNS", key))
    with pytest.raises(UserError, match="has transparent pixels"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("compression", ["lzma", "zstd", "tiff_raw_16"])
def test_tiffs_in_compressions_that_opencv_lacks_are_named(tmp_path, compression):
    path = tmp_path / "a.tif"
    path.write_bytes(_pillow_bytes(Image.new("1", (96, 80), 1), "TIFF", compression=compression))
    with pytest.raises(UserError, match=r"a\.tif is a TIFF in compression \d+; expected none, LZW"):
        read_image(path)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "CMYK"])
@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_intact_tiffs_of_every_kind_are_read(tmp_path, mode, compression):
    path = tmp_path / "a.tif"
    picture = Image.open(_photo()).convert("RGB").resize((96, 80)).convert(mode)
    options = {"compression": compression} if compression else {}
    path.write_bytes(_pillow_bytes(picture, "TIFF", **options))
    np.testing.assert_array_equal(read_image(path), np.asarray(picture.convert("RGB")))
    several = _pillow_bytes(picture, "TIFF", save_all=True, append_images=[picture], **options)
    path.write_bytes(several)
    np.testing.assert_array_equal(read_image(path), np.asarray(picture.convert("RGB")))


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (("GIF", {}), "is GIF"),
        (("JPEG2000", {}), "is JPEG 2000"),
        (("AVIF", {}), "is AVIF"),
        (".sr", "is Sun raster"),
        (".hdr", "is Radiance HDR"),
        (".pfm", "is a PFM of floating-point values"),
    ],
)
def test_formats_that_are_decoded_in_silence_if_damaged_are_named(tmp_path, content, name):
    if isinstance(content, str):
        pixels = RAMP if content == ".sr" else RAMP.astype(np.float32)
        data = cv2.imencode(content, pixels)[1].tobytes()
    else:
        data = _pillow_bytes(Image.fromarray(RAMP), content[0])
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(UserError) as error:
        read_image(tmp_path / "a.png")
    first, second = str(error.value).splitlines()
    assert first.startswith(f"image file {tmp_path / 'a.png'} {name}")
    assert second.startswith("Expected an image file (png, jpg")


def test_jpegs_that_no_decoder_reads_are_named(tmp_path):
    data = _pillow_bytes(Image.fromarray(RAMP), "JPEG")
    place = data.index(b"\xff\xc0")
    (tmp_path / "a.jpg").write_bytes(data[:place] + b"\xff\xc3" + data[place + 2 :])
    with pytest.raises(UserError, match=r"a\.jpg is a lossless JPEG; expected baseline"):
        read_image(tmp_path / "a.jpg")
    (tmp_path / "a.jpg").write_bytes(data[: place + 4] + b"\x0c" + data[place + 5 :])
    with pytest.raises(UserError, match=r"a\.jpg is a JPEG of 12 bits; expected 8"):
        read_image(tmp_path / "a.jpg")


def test_a_picture_of_absurd_size_is_refused_not_allocated(tmp_path):
    def chunk(kind, body):
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99))
    (tmp_path / "huge.png").write_bytes(data + chunk(b"IEND", b""))
    with pytest.raises(
        UserError, match=r"huge\.png has 100000×100000 pixels.* expected at most 200\."
    ):
        read_image(tmp_path / "huge.png")


def test_writing_refuses_what_it_cannot_do(tmp_path):
    with pytest.raises(UserError, match=r"unknown image suffix '\.xyz'"):
        write_image(tmp_path / "a.xyz", RAMP)
    with pytest.raises(UserError, match="pgm stores gray images only"):
        write_image(tmp_path / "a.pgm", RAMP)
    with pytest.raises(ValueError, match="must be uint8"):
        write_image(tmp_path / "a.png", RAMP.astype(np.float32))
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write"):
        write_image(tmp_path / "file" / "a.png", RAMP)


def test_listing_is_in_byte_order_without_hidden_files(make_images):
    folder = make_images("images", ["b.png", "B.png", "a10.png", "a9.png", "é.png", "z.JPG"])
    (folder / ".hidden.png").touch()
    (folder / "notes.txt").touch()
    make_images("images/deeper", ["c.png"])
    names = ["B.png", "a10.png", "a9.png", "b.png", "z.JPG", "é.png"]
    assert [path.name for path in list_images(folder)] == names
    deep = [path.relative_to(folder).as_posix() for path in list_images(folder, recursive=True)]
    assert deep == ["B.png", "a10.png", "a9.png", "b.png", "deeper/c.png", "z.JPG", "é.png"]
    with pytest.raises(UserError, match="nowhere does not exist"):
        list_images(folder / "nowhere")
    with pytest.raises(UserError, match="is not a folder"):
        list_images(folder / "b.png")


def test_bsds500_jpegs_decode_to_the_published_cbsd68_pixels(data_dir):
    for number in ("101085", "3096", "351093"):
        published = read_image(data_dir / "cbsd68" / f"{number}.png")
        original = read_image(data_dir / "bsds500" / "val" / f"{number}.jpg")
        np.testing.assert_array_equal(original, published)
