"""Makes tests/data/foreign with tools that share nothing with the project's own readers.

Needs ImageMagick, exiftool, the tools of libtiff, libwebp and libavif, and netpbm:
  apt-get install imagemagick libimage-exiftool-perl libtiff-tools webp libavif-bin netpbm
  python tests/helpers/make_foreign_photos.py

The folder holds a file per format and mode, and facts.json: the tools' versions and, by file,
what they say of its pixels (see `pixels_by_tools`). The files in the repository were made once.
"""

import hashlib
import json
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import ImageCms

FOLDER = Path(__file__).parents[1] / "data" / "foreign"
WIDTH, HEIGHT = 17, 11
MAGICK = "/usr/bin/convert"  # Of the system: other programs take the name, too.

# Where ImageMagick begins: noise of 16 bits, grey or colour, with alpha or not.
SOURCES = {
    "grey": "-seed 1 -size {size} xc:gray50 +noise Random -colorspace Gray",
    "grey_alpha": "( {grey} ) ( -seed 2 -size {size} xc:gray50 +noise Random -colorspace Gray ) "
    "-compose CopyOpacity -composite",
    "rgb": "-seed 3 -size {size} xc:rgb(120,140,90) +noise Random",
    "rgba": "( {rgb} ) ( -seed 4 -size {size} xc:gray50 +noise Random -colorspace Gray ) "
    "-compose CopyOpacity -composite",
    # Lossy formats would make large files of noise.
    "smooth": "-size {size} gradient:red-blue -rotate 30 -gravity center -extent {size}",
    "smooth_alpha": "( {smooth} ) ( -size {size} gradient:white-black ) "
    "-compose CopyOpacity -composite",
}
RESOLUTION = "-density 300x150 -units PixelsPerInch"
FLOATS = "-define quantum:format=floating-point"

