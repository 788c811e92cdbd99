"""WebP, BMP and the PNM family.

Pillow reads and writes WebP without losing metadata. It reads the common kinds of BMP; those with
bit masks are read here, and all are written here, because Pillow writes neither alpha nor color
profiles. PNM, PAM and PFM are a line of text before rows of numbers, of any range, which NumPy
reads.
"""

import io
import re
import struct

import numpy as np
from PIL import Image

from gradnet_tf.images.photo import CREDENTIALS, Photo, require_size, without_provenance
from gradnet_tf.utils.errors import UserError

#: Quality of lossy WebP, whose files do not record the quality they were written with.
QUALITY = 90

_METADATA = ("icc_profile", "exif", "xmp")
_MODES = {"1": "L", "P": "RGB", "L": "L", "LA": "LA", "RGB": "RGB", "RGBA": "RGBA"}
_WEBP_CHUNKS = {b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP", b"EXIF", b"XMP "}
_WEBP_MANIFEST = b"C2PA"


def read(data: bytes, format: str, max_megapixels: float) -> Photo:
    """Reads WebP, BMP, PNM, PAM or PFM; palettes become RGB, fewer than 8 bits become 8."""
    reader = {"webp": _read_webp, "bmp": _read_bmp, "pnm": _read_pnm}[format]
    return reader(data, max_megapixels)


def check(data: bytes) -> None:
    """Raises `UserError` for a WebP, BMP or PNM whose header claims too large a picture."""
    if data.startswith(b"BM"):
        header = struct.unpack_from("<I", data, 14)[0]
        width, height = struct.unpack_from("<HH" if header == 12 else "<ii", data, 18)
    elif data.startswith(b"RIFF"):
        width, height = _webp_size(data)
    elif data.startswith((b"PF", b"Pf")):
        raise UserError("is a PFM of floating-point values; expected 8 bits per channel")
    else:
        _, _, width, height, *_ = _pnm_header(data[:_LONGEST_HEADER])
    require_size(width, abs(height))


def _webp_size(data: bytes) -> tuple[int, int]:
    """Returns the width and height in the first chunk of a WebP."""
    if data[12:16] == b"VP8X":
        return tuple(1 + int.from_bytes(data[at : at + 3], "little") for at in (24, 27))
    if data[12:16] == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return tuple(side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))


def write(photo: Photo, quality: int | None) -> bytes:
    """Writes the input's format; lossless WebP stays lossless, lossy WebP uses `quality`."""
    if photo.format == "bmp":
        return _write_bmp(photo)
    if photo.format == "pnm":
        return _write_pnm(photo)
    lossless = photo.metadata["lossless"]
    # `exact` keeps the colors of transparent pixels.
    options = photo.metadata["info"] | {"lossless": lossless, "exact": True}
    if not lossless:
        options["quality"] = quality or QUALITY
    target = io.BytesIO()
    flat = photo.array[..., 0] if photo.array.shape[2] == 1 else photo.array
    Image.fromarray(np.ascontiguousarray(flat)).save(target, "WEBP", **options)
    return target.getvalue()


def _read_webp(data: bytes, max_megapixels: float) -> Photo:
    chunks = _webp_chunks(data)
    array, info = _by_pillow(data, "WEBP", max_megapixels)
    lost = [CREDENTIALS] if _WEBP_MANIFEST in chunks else []
    others = sorted(chunks - _WEBP_CHUNKS - {_WEBP_MANIFEST})
    lost += [f"the WebP chunk {name.decode('latin-1')!r}" for name in others]
    if b":provenance" in info.get("xmp", b""):
        info["xmp"] = without_provenance(info["xmp"])
        lost = list(dict.fromkeys([CREDENTIALS, *lost]))
    metadata = {"lossless": b"VP8L" in chunks, "info": info}
    return Photo(array, "webp", data, metadata, lost=tuple(lost))


def _by_pillow(data: bytes, name: str, max_megapixels: float) -> tuple[np.ndarray, dict]:
    """Returns (H, W, C) and the metadata that Pillow can write again."""
    with Image.open(io.BytesIO(data), formats=[name]) as image:
        require_size(*image.size, max_megapixels)
        if getattr(image, "n_frames", 1) > 1:
            raise UserError(f"is animated ({image.n_frames} pictures); expected one picture")
        image.load()
        info = {key: image.info[key] for key in _METADATA if image.info.get(key)}
        if image.mode not in _MODES:
            raise UserError(f"is of mode {image.mode}; expected gray or RGB: convert it first")
        return np.atleast_3d(np.asarray(image.convert(_MODES[image.mode]))), info


def _webp_chunks(data: bytes) -> set[bytes]:
    """Returns the types of the chunks in a RIFF file."""
    found, position = set(), 12
    while position + 8 <= len(data):
        found.add(data[position : position + 4])
        length = int.from_bytes(data[position + 4 : position + 8], "little")
        position += 8 + length + length % 2
    return found


