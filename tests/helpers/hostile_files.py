"""Small files that claim, or decompress to, far more than they are: one maker for each kind."""

import io
import lzma
import struct
import zipfile
import zlib

import h5py
import numpy as np
import photo_samples
import scipy.io
from PIL import Image

MEGABYTE = 2**20


def zeros(num_bytes: int) -> bytes:
    """zlib's stream of zeros: a thousandth of what it becomes."""
    packer = zlib.compressobj(9)
    piece = bytes(MEGABYTE)
    parts = [packer.compress(piece) for _ in range(num_bytes // MEGABYTE)]
    return b"".join([*parts, packer.flush()])


# Photographs ------------------------------------------------------------------------------------


def pnm_blanks(count: int = 40) -> bytes:
    return b"P6" + b" " * count + b"x"


def tiff(
    compression: int, segment: bytes, tiled: bool = False, bits: int = 8, side: int = 32
) -> bytes:
    """A grey TIFF of side×side pixels in one strip or tile that holds `segment`."""
    numbers = {256: side, 257: side, 258: bits, 259: compression, 262: 1, 277: 1}
    numbers |= {322: side, 323: side, 324: 8, 325: len(segment)} if tiled else {}
    numbers |= {} if tiled else {273: 8, 278: side, 279: len(segment)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, numbers[tag]) for tag in sorted(numbers))
    start = 8 + len(segment)
    directory = struct.pack("<H", len(numbers)) + entries + bytes(4)
    return b"II*\0" + struct.pack("<I", start) + segment + directory


def _packed(num_bytes: int) -> bytes:
    return b"\x81\0" * (num_bytes // 128)


def _lzma(num_bytes: int) -> bytes:
    return lzma.compress(bytes(num_bytes), preset=0)


#: From what a strip or a tile becomes, by its compression; the picture has 1024 pixels.
TIFF_BOMBS = {
    "deflate strip": lambda size: tiff(8, zeros(size)),
    "deflate tile": lambda size: tiff(8, zeros(size), tiled=True),
    "deflate 16": lambda size: tiff(8, zeros(size), bits=16),
    "old deflate": lambda size: tiff(32946, zeros(size)),
    "packbits": lambda size: tiff(32773, _packed(size)),
    "packbits tile": lambda size: tiff(32773, _packed(size), tiled=True),
    "packbits 16": lambda size: tiff(32773, _packed(size), bits=16),
    "lzma": lambda size: tiff(34925, _lzma(size)),
    "lzma 16": lambda size: tiff(34925, _lzma(size), bits=16),
    "lzma tile 16": lambda size: tiff(34925, _lzma(size), tiled=True, bits=16),
}


def jpeg_scans(count: int = 200_000, side: int = 512) -> bytes:
    """A progressive JPEG that refines its first coefficients again and again."""
    image = Image.fromarray(photo_samples.noise(side, side))
    target = io.BytesIO()
    image.save(target, "JPEG", progressive=True, quality=50)
    data = target.getvalue()
    # A table of one code: a run that ends 4096 blocks and more, as many as 12 further bits say.
    table = struct.pack(">HHB16BB", 0xFFC4, 20, 0x10, 1, *[0] * 15, 0xC0)
    # Such a run in a scan of the highest frequencies.
    head = struct.pack(">HHBBBBBB", 0xFFDA, 8, 1, 1, 0, 63, 63, 0)
    place = data.rindex(b"\xff\xd9")
    return data[:place] + table + (head + b"\x00\x00") * count + data[place:]


def png_long_rows(num_bytes: int = 256 * MEGABYTE, depth: int = 16) -> bytes:
    """A PNG of 4×4 pixels whose compressed rows never end."""
    header = struct.pack(">IIBBBBB", 4, 4, depth, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zeros(num_bytes)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(photo_samples.chunk(*each) for each in chunks)


# MATLAB, version 5 --------------------------------------------------------------------------------


def element(kind: int, data: bytes) -> bytes:
    return struct.pack("<2I", kind, len(data)) + data + bytes(-len(data) % 8)


def matrix(number: int, shape: tuple[int, ...], content: bytes, name: bytes = b"net") -> bytes:
    """A variable of MATLAB's class `number`; `content` is what follows its head."""
    head = element(6, struct.pack("<2I", number, 0))
    head += element(5, struct.pack(f"<{len(shape)}i", *shape)) + element(1, name)
    return element(14, head + content)


def mat_5(*elements: bytes) -> bytes:
    return b"MATLAB 5.0 MAT-file, made by a test".ljust(124) + b"\x00\x01IM" + b"".join(elements)


def in_zlib(variable: bytes) -> bytes:
    """A compressed element, which has no padding."""
    data = zlib.compress(variable, 9)
    return struct.pack("<2I", 15, len(data)) + data


def _endless(num_bytes: int = 64 * MEGABYTE) -> bytes:
    """A variable of 64 MB behind zlib that says it is one of 2 GB."""
    head = element(6, struct.pack("<2I", 6, 0)) + element(5, struct.pack("<2i", 1, 2**28))
    stream = zlib.compressobj(9)
    data = stream.compress(struct.pack("<2I", 14, 2**31) + head + element(1, b"net"))
    data += stream.compress(struct.pack("<2I", 9, 2**31) + bytes(num_bytes)) + stream.flush()
    return struct.pack("<2I", 15, len(data)) + data


def _nested(depth: int = 300) -> bytes:
    inner = matrix(6, (0, 0), element(9, b""), b"")
    for _ in range(depth):
        inner = matrix(1, (1, 1), inner, b"")
    return matrix(1, (1, 1), inner)


_FIELDS = element(5, struct.pack("<i", 32)) + element(1, b"layers".ljust(32, b"\0"))

#: Variables `net`, by what is wrong with them.
MAT_5_BOMBS = {
    "cells by shape": lambda: matrix(1, (2**15, 2**15), b""),
    "structures by shape": lambda: matrix(2, (2**15, 2**15), _FIELDS),
    "numbers by shape": lambda: matrix(6, (2**15, 2**15), element(9, bytes(8))),
    "negative shape": lambda: matrix(6, (-1, -1), element(9, bytes(8))),
    "cells in cells": _nested,
    "a million empty cells": lambda: in_zlib(matrix(1, (1000, 1000), element(14, b"") * 10**6)),
    "behind zlib": _endless,
    "lengths beyond the end": lambda: matrix(6, (1, 1), b"\xff" * 8),
    "names of no width": lambda: matrix(2, (1, 1), element(5, struct.pack("<i", -1)) + bytes(64)),
}


def save_mat_5(layers) -> bytes:
    """A MatConvNet network as `scipy.io.savemat` writes it; see `published_files.write_mat`."""
    cells = np.empty((1, len(layers)), object)
    for index, (kind, weights, numbers) in enumerate(layers):
        cell = np.empty((1, len(weights)), object)
        cell[0, :] = weights
        cells[0, index] = {"type": kind, "weights": cell, **numbers}
    target = io.BytesIO()
    scipy.io.savemat(target, {"net": {"layers": cells}})
    return target.getvalue()


# HDF5 -------------------------------------------------------------------------------------------


def hdf5_guards(path, other, name: str) -> dict:
    """Functions that put a dataset `name` into an open HDF5 file that no reader may follow.

    Args:
        path: of the file itself.
        other: another file with a dataset "numbers".
        name: what the reader expects.
    """

    def external(file):
        file.create_dataset(name, (8,), "u1", external=[(str(other), 0, h5py.h5f.UNLIMITED)])

    def virtual(file):
        layout = h5py.VirtualLayout((8,), "u1")
        layout[:] = h5py.VirtualSource(str(other), "numbers", (8,))
        file.create_virtual_dataset(name, layout)

    def link(file):
        file[name] = h5py.ExternalLink(str(other), "numbers")

    def soft(file):
        file["there"] = np.zeros(8, np.uint8)
        file[name] = h5py.SoftLink("/there")

    def unwritten(file):
        file.create_dataset(name, (2**40,), "u1", chunks=(2**20,))

    def chunk(file):
        file.create_dataset(name, (8,), "u1", maxshape=(None,), chunks=(2**30,), compression=1)

    def texts(file):
        kind = h5py.string_dtype()
        file.create_dataset(name, data=["x" * 100] * 8, dtype=kind)

    def lists(file):
        file.create_dataset(name, (8,), dtype=h5py.vlen_dtype(np.uint8))

    return {
        each.__name__: each
        for each in (external, virtual, link, soft, unwritten, chunk, texts, lists)
    }


def archive(entries: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", compression) as file:
        for name, data in entries.items():
            file.writestr(name, data)
    return target.getvalue()