# Name to (source, options of ImageMagick, further commands: {in} and {out} are files).
MADE = {
    "jpeg_420.jpg": ("smooth", "-sampling-factor 2x2 -quality 92", ()),
    "jpeg_422.jpg": ("smooth", "-sampling-factor 2x1 -quality 92", ()),
    "jpeg_444_progressive.jpg": ("rgb", "-sampling-factor 1x1 -interlace JPEG -quality 97", ()),
    "jpeg_grey.jpg": ("grey", "-quality 95", ()),
    "jpeg_coarse.jpg": ("smooth", "-quality 50", ()),
    "png_grey8.png": ("grey", "-depth 8", ()),
    "png_grey_alpha8.png": ("grey_alpha", "-depth 8 -define png:color-type=4", ()),
    "png_rgb8.png": ("rgb", "-depth 8 -define png:color-type=2", ()),
    "png_rgb8_interlaced.png": ("rgb", "-depth 8 -interlace PNG", ()),
    "png_rgba8.png": ("rgba", "-depth 8 -define png:color-type=6", ()),
    "png_grey16.png": ("grey", "-depth 16", ()),
    "png_grey_alpha16.png": ("grey_alpha", "-depth 16 -define png:color-type=4", ()),
    "png_rgb16.png": ("rgb", "-depth 16", ()),
    "png_rgb16_interlaced.png": ("rgb", "-depth 16 -interlace PNG", ()),
    "png_rgba16.png": ("rgba", "-depth 16", ()),
    "png_palette.png": ("smooth", "-colors 9 -define png:format=png8", ()),
    "png_palette_alpha.png": (
        "smooth", "-fuzz 40% -transparent red -colors 9 -define png:format=png8", ()),
    "png_grey1.png": ("grey", "-threshold 50% -define png:bit-depth=1", ()),
    "png_grey4.png": ("grey", "-depth 4 -define png:bit-depth=4 -define png:color-type=0", ()),
    "tiff_grey8.tif": ("grey", "-depth 8 -compress none", ()),
    "tiff_grey1_group4.tif": ("grey", "-threshold 50% -type bilevel -compress Group4", ()),
    "tiff_grey_alpha8.tif": ("grey_alpha", "-depth 8 -compress lzw", ()),
    "tiff_grey_alpha16.tif": ("grey_alpha", "-depth 16 -compress zip", ()),
    "tiff_rgb8_lzw.tif": ("rgb", "-depth 8 -compress lzw", ()),
    "tiff_rgb8_packbits.tif": ("rgb", "-depth 8 -compress rle", ()),
    "tiff_rgb8_jpeg.tif": ("smooth", "-depth 8 -compress jpeg -quality 95", ()),
    "tiff_ycbcr8_jpeg.tif": (
        "smooth", "-depth 8 -compress none", ("tiffcp -c jpeg:95 {in} {out}",)),
    "tiff_palette.tif": ("smooth", "-posterize 3 -type palette -compress lzw", ()),
    "tiff_rgba8.tif": ("rgba", "-depth 8 -compress zip", ()),
    "tiff_rgba8_associated.tif": (
        "rgba", "-depth 8 -compress none -define tiff:alpha=associated", ()),
    "tiff_grey16.tif": ("grey", "-depth 16 -compress lzw", ()),
    "tiff_rgb16_lzw.tif": ("rgb", "-depth 16 -compress lzw", ()),
    "tiff_rgb8_planes.tif": (
        "rgb", "-depth 8 -compress none", ("tiffcp -p separate -c zip:2 {in} {out}",)),
    "tiff_rgb16_planes.tif": ("rgb", "-depth 16 -interlace plane -compress lzw", ()),
    "tiff_rgb16_tiles.tif": (
        "rgb", "-depth 16 -compress none", ("tiffcp -t -w 16 -l 16 -c lzw:2 {in} {out}",)),
    "tiff_rgb16_msb.tif": ("rgb", "-depth 16 -compress zip -endian MSB", ()),
    # Without tags: exiftool writes no BigTIFF.
    "tiff_rgb16_big.tif": ("rgb", "-depth 16 -compress none", ("tiffcp -8 -B -c none {in} {out}",)),
    "tiff_rgba16_planes.tif": ("rgba", "-depth 16 -interlace plane -compress lzw", ()),
    "tiff_rgba16_associated.tif": (
        "rgba", "-depth 16 -compress lzw -define tiff:alpha=associated", ()),
    "tiff_grey_alpha16_lzw.tif": ("grey_alpha", "-depth 16 -compress lzw", ()),
    "tiff_rgba16.tif": ("rgba", "-depth 16 -compress zip", ()),
    "tiff_grey32f.tif": (
        "grey", f"-depth 32 -compress zip {FLOATS}", ("tiffcp -c none {in} {out}",)),
    "tiff_rgb32f.tif": ("rgb", f"-depth 32 -compress zip {FLOATS}", ()),
    "tiff_rgb32f_lzw.tif": ("rgb", f"-depth 32 -compress lzw {FLOATS}", ()),
    "tiff_rgba32f.tif": ("rgba", f"-depth 32 -compress zip {FLOATS}", ()),
    "tiff_rgb64f.tif": ("rgb", f"-depth 64 -compress zip {FLOATS}", ()),
    "tiff_rgb16f.tif": (
        "rgb", f"-depth 16 -compress zip {FLOATS}", ("tiffcp -c zip:1 {in} {out}",)),
    "webp_lossy.webp": ("smooth", "png:", ("cwebp -quiet -q 92 {in} -o {out}",)),
    "webp_lossy_alpha.webp": ("smooth_alpha", "png:", ("cwebp -quiet -q 92 {in} -o {out}",)),
    "webp_lossless.webp": ("rgb", "png:", ("cwebp -quiet -lossless {in} -o {out}",)),
    "webp_lossless_alpha.webp": ("rgba", "png:", ("cwebp -quiet -lossless -exact {in} -o {out}",)),
    "avif_420.avif": ("smooth", "png:", ("avifenc --min 4 --max 8 -y 420 {in} {out}",)),
    "avif_turned.avif": (
        "smooth", "png:", ("avifenc --min 4 --max 8 --irot 1 --imir 0 {in} {out}",)),
    "avif_other_primaries.avif": (
        "smooth", "png:", ("avifenc --min 4 --max 8 --cicp 12/13/6 {in} {out}",)),
    "avif_444.avif": ("smooth", "png:", ("avifenc --min 4 --max 8 -y 444 {in} {out}",)),
    "avif_lossless.avif": ("rgb", "png:", ("avifenc --lossless {in} {out}",)),
    "avif_alpha.avif": ("smooth_alpha", "png:", ("avifenc --min 4 --max 8 {in} {out}",)),
    "avif_grey.avif": ("grey", "png:", ("avifenc --lossless -y 400 {in} {out}",)),
    "bmp_rgb.bmp": ("rgb", "-depth 8 -type TrueColor BMP3:", ()),
    "bmp_palette.bmp": ("smooth", "-colors 9 -type palette BMP3:", ()),
    "pnm_grey.pgm": ("grey", "-depth 8", ()),
    "pnm_rgb.ppm": ("rgb", "-depth 8", ()),
    "pnm_rgb_plain.ppm": ("smooth", "-depth 8 -compress none", ()),
    "pnm_grey16.pgm": ("grey", "-depth 16", ()),
    "pnm_rgb16.ppm": ("rgb", "-depth 16", ()),
}  # fmt: skip

# By exiftool, into every format that it writes.
TAGS = shlex.split(
    "-EXIF:Orientation#=6 -EXIF:Make=Maker -EXIF:Model='Model 3' -EXIF:ExposureTime=0.25 "
    "-EXIF:ISO=400 -EXIF:DateTimeOriginal='2026:01:02 03:04:05' -EXIF:LensModel=Lens "
    "-GPS:GPSLatitude=59.9 -GPS:GPSLatitudeRef=N -XMP-dc:Creator=Åse -XMP-dc:Title='A cat'"
)
IPTC = ["-IPTC:Keywords=cat", "-IPTC:City=Oslo"]
TEXT = ["-PNG:Comment=a comment", "-PNG:Author=Åse", "-PNG:Copyright=none"]