# BMP: a header of 14 bytes, then one whose size is its version: 12 (OS/2), 40 (Windows 3), 52 and
# 56 (with masks), 64 (OS/2 2), 108 (V4, with a color space), 124 (V5, with a color profile).
_HEADERS = (12, 40, 52, 56, 64, 108, 124)
_BMP_OS2, _BMP_3, _BMP_4, _BMP_5 = 64, 40, 108, 124
_BMP_DEPTHS = (1, 4, 8, 16, 24, 32)
_RAW, _MASKS, _ALPHA_MASKS = 0, 3, 6
_BMP_COMPRESSIONS = {4: "that holds a JPEG", 5: "that holds a PNG"}
_BGRA = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
_SRGB = b"BGRs"  # "sRGB" as a number.
_PROFILES = (b"DEBM", b"KNIL")  # The color space is a profile in the file, or the name of one.


def _read_bmp(data: bytes, max_megapixels: float) -> Photo:
    """Reads a BMP; the kinds that are not read are named."""
    offset, header = struct.unpack_from("<II", data, 10)
    if header not in _HEADERS:
        raise UserError(f"is a BMP with a header of {header} bytes, a kind that is not read")
    metadata = {"resolution": (0, 0), "space": b"", "profile": b""}
    if header == 12:
        return Photo(_by_pillow(data, "BMP", max_megapixels)[0], "bmp", data, metadata)
    width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18)
    require_size(width, abs(height), max_megapixels)
    metadata["resolution"] = struct.unpack_from("<ii", data, 38)
    if bits not in _BMP_DEPTHS:
        raise UserError(f"is a BMP of {bits} bits per pixel; expected 1, 4, 8, 16, 24 or 32")
    if compression > _MASKS + 3 * (compression == _ALPHA_MASKS) or (
        header == _BMP_OS2 and compression >= _MASKS
    ):
        kind = f"in compression {compression}"
        if header != _BMP_OS2:  # The same numbers mean something else there.
            kind = _BMP_COMPRESSIONS.get(compression, kind)
        raise UserError(f"is a BMP {kind}, which is not read; save it uncompressed first")
    if header >= _BMP_4:  # A color space, end points of its colors and gammas; V5: the intent.
        metadata["space"] = data[70:122] + (data[122:126] if header == _BMP_5 else b"")
    if header == _BMP_5 and metadata["space"][:4] in _PROFILES:
        place, size = struct.unpack_from("<II", data, 126)
        metadata["profile"] = data[14 + place : 14 + place + size]
    if compression in (_MASKS, _ALPHA_MASKS):
        num_masks = 4 if compression == _ALPHA_MASKS or header >= 56 else 3
        masks = struct.unpack_from(f"<{num_masks}I", data, 54)
        array = _masked(data, offset, (abs(height), width), bits, masks)
        array = array[::-1] if height > 0 else array
    else:
        array, _ = _by_pillow(data, "BMP", max_megapixels)
    return Photo(array, "bmp", data, metadata)


