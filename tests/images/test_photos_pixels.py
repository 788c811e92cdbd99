"""Pixels of every kind of file, put together bit by bit, have the values that the formats say.

The files are those of PngSuite, bmpsuite and libtiff's own tests in kind: every depth, palettes,
transparent colors, bit masks, text and binary. What a file holds is computed here and not asked of
a decoder that ours may be built on.
"""

import io
import struct
import zlib

import cv2
import numpy as np
import photo_samples as files
import pytest
from PIL import Image

from gradnet_tf.images.photo_files import decode_photo, encode_photo
from gradnet_tf.utils.errors import UserError

HEIGHT, WIDTH = 11, 13


def packed(values, depth):
    """Rows (H, N) of numbers below 2**depth as bytes, the first number in the highest bits."""
    if depth == 16:
        return values.astype(">u2").view(np.uint8)
    bits = np.unpackbits(values.astype(np.uint8)[..., np.newaxis], axis=2)[..., 8 - depth :]
    return np.packbits(bits.reshape(len(values), -1), axis=1)


def numbers(channels, depth, seed=0):
    random = np.random.default_rng(seed)
    return random.integers(0, 2**depth, (HEIGHT, WIDTH, channels))


def full_range(values, depth):
    """Numbers of `depth` bits as 8 or 16 bits."""
    if depth == 16:
        return values.astype(np.uint16)
    return (values * 255 // (2**depth - 1)).astype(np.uint8)


def written_again(photo):
    """The same picture after one more writing and reading."""
    data = encode_photo(photo)
    again = decode_photo(data, "again")
    np.testing.assert_array_equal(again.array, photo.array)
    return data


# PNG ----------------------------------------------------------------------------------------------

ADAM7 = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)


def png(values, color_type, depth, *chunks, interlaced=False):
    height, width, channels = values.shape
    rows = b""
    for left, top, across, down in ADAM7 if interlaced else ((0, 0, 1, 1),):
        part = values[top::down, left::across]
        if part.size:
            lines = packed(part.reshape(len(part), -1), depth)
            rows += b"".join(b"\0" + line.tobytes() for line in lines)
    header = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, interlaced)
    parts = [files.chunk(b"IHDR", header), *chunks, files.chunk(b"IDAT", zlib.compress(rows))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + files.chunk(b"IEND", b"")


PNG_MODES = {0: (1, 2, 4, 8, 16), 2: (8, 16), 4: (8, 16), 6: (8, 16)}
CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}
DIRECT = [(kind, depth) for kind, depths in PNG_MODES.items() for depth in depths]


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(("kind", "depth"), DIRECT)
def test_pngs_of_every_depth(kind, depth, interlaced):
    values = numbers(CHANNELS[kind], depth)
    photo = decode_photo(png(values, kind, depth, interlaced=interlaced), "x")
    np.testing.assert_array_equal(photo.array, full_range(values, depth))
    written_again(photo)


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("junk", [0, 1])
@pytest.mark.parametrize(("kind", "depth"), [mode for mode in DIRECT if mode[0] in (0, 2)])
def test_a_transparent_color_is_that_of_the_file_and_not_scaled(kind, depth, junk, interlaced):
    """The lowest color, the highest and one in between; unused bits of the number do not count."""
    values = numbers(CHANNELS[kind], depth)
    top = 2**depth - 1
    for key in (values[0, 0] * 0, values[0, 0] * 0 + top, values[3, 4]):
        values[5, 5] = key
        stored = (key + junk * (top + 1) * (depth < 16)).astype(">u2").tobytes()
        data = png(values, kind, depth, files.chunk(b"tRNS", stored), interlaced=interlaced)
        photo = decode_photo(data, "x")
        wanted = np.where((values == key).all(axis=2), 0, np.iinfo(photo.array.dtype).max)
        np.testing.assert_array_equal(photo.alpha, wanted)
        np.testing.assert_array_equal(photo.pixels, full_range(values, depth))
        written_again(photo)


@pytest.mark.parametrize("length", [None, 1, 3])
@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_png_palettes_with_transparency_of_any_length(depth, length):
    values = numbers(1, depth)
    palette = files.noise(2**depth, 3)
    chunks = [files.chunk(b"PLTE", palette.tobytes())]
    alpha = np.full(2**depth, 255, np.uint8)
    if length and length <= 2**depth:
        alpha[:length] = [0, 100, 200][:length]
        chunks.append(files.chunk(b"tRNS", alpha[:length].tobytes()))
    photo = decode_photo(png(values, 3, depth, *chunks), "x")
    np.testing.assert_array_equal(photo.pixels, palette[values[..., 0]])
    if photo.alpha is not None or len(chunks) == 2:
        np.testing.assert_array_equal(photo.alpha, alpha[values[..., 0]])
    written_again(photo)