def run(command: str | list[str]) -> str:
    """Runs a tool and returns what it prints."""
    words = shlex.split(command) if isinstance(command, str) else command
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{words} failed:\n{done.stderr}")
    return done.stdout + done.stderr


def source(name: str) -> str:
    """Returns the arguments of ImageMagick that make a source."""
    text = SOURCES[name].replace("{size}", f"{WIDTH}x{HEIGHT}")
    for other in SOURCES:
        text = text.replace("{" + other + "}", source(other) if "{" + other + "}" in text else "")
    return text


def make(name: str, folder: Path, profile: Path) -> None:
    """Makes one file."""
    start, options, commands = MADE[name]
    words = options.split()
    kind = words.pop() if words and words[-1].endswith(":") else ""
    stages = [folder / f"{number}-{name}" for number in range(len(commands) + 1)]
    if kind == "png:":
        words += ["-depth", "8"]
    arguments = [MAGICK, *shlex.split(source(start)), "+set", "comment", *RESOLUTION.split()]
    run([*arguments, *words, "-strip" if kind == "png:" else "+repage", f"{kind}{stages[0]}"])
    for command, given, made in zip(commands, stages, stages[1:], strict=False):
        run(command.replace("{in}", str(given)).replace("{out}", str(made)))
    tags = list(TAGS) if not name.startswith(("bmp", "pnm", "tiff_rgb16_big")) else []
    if tags and name.startswith(("jpeg", "tiff")):
        tags += IPTC
    if name.startswith("png"):
        tags += TEXT
    if tags:
        if not name.startswith("avif") and "grey" not in name:
            tags.append(f"-ICC_Profile<={profile}")
        run(["exiftool", "-q", "-z", "-overwrite_original", *tags, str(stages[-1])])
    (FOLDER / name).write_bytes(stages[-1].read_bytes())


def pixels_by_tools(path: Path) -> np.ndarray:
    """Returns the pixels that the tools find, uint16 (H, W, 4): RGB and alpha of 16 bits.

    Fewer bits are scaled up, floats are rounded. AVIF goes through libavif's own tool, all else
    through ImageMagick.
    """
    name = path.name
    with tempfile.TemporaryDirectory() as folder:
        if path.suffix == ".tif":
            # ImageMagick takes JPEG in TIFF for something else; libtiff is at home there.
            run(["tiffcp", "-c", "none", str(path), f"{folder}/x.tif"])
            path = Path(folder, "x.tif")
            if "associated" in name:  # Colours as stored, not divided by alpha.
                run(["tiffset", "-s", "338", "1", "2", str(path)])
        if path.suffix == ".avif":
            run(["avifdec", "--depth", "8", str(path), f"{folder}/x.png"])
            path = Path(folder, "x.png")
        raw = Path(folder, "raw")
        # Grey with another gamma would be converted; the numbers as they stand are wanted.
        command = [MAGICK, str(path), "-set", "colorspace", "sRGB", "-depth", "16"]
        run([*command, "-endian", "LSB", f"RGBA:{raw}"])
        return np.fromfile(raw, "<u2").reshape(HEIGHT, WIDTH, 4)


def digest(pixels: np.ndarray, bits: int = 16) -> str:
    """Returns a short hash of `pixels_by_tools`, rounded to so many bits."""
    if bits == 8:
        pixels = np.rint(pixels / 257)
    return hashlib.sha256(np.ascontiguousarray(pixels, "<u2").tobytes()).hexdigest()[:16]


def digests(path: Path) -> dict[str, str]:
    """Returns the hashes of a file's pixels."""
    pixels = pixels_by_tools(path)
    return {str(bits): digest(pixels, bits) for bits in (8, 16)}


def main() -> None:
    """Makes all files and the facts."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    facts = {}
    with tempfile.TemporaryDirectory() as temporary:
        profile = Path(temporary, "srgb.icc")
        profile.write_bytes(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
        for name in MADE:
            make(name, Path(temporary), profile)
            facts[name] = digests(FOLDER / name)
    versions = {
        "ImageMagick": run([MAGICK, "-version"]).split()[2],
        "exiftool": run("exiftool -ver").strip(),
        "libtiff": run("tiffinfo -h").split("Version ")[1].split()[0],
        "libwebp": run("cwebp -version").split()[0],
        "libavif": run("avifenc --version").split()[1],
    }
    text = json.dumps({"versions": versions, "pixels": facts}, indent=1)
    (FOLDER / "facts.json").write_text(text + "\n", encoding="utf-8")
    print(f"{len(facts)} files, {sum(p.stat().st_size for p in FOLDER.iterdir()) / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