def _masked(
    data: bytes, offset: int, size: tuple[int, int], bits: int, masks: tuple[int, ...]
) -> np.ndarray:
    """Decodes pixels whose channels are named by bit masks; (H, W, 3 or 4) in the file's order."""
    if bits not in (16, 32):
        raise UserError(f"is a BMP of {bits} bits with masks; expected 16 or 32")
    if not any(masks):
        masks = _BGRA[:3]
    masks = masks if len(masks) == 4 and masks[3] else masks[:3]
    depths = [mask.bit_count() for mask in masks]
    shifts = [(mask & -mask).bit_length() - 1 if mask else 0 for mask in masks]
    if max(depths) > 8:
        raise UserError(
            f"is a BMP of {max(depths)} bits per channel; expected at most 8: convert it to a "
            "16-bit PNG or TIFF first"
        )
    if any(
        mask >> shift != 2**depth - 1
        for mask, shift, depth in zip(masks, shifts, depths, strict=True)
    ):
        raise UserError("is a BMP whose bit masks have gaps, a kind that is not read")
    height, width = size
    stride = (bits * width + 31) // 32 * 4
    if offset + stride * height > len(data):
        raise UserError(f"is truncated: the pixels of the BMP end after {len(data)} bytes")
    rows = np.frombuffer(data, np.uint8, stride * height, offset).reshape(height, stride)
    values = rows.view(f"<u{bits // 8}")[:, :width].astype(np.uint32)
    array = np.empty((height, width, len(masks)), np.uint8)
    for channel, (mask, shift, depth) in enumerate(zip(masks, shifts, depths, strict=True)):
        top = max(2**depth - 1, 1)
        array[..., channel] = (((values & mask) >> shift) * 255 + top // 2) // top
    return array


def _write_bmp(photo: Photo) -> bytes:
    """Writes 8 bits gray, 24 bits RGB or 32 bits with alpha, as a V4 or V5 header where needed."""
    array, metadata = photo.array, photo.metadata
    height, width, channels = array.shape
    space, profile = metadata["space"], metadata["profile"]
    size = _BMP_5 if len(space) > 52 else _BMP_4 if space or channels == 4 else _BMP_3
    order = {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[channels]
    rows = np.zeros((height, (width * channels + 3) // 4 * 4), np.uint8)  # Rows of 4-byte words.
    rows[:, : width * channels] = array[::-1, :, order].reshape(height, -1)
    palette = np.arange(256, dtype="<u4") * 0x010101 if channels == 1 else np.zeros(0, "<u4")
    offset = 14 + size + palette.nbytes
    header = struct.pack(
        "<IiiHHIIiiII",
        *(size, width, height, 1, 8 * channels, _MASKS if channels == 4 else _RAW),
        *(rows.size, *metadata["resolution"], len(palette), 0),
    )
    if size >= _BMP_4:
        header += struct.pack("<4I", *(_BGRA if channels == 4 else (0, 0, 0, 0)))
        header += space[:52] or _SRGB + bytes(48)
    if size == _BMP_5:
        place = offset - 14 + rows.size if profile else 0
        header += space[52:] + struct.pack("<III", place, len(profile), 0)
    whole = offset + rows.size + len(profile)
    start = b"BM" + struct.pack("<IHHI", whole, 0, 0, offset)
    return b"".join([start, header, palette.tobytes(), rows.tobytes(), profile])


# No quantifier within another, which would try every way to share out blanks: 40 take for ever.
_BLANK = rb"(?:\s|#[^\n]*\n)+"
_PNM_HEADER = re.compile(
    rb"P([2356])%s(\d{1,10})%s(\d{1,10})%s(\d{1,10})\s" % (_BLANK, _BLANK, _BLANK)
)
_PBM_HEADER = re.compile(rb"P([14])%s(\d{1,10})%s(\d{1,10})\s" % (_BLANK, _BLANK))
_PFM_HEADER = re.compile(rb"P([Ff])\s+(\d{1,10})\s+(\d{1,10})\s+([-+.\deE]{1,40})\s")
_PAM_HEADER = re.compile(rb"P7[ \t\r]*\n(?:[^\n]{0,200}\n){1,100}?ENDHDR\n")
_NEXT_PNM = re.compile(rb"\s{0,9}P[1-7Ff]\s")
_LONGEST_HEADER = 4096
# The names of the channels, by their number.
_PAM_KINDS = {1: "GRAYSCALE", 2: "GRAYSCALE_ALPHA", 3: "RGB", 4: "RGB_ALPHA"}


def _read_pnm(data: bytes, max_megapixels: float) -> Photo:
    """Reads PBM, PGM, PPM (as text or binary), PAM and PFM.

    Values become 8 or 16 bits of the full range, and are written in their own range again.
    """
    start = data[:_LONGEST_HEADER]
    if start.startswith((b"PF", b"Pf")):
        return _read_pfm(data, max_megapixels)
    kind, channels, width, height, largest, place = _pnm_header(start)
    require_size(width, height, max_megapixels)
    if not 1 <= largest <= 65535:
        raise UserError(f"is a PNM with values up to {largest}; expected 1 to 65535")
    size = height * width * channels
    if kind in "123":
        values = _text_values(data[place:], kind, size)
    elif kind == "4":
        stride = (width + 7) // 8
        rows = _binary_values(data, place, np.uint8, height * stride).reshape(height, stride)
        values = np.unpackbits(rows, axis=1)[:, :width]
    else:
        values = _binary_values(data, place, np.uint8 if largest < 256 else ">u2", size)
    top = int(values.max())
    if top > largest:
        raise UserError(
            f"is damaged: it has values up to {top}; its header allows values up to {largest}"
        )
    values = values.reshape(height, width, channels)
    if kind in "14":  # In bitmaps 1 is black.
        values = 1 - values
    array = _rescaled(values, largest, 255 if largest < 256 else 65535)
    metadata = {"kind": kind, "largest": largest if kind not in "14" else 255}
    return Photo(array, "pnm", data, metadata)


def _pnm_header(start: bytes) -> tuple[str, int, int, int, int, int]:
    """Returns the kind, channels, width, height, largest value, and where the pixels begin."""
    if start.startswith(b"P7"):
        return _pam_header(start)
    header = _PBM_HEADER.match(start) or _PNM_HEADER.match(start)
    if not header:
        raise UserError("is damaged: a PNM begins with width, height and its largest value")
    kind = header[1].decode()
    width, height, largest = (*map(int, header.groups()[1:]), 1)[:3]
    return kind, 3 if kind in "36" else 1, width, height, largest, header.end()


def _pam_header(start: bytes) -> tuple[str, int, int, int, int, int]:
    """Returns "7", channels, width, height, the largest value, and where the pixels begin."""
    header = _PAM_HEADER.match(start)
    if not header:
        raise UserError("is damaged: the header of the PAM is incomplete")
    found: dict[bytes, bytes] = {}
    for line in header[0].splitlines():
        name, _, value = line.strip().partition(b" ")
        found.setdefault(name, value.strip())
    names = (b"DEPTH", b"WIDTH", b"HEIGHT", b"MAXVAL")
    if not all(re.fullmatch(rb"\d{1,10}", found.get(name, b"")) for name in names):
        raise UserError("is damaged: the header of the PAM has no size, depth or largest value")
    channels, width, height, largest = (int(found[name]) for name in names)
    kind = found.get(b"TUPLTYPE", b"").decode("latin-1")
    expected = {_PAM_KINDS.get(channels), "BLACKANDWHITE" + "_ALPHA" * (channels == 2), ""}
    if channels not in _PAM_KINDS or kind not in expected:
        raise UserError(
            f"is a PAM of {channels} channels {kind}; expected gray or RGB, with alpha or not"
        )
    return "7", channels, width, height, largest, header.end()


def _text_values(text: bytes, kind: str, size: int) -> np.ndarray:
    """Reads numbers; in bitmaps single digits, with blanks between them or not."""
    text = re.sub(rb"#[^\n]*", b"", text)
    if kind == "1":
        values = np.frombuffer(b"".join(text.split()), np.uint8)[:size] - ord("0")
    else:
        if re.search(rb"[^\d\s]", text):
            raise UserError("is damaged: the PNM has something else than numbers")
        values = np.fromstring(text, np.int64, sep=" ", count=-1)[:size]
    if len(values) < size or values.min() < 0:
        raise UserError(f"is truncated: {len(values)} numbers where the PNM has {size}")
    return values


def _binary_values(data: bytes, place: int, kind, size: int) -> np.ndarray:
    end = place + size * np.dtype(kind).itemsize
    if end > len(data):
        raise UserError(f"is truncated: the pixels of the PNM end after {len(data)} bytes")
    if _NEXT_PNM.match(data, end):
        raise UserError("is a PNM of several pictures; expected one")
    return np.frombuffer(data, kind, size, place)


def _rescaled(values: np.ndarray, old: int, new: int) -> np.ndarray:
    """Scales integers from [0, old] to [0, new]; back again gives the same, if old <= new."""
    dtype = np.uint8 if new < 256 else np.uint16
    if old == new:
        return values.astype(dtype)
    return ((values.astype(np.int64) * new + old // 2) // old).astype(dtype)


def _write_pnm(photo: Photo) -> bytes:
    """Writes the binary kind of the input's format, with its largest value; PBM as PGM."""
    array, metadata = photo.array, photo.metadata
    height, width, channels = array.shape
    if metadata["kind"] in "Ff":
        dtype = "<f4" if metadata["scale"].startswith("-") else ">f4"
        header = f"P{metadata['kind']}\n{width} {height}\n{metadata['scale']}\n"
        return header.encode() + array[::-1].astype(dtype).tobytes()
    largest = metadata["largest"]
    values = _rescaled(array, np.iinfo(array.dtype).max, largest)
    values = values.astype(np.uint8 if largest < 256 else ">u2")
    if metadata["kind"] == "7":
        header = (
            f"P7\nWIDTH {width}\nHEIGHT {height}\nDEPTH {channels}\nMAXVAL {largest}\n"
            f"TUPLTYPE {_PAM_KINDS[channels]}\nENDHDR\n"
        )
    else:
        header = f"P{5 if channels == 1 else 6}\n{width} {height}\n{largest}\n"
    return header.encode() + values.tobytes()


def _read_pfm(data: bytes, max_megapixels: float) -> Photo:
    """Reads a PFM: floats from the lowest row to the highest; the scale's sign is the order."""
    header = _PFM_HEADER.match(data[:_LONGEST_HEADER])
    if not header:
        raise UserError("is damaged: a PFM begins with width, height and its scale")
    kind, scale = header[1].decode(), header[4].decode()
    width, height = int(header[2]), int(header[3])
    require_size(width, height, max_megapixels)
    try:
        order = "<f4" if float(scale) < 0 else ">f4"
    except ValueError:
        raise UserError(f"is damaged: the scale of the PFM is {scale}") from None
    channels = 3 if kind == "F" else 1
    values = _binary_values(data, header.end(), order, height * width * channels)
    array = values.reshape(height, width, channels)[::-1].astype(np.float32)
    return Photo(array, "pnm", data, {"kind": kind, "scale": scale})
