"""What a file holds besides its pixels is written again whole, or is gone with what points at it.

Walkers of their own split the files before and after into segments, chunks, tags and boxes; what
is in one list and not in the other has to be what `Photo.lost` says.
"""

import io
import struct

import numpy as np
import photo_samples as files
import pytest
import tifffile
from PIL import Image

from gradnet_tf.images.photo_files import decode_photo, encode_photo
from gradnet_tf.utils.errors import UserError

CREDENTIALS = "the content credentials (C2PA), which were signed for the old pixels"
XMP_HEAD = b"http://ns.adobe.com/xap/1.0/\0"


def denoised(data):
    """Returns the file with new pixels, and what it lost."""
    photo = decode_photo(data, "x")
    return encode_photo(photo.with_pixels(photo.pixels ^ 1)), photo.lost


# JPEG ---------------------------------------------------------------------------------------------


def segment(marker, content):
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def split_jpeg(data):
    """Returns the segments before the scan, the first picture's size, and what is behind it."""
    found, position = [], 2
    while data[position + 1] != 0xDA:
        size = int.from_bytes(data[position + 2 : position + 4], "big")
        found.append((data[position + 1], data[position + 4 : position + 2 + size], position))
        position += 2 + size
    while data[position : position + 2] != b"\xff\xd9":  # Zeros follow 255 among the pixels.
        position += 1
    return found, position + 2, data[position + 2 :]


def side_segments(data):
    """Segments that no encoder writes for itself."""
    own = (0xDB, 0xC0, 0xC1, 0xC2, 0xC4, 0xDD)
    return [(marker, content) for marker, content, _ in split_jpeg(data)[0] if marker not in own]


def mpf(order, entries):
    """The list of pictures: (attributes, size, offset) of each."""
    values = b"".join(struct.pack(order + "IIIHH", *entry, 0, 0) for entry in entries)
    tags = [(0xB000, 7, 4, b"0100"), (0xB001, 4, 1, struct.pack(order + "I", len(entries)))]
    tags.append((0xB002, 7, len(values), struct.pack(order + "I", 8 + 2 + 36 + 4)))
    table = b"".join(struct.pack(order + "HHI", *tag[:3]) + tag[3] for tag in tags)
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, 3)
    return b"MPF\0" + start + table + bytes(4) + values


def listed_pictures(data):
    """Returns (offset in the file, size) of each picture that the list names."""
    place, content = next(
        (place, content) for marker, content, place in split_jpeg(data)[0]
        if marker == 0xE2 and content[:4] == b"MPF\0"
    )  # fmt: skip
    order = "<" if content[4:6] == b"II" else ">"
    base = place + 8
    count = struct.unpack_from(order + "I", content, 4 + 10 + 12 + 8)[0]
    entries = [struct.unpack_from(order + "III", content, 4 + 50 + 16 * n) for n in range(count)]
    return [(offset and offset + base, size) for _, size, offset in entries]


def with_pictures(head, order, others, marks=()):
    """A JPEG whose list names pictures that follow one another behind it."""
    plain = files.by_pillow(files.noise(40, 56, 3), "JPEG")
    size = len(plain) + len(head) + len(segment(0xE2, mpf(order, [(0, 0, 0)] * (len(others) + 1))))
    base = 2 + len(head) + 8
    entries, place = [(0x030000, size, 0)], size
    for other in others:
        entries.append((0, len(other), place - base))
        place += len(other)
    return b"".join(
        [plain[:2], head, segment(0xE2, mpf(order, entries)), plain[2:], *others, *marks]
    )


def gain_map(text=b'xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:GainMapMax="2"'):
    data = files.by_pillow(files.noise(20, 28), "JPEG")
    return data[:2] + segment(0xE1, XMP_HEAD + text) + data[2:]


CONTAINER = (
    b'<x:xmpmeta xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0">'
    b"<Container:Item "
    b'Item:Semantic="GainMap" Item:Mime="image/jpeg" Item:Length="%d"/></x:xmpmeta>'
)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("extra", [b"", segment(0xE1, b"Exif\0\0" + bytes(3000))])
def test_a_gain_map_comes_along_and_the_list_of_pictures_finds_it(order, extra):
    second = gain_map()
    head = extra + segment(0xE1, XMP_HEAD + CONTAINER % len(second))
    depth = files.by_pillow(files.noise(16, 16), "JPEG")
    for others in ([second], [second, depth]):
        data = with_pictures(head, order, others)
        assert [data[a : a + n] for a, n in listed_pictures(data)[1:]] == others  # The test's own.
        written, lost = denoised(data)
        assert lost == ()
        _, size, behind = split_jpeg(written)
        assert behind == b"".join(others) and head in written
        assert listed_pictures(written)[0] == (0, size)
        assert [written[a : a + n] for a, n in listed_pictures(written)[1:]] == others
        place, length = listed_pictures(written)[1]
        with Image.open(io.BytesIO(written[place : place + length])) as image:
            assert image.size == (28, 20)
        again, lost = denoised(written)
        assert lost == () and split_jpeg(again)[2] == behind