def test_a_transparent_color_without_its_numbers_is_damage():
    data = png(numbers(3, 8), 2, 8, files.chunk(b"tRNS", b"\0\1"))
    with pytest.raises(UserError, match="^x is damaged: the transparent color"):
        decode_photo(data, "x")


# TIFF ---------------------------------------------------------------------------------------------


def tiff(strip, order="<", **tags):
    """A TIFF of one strip; tags by name, numbers as SHORT."""
    codes = {"width": 256, "height": 257, "bits": 258, "compression": 259, "photometric": 262}
    codes |= {"fill": 266, "samples": 277, "rows": 278, "map": 320}
    pack = order + "{}H"
    entries = {273: (4, [8]), 279: (4, [len(strip)])}
    entries |= {codes[name]: (3, np.atleast_1d(value)) for name, value in tags.items()}
    start = 8 + len(strip) + len(strip) % 2
    behind, table = b"", struct.pack(order + "H", len(entries))
    free = start + 2 + 12 * len(entries) + 4
    for tag in sorted(entries):
        kind, values = entries[tag]
        value = struct.pack((order + "{}I" if kind == 4 else pack).format(len(values)), *values)
        if len(value) > 4:
            value, behind = struct.pack(order + "I", free + len(behind)), behind + value
        table += struct.pack(order + "HHI", tag, kind, len(values)) + value.ljust(4, b"\0")
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, start)
    return head + strip + b"\0" * (len(strip) % 2) + table + bytes(4) + behind


def usual(**tags):
    size = {"width": WIDTH, "height": HEIGHT, "rows": HEIGHT, "compression": 1, "samples": 1}
    return {**size, **tags}


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("eight", [False, True])
@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_color_maps_of_tiffs_have_16_bits_or_8(depth, eight, order):
    """libtiff takes a map without a number above 255 for one of 8 bits."""
    values = numbers(1, depth)
    colors = files.noise(3, 2**depth, seed=5)
    colors[0, 0] = 200  # A map of two colors may be dark by chance.
    stored = colors.astype(int) * (1 if eight else 257)
    data = tiff(
        packed(values[..., 0], depth).tobytes(), order, **usual(bits=depth, photometric=3),
        map=stored.ravel(),
    )  # fmt: skip
    photo = decode_photo(data, "x")
    np.testing.assert_array_equal(photo.array, colors.T[values[..., 0]])
    written_again(photo)


def test_pixels_beyond_a_short_color_map_are_damage():
    data = tiff(bytes([7] * HEIGHT * WIDTH), **usual(bits=8, photometric=3), map=[65535] * 3)
    with pytest.raises(UserError, match="^x "):
        decode_photo(data, "x")


@pytest.mark.parametrize("fill", [1, 2])
@pytest.mark.parametrize("white", [0, 1])
@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_gray_tiffs_of_every_depth_either_way_up(depth, white, fill):
    values = numbers(1, depth)[..., 0]
    rows = packed(values, depth)
    if depth == 16:
        rows = values.astype("<u2").view(np.uint8)
    if fill == 2:  # The lowest bit of each byte is the first.
        rows = np.packbits(np.unpackbits(rows[..., np.newaxis], axis=2)[..., ::-1], axis=2)
    try:
        photo = decode_photo(
            tiff(rows.tobytes(), **usual(bits=depth, photometric=white, fill=fill)), "x"
        )
    except UserError:
        assert fill == 2  # Seldom used, and may be refused; wrong pixels may not.
        return
    gray = full_range(values, depth)
    wanted = gray if white == 1 else np.iinfo(gray.dtype).max - gray
    np.testing.assert_array_equal(photo.array[..., 0], wanted)
    written_again(photo)


# BMP ----------------------------------------------------------------------------------------------


