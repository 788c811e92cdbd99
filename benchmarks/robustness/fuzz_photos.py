r"""Mutates photographs of every format and counts the outcomes of reading them.

Example:
  python -m benchmarks.robustness.fuzz_photos --mutations=10000

Each mutant is read and, if it is readable, written and read again. It must result in a photograph
or a one-line message; anything else is printed with the seed and number that reproduce it, and the
exit code is 1. A mutant that takes longer than --limit seconds counts as hanging.
"""

import dataclasses
import io
import struct
import time
import zlib
from collections import Counter

import cv2
import numpy as np

from gradnet_tf.utils.command import run_script
from gradnet_tf.utils.errors import EXIT_OK, EXIT_SOME_FAILED, UserError
from gradnet_tf.utils.options import CommandLine, Given, option


@dataclasses.dataclass(frozen=True)
class Options:
    """The command's options.

    Attributes:
        mutations: number of mutants.
        seed: seed of the mutations.
        first: number of the first mutant.
        limit: maximum seconds per mutant.
    """

    mutations: int = option(1000, least=1)
    seed: int = option(0, least=0)
    first: int = option(0, least=0)
    limit: float = option(10.0, least=0.0)


COMMAND_LINE = CommandLine(Options)


def make_files(seed: int = 0) -> dict[str, bytes]:
    """Returns noise encoded in every format, depth and mode that can be written, by name."""
    import tifffile
    from PIL import Image, PngImagePlugin

    random = np.random.default_rng(seed)
    color = random.integers(0, 256, (24, 20, 3), dtype=np.uint8)
    alpha = np.dstack([color, color[..., 0]])
    deep = random.integers(0, 65536, (24, 20, 3), dtype=np.uint16)
    exif = Image.Exif()
    exif[274] = 6
    exif.get_ifd(34665)[33434] = 0.25

    text = PngImagePlugin.PngInfo()
    text.add_text("Title", "a picture", zip=True)
    text.add_itxt("Author", "nobody", "en", "Author")

    def pillow(array, format, **options):
        target = io.BytesIO()
        Image.fromarray(array).save(target, format, **options)
        return target.getvalue()

    def tiff(array, **options):
        target = io.BytesIO()
        tifffile.imwrite(target, array, photometric="rgb", **options)
        return target.getvalue()

    def opencv(array, suffix):
        return cv2.imencode(suffix, array)[1].tobytes()

    def raw(header, values):
        return header + values.tobytes()

    pam = b"P7\nWIDTH 20\nHEIGHT 24\nDEPTH 4\nMAXVAL 255\nTUPLTYPE RGB_ALPHA\nENDHDR\n"
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    bmp = struct.pack("<IHHI", 66 + 1920, 0, 0, 70)
    bmp += struct.pack("<IiiHHIIiiII", 56, 20, 24, 1, 32, 3, 1920, 0, 0, 0, 0) + masks
    film = b"\0\0\0\x18ftypmp42" + bytes(100)
    return {
        "jpeg film": pillow(color, "JPEG", xmp=b"MicroVideo") + film,
        "bmp alpha": raw(b"BM" + bmp, alpha),
        "pam": raw(pam, alpha),
        "pfm": raw(b"PF\n20 24\n-1\n", (deep / 65535).astype("<f4")),
        "pgm of 12 bits": raw(b"P5\n20 24\n4095\n", (deep[..., 0] >> 4).astype(">u2")),
        "jpeg": pillow(color, "JPEG", exif=exif.tobytes()),
        "jpeg progressive": pillow(color, "JPEG", progressive=True),
        "png": pillow(color, "PNG", exif=exif.tobytes()),
        "png alpha": pillow(alpha, "PNG"),
        "png 16": opencv(deep, ".png"),
        "webp": pillow(color, "WEBP", exif=exif.tobytes()),
        "webp lossless": pillow(alpha, "WEBP", lossless=True),
        "avif": pillow(alpha, "AVIF", exif=exif.tobytes()),
        "tiff": pillow(color, "TIFF", exif=exif),
        "tiff 16": tiff(deep),
        "tiff deflate": tiff(deep, compression="zlib", predictor=2, tile=(16, 16)),
        "tiff float": tiff((deep / 65535).astype(np.float32)),
        "tiff lzw": opencv(deep, ".tiff"),
        "tiff lzw 8": pillow(color, "TIFF", compression="tiff_lzw"),
        "tiff jpeg": pillow(color, "TIFF", compression="jpeg"),
        "bmp": pillow(color, "BMP"),
        "ppm": pillow(color, "PPM"),
        "ppm 16": opencv(deep, ".ppm"),
        # Few pixels, so that more mutations hit the metadata than the compressed data.
        "png metadata": pillow(color[:2, :3], "PNG", exif=exif.tobytes(), pnginfo=text, dpi=(9, 9)),
        "png 16 small": opencv(deep[:2, :2], ".png"),
    }