FILM = (
    struct.pack(">I", 24) + b"ftypmp42" + bytes(12) + struct.pack(">I", 108) + b"mdat" + bytes(100)
)
CARRIED = {
    "a film that XMP announces": (XMP_HEAD + b'GCamera:MicroVideoOffset="132"', FILM),
    "a film of a container": (XMP_HEAD + b'<Container:Item Item:Semantic="MotionPhoto"/>', FILM),
    "a film that nothing announces": (b"", FILM),
    "blocks of a phone": (b"", b"\0\0\1\x0aImage_UTC_Data1\0SEFH" + bytes(20) + b"SEFT"),
    "an iPhone's gain map": (b"", gain_map(b"urn:com:apple:photo:2020:aux:hdrgainmap")),
    "an ISO gain map": (b"", gain_map(b"urn:iso:std:iso:ts:21496:-1\0")),
}  # fmt: skip


@pytest.mark.parametrize("name", CARRIED)
def test_what_counts_from_the_end_of_the_file_stays_at_its_end(name):
    announced, behind = CARRIED[name]
    plain = files.by_pillow(files.noise(40, 56, 3), "JPEG")
    head = segment(0xE1, announced) if announced else b""
    data = plain[:2] + head + plain[2:] + behind
    written, lost = denoised(data)
    assert lost == () and split_jpeg(written)[2] == behind
    assert side_segments(written) == side_segments(data)


def test_previews_go_with_the_list_that_names_them():
    preview = files.by_pillow(files.noise(20, 28), "JPEG")
    data = with_pictures(b"", ">", [preview])
    written, lost = denoised(data)
    assert lost == ("the further pictures in the file (previews)",)
    assert b"MPF\0" not in written and split_jpeg(written)[2] == b""
    assert side_segments(written) == [one for one in side_segments(data) if one[1][:4] != b"MPF\0"]


def test_unknown_bytes_behind_a_jpeg_are_named():
    plain = files.by_pillow(files.noise(40, 56, 3), "JPEG")
    written, lost = denoised(plain + b"PK\3\4 something")
    assert lost == ("14 bytes behind the picture",) and split_jpeg(written)[2] == b""
    assert denoised(plain + bytes(5000))[1] == ()  # Zeros up to a whole block.


def test_a_list_of_pictures_that_leads_elsewhere_goes():
    second = gain_map()
    data = with_pictures(segment(0xE1, XMP_HEAD + CONTAINER % len(second)), "<", [second])
    place = data.index(b"MPF\0") + 4 + 50 + 16 + 8
    for offset in (5, 2**32 - 1):
        bent = data[:place] + struct.pack("<I", offset) + data[place + 4 :]
        if offset == 5:
            written, _ = denoised(bent)
            assert b"MPF\0" not in written and split_jpeg(written)[2] == second
        else:
            try:
                denoised(bent)
            except UserError as error:
                assert len(str(error).splitlines()) == 1


def box(kind, content):
    return struct.pack(">I4s", len(content) + 8, kind) + content


def manifest(label=b"c2pa", size=100):
    uuid = label + b"\0\x11\0\x10\x80\0\0\xaa\0\x38\x9b\x71"
    return box(b"jumb", box(b"jumd", uuid + b"\x03" + label + b"\0") + box(b"cbor", bytes(size)))


def app11(number, packet, content):
    return segment(0xEB, b"JP" + struct.pack(">HI", number, packet) + content)


PROVENANCE = [
    b'<rdf:Description dc:format="a" dcterms:provenance="self#jumbf=/c2pa/x" dc:x="b"/>',
    b"<rdf:Description><dcterms:provenance>https://x.org/a.c2pa</dcterms:provenance></rdf:Description>",
]
CLEANED = [b'<rdf:Description dc:format="a" dc:x="b"/>', b"<rdf:Description></rdf:Description>"]