def bmp(rows, bits, compression, header=40, masks=(), palette=b"", down=False, space=b""):
    """`rows` from top to bottom, each a multiple of four bytes."""
    if not down:
        rows = rows[::-1]
    height = -HEIGHT if down else HEIGHT
    content = struct.pack("<IiiHHIIiiII", header, WIDTH, height, 1, bits, compression, rows.size,
                          2835, 5670, len(palette) // 4, 0)  # fmt: skip
    content += struct.pack(f"<{len(masks)}I", *masks) + space
    content = content.ljust(header, b"\0") + palette
    start = b"BM" + struct.pack("<IHHI", 14 + len(content) + rows.size, 0, 0, 14 + len(content))
    return start + content + rows.tobytes()


def masked_rows(values, masks, bits):
    """Numbers (H, W, C) shifted to their masks, in rows of whole words."""
    shifts = [(mask & -mask).bit_length() - 1 if mask else 0 for mask in masks]
    words = sum(values[..., channel] << shift for channel, shift in enumerate(shifts))
    row_bytes = words.astype(f"<u{bits // 8}").view(np.uint8)
    return np.pad(row_bytes, ((0, 0), (0, -row_bytes.shape[1] % 4)))


MASKS = {
    "565": (16, (0xF800, 0x7E0, 0x1F)),
    "555": (16, (0x7C00, 0x3E0, 0x1F)),
    "4444": (16, (0xF00, 0xF0, 0xF, 0xF000)),
    "1555": (16, (0x7C00, 0x3E0, 0x1F, 0x8000)),
    "no blue": (16, (0xFF00, 0xFF, 0)),
    "888": (32, (0xFF0000, 0xFF00, 0xFF)),
    "shifted": (32, (0xFF000000, 0xFF0000, 0xFF00)),
    "5 bits of 32": (32, (0x1F00000, 0xF8000, 0x7C00)),
    "BGRA": (32, (0xFF0000, 0xFF00, 0xFF, 0xFF000000)),
    "RGBA": (32, (0xFF, 0xFF00, 0xFF0000, 0xFF000000)),
    "odd order": (32, (0xFF000000, 0xFF00, 0xFF, 0xFF0000)),
}


@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize("header", [40, 52, 56, 108, 124])
@pytest.mark.parametrize("name", MASKS)
def test_bmps_of_every_mask_keep_their_alpha(name, header, down):
    bits, masks = MASKS[name]
    if len(masks) == 4 and header == 52:
        return  # It has three masks.
    depths = [mask.bit_count() for mask in masks]
    random = np.random.default_rng(1)
    values = np.stack([random.integers(0, 2**depth, (HEIGHT, WIDTH)) for depth in depths], axis=2)
    tops = np.maximum(2 ** np.array(depths) - 1, 1)
    compression = 6 if header == 40 and len(masks) == 4 else 3
    size = header + 4 * len(masks) * (header == 40)
    rows = masked_rows(values, masks, bits)
    data = bmp(rows, bits, compression, size, masks, down=down)
    data = data[:14] + struct.pack("<I", header) + data[18:]
    photo = decode_photo(data, "x")
    np.testing.assert_array_equal(photo.array, np.rint(values * 255 / tops))
    written = written_again(photo)
    with Image.open(io.BytesIO(written)) as image:
        assert image.mode == ("RGBA" if len(masks) == 4 else "RGB")
        np.testing.assert_array_equal(np.asarray(image), photo.array)
        assert image.info["dpi"] == pytest.approx((72, 144), abs=0.1)
    found = files.read_opencv(written)
    np.testing.assert_array_equal(found[..., :3], photo.pixels)


@pytest.mark.parametrize("bits", [1, 4, 8, 24, 32])
def test_bmps_without_masks(bits):
    values = numbers(1 if bits <= 8 else 3, min(bits, 8))
    palette = np.zeros((0, 4), np.uint8)
    if bits <= 8:
        palette = np.pad(files.noise(2**bits, 3, seed=3), ((0, 0), (0, 1)))
        wanted = palette[values[..., 0], 2::-1]
        rows = packed(values[..., 0], bits)
    else:
        wanted = values
        order = (
            values[..., ::-1] if bits == 24 else np.pad(values[..., ::-1], ((0, 0), (0, 0), (0, 1)))
        )
        rows = order.astype(np.uint8).reshape(HEIGHT, -1)
    rows = np.pad(rows, ((0, 0), (0, -rows.shape[1] % 4)))
    photo = decode_photo(bmp(rows, bits, 0, palette=palette.tobytes()), "x")
    np.testing.assert_array_equal(photo.array, wanted)
    written_again(photo)


def test_a_bmp_keeps_its_color_space_and_its_profile():
    """V4 has end points and gammas; V5 an intent and a profile behind the pixels."""
    values = np.zeros((HEIGHT, WIDTH * 3 + 1), np.uint8)
    space = b"DEBM" + bytes(range(48)) + struct.pack("<I", 4)
    place = 124 + values.size
    v5 = space + struct.pack("<III", place, len(files.PROFILE), 0)
    data = bmp(values, 24, 0, 124, (0,) * 4, space=v5) + files.PROFILE
    written = written_again(decode_photo(data, "x"))
    assert written[14:18] == b"\x7c\0\0\0" and written[70:126] == space
    start, size = struct.unpack_from("<II", written, 126)
    assert written[14 + start : 14 + start + size] == files.PROFILE == written[-size:]
    v4 = bmp(values, 24, 0, 108, (0,) * 4, space=b"\0\0\0\0" + bytes(range(48)))
    assert written_again(decode_photo(v4, "x"))[70:122] == b"\0\0\0\0" + bytes(range(48))


UNREAD_BMPS = {
    "10 bits": (lambda: bmp(np.zeros((HEIGHT, WIDTH * 4), np.uint8), 32, 3, 52,
                            (0x3FF00000, 0xFFC00, 0x3FF)), "10 bits per channel"),
    "gaps": (lambda: bmp(np.zeros((HEIGHT, WIDTH * 4), np.uint8), 32, 3, 52,
                         (0xF0F0000, 0xFF00, 0xFF)), "masks have gaps"),
    "a JPEG": (lambda: bmp(np.zeros((HEIGHT, 4), np.uint8), 24, 4), "holds a JPEG"),
    "a PNG": (lambda: bmp(np.zeros((HEIGHT, 4), np.uint8), 24, 5), "holds a PNG"),
    "2 bits": (lambda: bmp(np.zeros((HEIGHT, 4), np.uint8), 2, 0), "2 bits per pixel"),
    "64 bits": (lambda: bmp(np.zeros((HEIGHT, WIDTH * 8), np.uint8), 64, 0), "64 bits per pixel"),
    "an old header": (lambda: b"BM" + struct.pack("<IHHII", 100, 0, 0, 30, 16) + bytes(90),
                      "a header of 16 bytes"),
    "OS/2's runs": (lambda: bmp(np.zeros((HEIGHT, 4), np.uint8), 24, 4, 64), "compression 4"),
    "OS/2's Huffman": (lambda: bmp(np.zeros((HEIGHT, 4), np.uint8), 1, 3, 64), "compression 3"),
}  # fmt: skip


@pytest.mark.parametrize("name", UNREAD_BMPS)
def test_kinds_of_bmp_that_are_not_read_are_named(name):
    make, words = UNREAD_BMPS[name]
    with pytest.raises(UserError, match=f"^x is a BMP .*{words}") as raised:
        decode_photo(make(), "x")
    assert "damaged" not in str(raised.value)


# The PNM family -----------------------------------------------------------------------------------


def pnm(kind, values, largest):
    height, width = values.shape[:2]
    header = f"P{kind} # a comment\n{width} {height}\n" + (
        f"{largest}\n" if kind not in "14" else ""
    )
    if kind == "4":
        rows = packed(values.reshape(height, -1), 1).tobytes()
    elif kind == "1":
        rows = b"".join(b"%d" % value for value in values.ravel())
    elif kind in "23":
        rows = b"\n".join(b"%d" % value for value in values.ravel()) + b"\n"
    else:
        rows = values.astype(">u2" if largest > 255 else "u1").tobytes()
    return header.encode() + rows


@pytest.mark.parametrize("largest", [1, 7, 100, 255, 256, 1023, 4095, 65535])
@pytest.mark.parametrize("kind", "2356")
def test_pnms_of_every_range_are_read_and_written_in_it(kind, largest):
    channels = 3 if kind in "36" else 1
    values = np.random.default_rng(2).integers(0, largest + 1, (HEIGHT, WIDTH, channels))
    values[0, 0], values[0, 1] = 0, largest
    photo = decode_photo(pnm(kind, values, largest), "x")
    top = 255 if largest < 256 else 65535
    np.testing.assert_array_equal(photo.array, (values * top + largest // 2) // largest)
    binary = "5" if channels == 1 else "6"
    written = written_again(photo)
    assert written == pnm(binary, values, largest).replace(b" # a comment", b"")
    if largest in (255, 65535):
        np.testing.assert_array_equal(files.read_opencv(written).reshape(values.shape), values)


@pytest.mark.parametrize("kind", "14")
def test_bitmaps_are_black_where_they_are_1(kind):
    values = np.random.default_rng(3).integers(0, 2, (HEIGHT, WIDTH, 1))
    photo = decode_photo(pnm(kind, values, 1), "x")
    np.testing.assert_array_equal(photo.array, 255 * (1 - values))
    np.testing.assert_array_equal(files.read_pillow(written_again(photo)), photo.array[..., 0])


@pytest.mark.parametrize("largest", [1, 255, 4095])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_pams_with_alpha_and_without(channels, largest):
    values = np.random.default_rng(4).integers(0, largest + 1, (HEIGHT, WIDTH, channels))
    name = {1: "GRAYSCALE", 2: "GRAYSCALE_ALPHA", 3: "RGB", 4: "RGB_ALPHA"}[channels]
    lines = ("P7", f"WIDTH {WIDTH}", f"HEIGHT {HEIGHT}", f"DEPTH {channels}", f"MAXVAL {largest}")
    header = "\n".join([*lines, f"TUPLTYPE {name}", "ENDHDR\n"])
    data = header.encode() + values.astype(">u2" if largest > 255 else "u1").tobytes()
    photo = decode_photo(data, "x")
    assert photo.array.shape == values.shape and (photo.alpha is None) == (channels % 2 == 1)
    assert written_again(photo) == data


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("channels", [1, 3])
def test_pfms_keep_their_floats_from_the_lowest_row_up(channels, order):
    values = files.noise(HEIGHT, WIDTH, channels, dtype=np.float32)
    scale = {"<": "-1.000000", ">": "1"}[order]
    header = f"P{'F' if channels == 3 else 'f'}\n{WIDTH} {HEIGHT}\n{scale}\n".encode()
    data = header + values[::-1].astype(f"{order}f4").tobytes()
    photo = decode_photo(data, "x")
    np.testing.assert_array_equal(photo.array, values)
    assert written_again(photo) == data
    if channels == 3:
        np.testing.assert_array_equal(files.read_opencv(data), values)


@pytest.mark.parametrize(
    "data",
    [
        b"P4 3 3\n\0", b"P1 3 3 1 0 1", b"P2 2 2 7 1 2 3", b"P2 2 2 7 1 2 3 x", b"P2 2 2 7 1 2 3 9",
        b"P5 2 2 0 1234", b"P5 2 2 65536 12345678", b"P7\nWIDTH 2\nENDHDR\n1", b"P7 332\n#x\n",
        b"P7\nWIDTH 2\nHEIGHT 2\nDEPTH 5\nMAXVAL 255\nENDHDR\n" + bytes(20), b"PF 2 2 x\n1234",
        b"Pf\n2 2\n-e-\n" + bytes(16), b"Pf\n2 2\n-1\n" + bytes(15),
        b"Pf\n1 1\n-1\n" + np.float32(np.nan).tobytes(), b"P7" + b" " * 4000 + b"x",
        b"P7\n" + b"\n" * 4000,
    ],
)  # fmt: skip
def test_what_is_wrong_with_one_of_the_pnm_family_is_one_line(data):
    with pytest.raises(UserError, match="^x [^\n]*$"):
        decode_photo(data, "x")


@pytest.mark.parametrize("kind", ["PPM", "PGM"])
def test_a_pnm_of_several_pictures_is_refused_and_other_bytes_behind_one_are_not(kind):
    data = files.by_pillow(files.noise(4, 5, 3) if kind == "PPM" else files.noise(4, 5), "PPM")
    with pytest.raises(UserError, match="x is a PNM of several pictures; expected one"):
        decode_photo(data + data, "x")
    behind = decode_photo(data + b"\n\0\0", "x").array
    np.testing.assert_array_equal(behind, decode_photo(data, "x").array)


def test_a_text_that_begins_like_a_pnm_is_not_an_image():
    for text in (b"P4ssword", b"PF", b"P1: the first", b"P6-P7"):
        with pytest.raises(UserError, match="is not an image"):
            decode_photo(text, "x")


def test_a_second_decoder_agrees_on_what_is_written():
    """OpenCV reads the results; it stands on other libraries than NumPy and Pillow do."""
    for kind, depth in DIRECT:
        if kind in (0, 2, 6):
            data = encode_photo(decode_photo(png(numbers(CHANNELS[kind], depth), kind, depth), "x"))
            found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
            wanted = full_range(numbers(CHANNELS[kind], depth), depth)
            order = [2, 1, 0, 3][: wanted.shape[2]] if wanted.shape[2] > 1 else [0]
            np.testing.assert_array_equal(np.atleast_3d(found)[..., order], wanted)