def mutate(data: bytes, random: np.random.Generator) -> bytes:
    """Returns a file with some bytes changed, removed or repeated, often in the header.

    Half of the mutants have a single changed byte, so that many remain readable.
    """
    mutant = bytearray(data)
    gentle = random.random() < 0.5
    for _ in range(1 if gentle else random.integers(1, 6)):
        if not mutant:
            break
        end = min(len(mutant), 200) if random.random() < 0.5 else len(mutant)
        place = int(random.integers(end))
        kind = random.integers(3 if gentle else 6)
        if kind < 3:
            mutant[place] = random.choice([0, 1, 127, 128, 255, random.integers(256)])
        elif kind == 3:
            del mutant[place : place + int(random.integers(1, 40))]
        elif kind == 4:
            mutant[place:place] = mutant[place : place + int(random.integers(1, 40))]
        else:
            del mutant[place:]
    return bytes(mutant)


def with_checksums(data: bytes) -> bytes:
    """Returns a PNG with valid checksums, so that readers look at its mutated chunks."""
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        return data
    mended, position = bytearray(data), 8
    while position + 12 <= len(mended):
        end = position + 8 + int.from_bytes(mended[position : position + 4], "big")
        if end + 4 > len(mended):
            break
        mended[end : end + 4] = zlib.crc32(mended[position + 4 : end]).to_bytes(4, "big")
        position = end + 4
    return bytes(mended)


def mutant(files: dict[str, bytes], seed: int, number: int) -> tuple[str, bytes]:
    """Returns the name of the original and the mutant of a number."""
    name = list(files)[number % len(files)]
    data = mutate(files[name], np.random.default_rng((seed, number)))
    return name, with_checksums(data) if number // len(files) % 2 else data


def outcome(data: bytes) -> str:
    """Returns "read" or "refused"; raises an exception for a violation."""
    from gradnet_tf.images.photo_files import decode_photo, encode_photo

    try:
        photo = decode_photo(data, "mutant", max_megapixels=4)
    except UserError as error:
        if len(str(error).splitlines()) != 1:
            raise AssertionError(f"an error message of several lines: {error}") from error
        return "refused"
    again = decode_photo(encode_photo(photo), "again", max_megapixels=4)
    if again.array.shape != photo.array.shape or again.array.dtype != photo.array.dtype:
        raise AssertionError(f"{photo.array.shape} became {again.array.shape}")
    return "read"


def main(given: Given) -> int:
    """Prints a line per format, and one per violation; returns the exit code."""
    options = given.make(Options)
    files = make_files()
    counts: dict[str, Counter] = {name: Counter() for name in files}
    for number in range(options.first, options.first + options.mutations):
        name, data = mutant(files, options.seed, number)
        start = time.perf_counter()
        try:
            result = outcome(data)
        except Exception as error:  # any exception is a violation
            result = "failed"
            print(f"number {number}, seed {options.seed}, {name}: {type(error).__name__}: {error}")
        if time.perf_counter() - start > options.limit:
            result = "hung"
            print(f"number {number}, seed {options.seed}, {name}: took over {options.limit:g} s")
        counts[name][result] += 1
    for name, count in counts.items():
        print(f"{name:18}" + "".join(f"{count[key]:6} {key}" for key in _OUTCOMES))
    total = sum(counts.values(), Counter())
    print(f"{'all':18}" + "".join(f"{total[key]:6} {key}" for key in _OUTCOMES))
    return EXIT_SOME_FAILED if total["failed"] or total["hung"] else EXIT_OK


_OUTCOMES = ("read", "refused", "failed", "hung")

if __name__ == "__main__":
    run_script(main, __doc__, COMMAND_LINE)