@pytest.mark.parametrize(("before", "after"), list(zip(PROVENANCE, CLEANED, strict=True)))
def test_credentials_of_a_jpeg_go_with_what_points_at_them(before, after):
    store = manifest(size=70_000)
    large = app11(1, 1, store[:60_000]) + app11(1, 2, store[:8] + store[60_000:])
    other = app11(2, 1, manifest(b"abcd"))
    plain = files.by_pillow(files.noise(40, 56, 3), "JPEG")
    data = plain[:2] + large + other + segment(0xE1, XMP_HEAD + before) + plain[2:]
    written, lost = denoised(data)
    assert lost == (CREDENTIALS,)
    assert b"c2pa" not in written and written.count(other) == 1
    assert XMP_HEAD + after in written
    assert len(side_segments(written)) == len(side_segments(data)) - 2
    assert denoised(written)[1] == ()


def test_the_rest_of_an_hdr_jpeg_goes():
    plain = files.by_pillow(files.noise(40, 56, 3), "JPEG")
    data = plain[:2] + app11(1, 1, box(b"RESI", bytes(50))) + plain[2:]
    written, lost = denoised(data)
    assert lost == ("the difference to an HDR picture (JPEG XT)",) and b"RESI" not in written


# PNG ----------------------------------------------------------------------------------------------


def split_png(data):
    found, position = [], 8
    while position < len(data):
        size, kind = struct.unpack_from(">I4s", data, position)
        found.append((kind, data[position + 8 : position + 8 + size]))
        position += 12 + size
    return [one for one in found if one[0] not in (b"IHDR", b"IDAT", b"IEND")]


@pytest.mark.parametrize("depth", [8, 16])
def test_png_chunks_stay_or_are_named(depth):
    text = b"XML:com.adobe.xmp\0\0\0\0\0"
    chunks = [
        files.chunk(b"caBX", manifest()),
        files.chunk(b"gAMA", (45455).to_bytes(4, "big")),
        files.chunk(b"iTXt", text + PROVENANCE[0]),
        files.chunk(b"mkBF", b"layers of Fireworks"),
        files.chunk(b"iDOT", bytes(28)),
        files.chunk(b"eXIf", files.exif()[6:]),
        files.chunk(b"vpAg", bytes(9)),
    ]
    array = files.noise(9, 8, 3, dtype=np.uint16 if depth == 16 else np.uint8)
    data = files.raw_png(array, 2, depth, *chunks)
    written, lost = denoised(data)
    assert lost == (CREDENTIALS, "the PNG chunk mkBF")
    kept = [one for one in split_png(data) if one[0] not in (b"caBX", b"mkBF", b"iDOT")]
    wanted = [(k, text + CLEANED[0] if k == b"iTXt" else content) for k, content in kept]
    assert split_png(written) == wanted
    assert denoised(data + b"12345")[1][-1] == "5 bytes behind the end of the PNG"


@pytest.mark.parametrize("kind", [b"tEXt", b"zTXt", b"iCCP", b"cLLi", b"eXIf", b"gAMA", b"abCD"])
def test_a_wrong_checksum_costs_the_chunk_and_not_the_picture(kind):
    chunk = files.chunk(kind, b"Title\0cat")
    other = files.chunk(b"tEXt", b"Author\0me")
    array = files.noise(9, 8, 3)
    data = files.raw_png(array, 2, 8, chunk[:-1] + bytes([chunk[-1] ^ 1]), other)
    photo = decode_photo(data, "x")
    np.testing.assert_array_equal(photo.array, array)
    assert photo.notes == (f"the checksum of its {kind.decode()} chunk is wrong, so it is ignored",)
    assert split_png(encode_photo(photo)) == [(b"tEXt", b"Author\0me")]


@pytest.mark.parametrize("kind", [b"tRNS", b"IDAT", b"PLTE", b"IHDR", b"ABCD", b"a\0cd"])
def test_a_wrong_checksum_of_the_pixels_is_refused(kind):
    plain = files.raw_png(
        files.noise(9, 8), 0, 8, files.chunk(b"tRNS", b"\0\1"), files.chunk(b"PLTE", b"")
    )
    if kind in plain:
        place = plain.index(kind)
        end = place + 4 + int.from_bytes(plain[place - 4 : place], "big")
        data = plain[:end] + bytes([plain[end] ^ 1]) + plain[end + 1 :]
    else:
        chunk = files.chunk(kind, b"12")
        data = plain[:33] + chunk[:-1] + bytes([chunk[-1] ^ 1]) + plain[33:]
    with pytest.raises(UserError, match="^x is damaged: the checksum"):
        decode_photo(data, "x")


# TIFF ---------------------------------------------------------------------------------------------


def tags_of(data):
    """The tags of the first page that do not describe how its pixels are stored."""
    stored = {256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 317, 339, 254, 330}
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        return {tag.code: tag.value for tag in tiff.pages[0].tags if tag.code not in stored}


def resource(number, content):
    return (
        b"8BIM"
        + struct.pack(">HHI", number, 0, len(content))
        + content
        + b"\0" * (len(content) % 2)
    )


@pytest.mark.parametrize("layout", [{}, {"byteorder": ">"}, {"bigtiff": True}])
def test_tiff_tags_stay_or_are_named(layout):
    resources = resource(1005, bytes(16)) + resource(1024, b"\0\1") + resource(1036, b"abc")
    extra = [
        (37724, 7, 60, b"Adobe Photoshop Document Data Block\0" + bytes(24), True),
        (34377, 1, len(resources) + 8, resources + resource(1069, b"")[:8], True),
        (52545, 7, len(manifest()), manifest(), True),
        (700, 1, len(PROVENANCE[0]), PROVENANCE[0], True),
        (65000, 12, 2, (0.5, 1.5), True),
        (65001, 13, 1, 8, True),
        (270, 2, 0, "A cat", True),
    ]
    data = files.by_tifffile(files.noise(20, 30, 3), extratags=extra, **layout)
    written, lost = denoised(data)
    assert lost == (
        "Photoshop's layers",
        CREDENTIALS,
        "the directory of TIFF tag 65001",
    )
    before, after = tags_of(data), tags_of(written)
    assert set(before) - set(after) == {37724, 52545, 65001}
    assert after.pop(700) == CLEANED[0]
    left = after.pop(34377)
    assert bytes(left).startswith(resource(1005, bytes(16)) + resource(1036, b"abc"))
    assert after == {tag: before[tag] for tag in after}
    assert denoised(written)[1] == ()


def test_smaller_versions_of_a_tiff_are_named():
    target = io.BytesIO()
    with tifffile.TiffWriter(target) as writer:
        writer.write(files.noise(32, 32, 3), photometric="rgb", subifds=1, metadata=None)
        writer.write(files.noise(16, 16, 3), photometric="rgb", subfiletype=1, metadata=None)
    written, lost = denoised(target.getvalue())
    assert lost == ("the smaller versions of the picture",)
    with tifffile.TiffFile(io.BytesIO(written)) as tiff:
        assert len(tiff.pages) == 1 and 330 not in tiff.pages[0].tags


def test_resources_without_layers_are_kept_byte_for_byte():
    resources = resource(1024, b"\0\1") + b"8BIM broken"
    extra = [(34377, 1, len(resources), resources, True)]
    data = files.by_tifffile(files.noise(20, 30, 3), extratags=extra)
    assert tags_of(denoised(data)[0])[34377] == resources


# WebP and AVIF ------------------------------------------------------------------------------------


def split_webp(data):
    found, position = [], 12
    while position + 8 <= len(data):
        size = int.from_bytes(data[position + 4 : position + 8], "little")
        found.append((data[position : position + 4], data[position + 8 : position + 8 + size]))
        position += 8 + size + size % 2
    return [one for one in found if one[0] not in (b"VP8X", b"VP8L", b"VP8 ", b"ALPH")]


def test_webp_chunks_stay_or_are_named():
    data = files.by_pillow(
        files.noise(20, 30, 3), "WEBP", lossless=True, xmp=PROVENANCE[0], icc_profile=files.PROFILE
    )
    for kind, content in ((b"C2PA", manifest()), (b"abcd", b"1234")):
        data += kind + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)
    data = data[:4] + struct.pack("<I", len(data) - 8) + data[8:]
    written, lost = denoised(data)
    assert lost == (CREDENTIALS, "the WebP chunk 'abcd'")
    before, after = dict(split_webp(data)), dict(split_webp(written))
    assert set(before) - set(after) == {b"C2PA", b"abcd"}
    assert after[b"XMP "] == CLEANED[0] and after[b"ICCP"] == before[b"ICCP"] == files.PROFILE


def test_credentials_of_an_avif_go():
    data = files.by_pillow(files.noise(20, 30, 3), "AVIF", xmp=PROVENANCE[1])
    uuid = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
    written, lost = denoised(data + box(b"uuid", uuid + manifest()))
    assert lost == (CREDENTIALS,) and b"c2pa" not in written and CLEANED[1] in written
    assert denoised(written)[1] == ()
