"""Photographs that other tools wrote keep everything; make_foreign_photos.py made them.

What they hold was told by those tools, too: facts.json. Where the tools are installed, they
also read what is written here.
"""

import io
import json
import shutil
import subprocess

import make_foreign_photos as foreign
import numpy as np
import pytest
import tifffile
from PIL import Image

from gradnet_tf.cli import main as cli
from gradnet_tf.images.photo_files import decode_photo, encode_photo, read_photo

NAMES = sorted(path.name for path in foreign.FOLDER.iterdir() if path.suffix != ".json")
FACTS = json.loads((foreign.FOLDER / "facts.json").read_text(encoding="utf-8"))["pixels"]
LOSSY = ("jpeg", "avif", "webp_lossy")
OUTER = (271, 272, 274, 282, 283, 296)  # Maker, model, orientation, resolution.
# Of the way pixels are stored; not what a person put into the file.
STORED = {
    *("BitsPerSample", "Compression", "FillOrder", "Predictor", "PlanarConfiguration"),
    *("RowsPerStrip", "StripByteCounts", "StripOffsets", "TileByteCounts", "TileOffsets"),
    *("TileWidth", "TileLength", "SampleFormat", "SMaxSampleValue", "SMinSampleValue"),
    *("JPEGTables", "ReferenceBlackWhite", "ColorMap", "PhotometricInterpretation"),
    *("SamplesPerPixel", "Interlace", "Palette", "WebP_Flags", "MediaDataSize"),
    *("MatrixCoefficients", "HandlerDescription", "BitDepth", "ColorType", "BackgroundColor"),
    *("Transparency", "PreviewImage", "PreviewImageLength", "PreviewImageStart"),
}


def needs(tool):
    return pytest.mark.skipif(shutil.which(tool) is None, reason=f"{tool} is not installed")


def sixteen_bits(photo):
    """The array as `pixels_by_tools` has it, and how many bits are true."""
    array = photo.array
    if array.dtype.kind == "f":
        wide = np.rint(array.astype(np.float64) * 65535)
    else:
        wide = array.astype(np.float64) * (65535 // np.iinfo(array.dtype).max)
    result = np.full((*array.shape[:2], 4), 65535, np.uint16)
    result[..., :3] = wide[..., : photo.pixels.shape[2]]
    if photo.alpha is not None:
        result[..., 3] = wide[..., -1]
    return result, 8 if array.dtype == np.uint8 else 16


@pytest.fixture(scope="module")
def denoised(tmp_path_factory):
    """The folder of what the command makes of all files with the network of the least work."""
    folder = tmp_path_factory.mktemp("denoised")
    options = ["--model=gradnet_tiny_color_blind", f"--output={folder}"]
    assert cli.main(["denoise", str(foreign.FOLDER), *options]) == 0
    return folder


def test_there_is_a_file_for_every_kind():
    assert sorted(foreign.MADE) == NAMES == sorted(FACTS) and len(NAMES) > 60
    assert sum(path.stat().st_size for path in foreign.FOLDER.iterdir()) < 160e3


@pytest.mark.parametrize("name", NAMES)
def test_pixels_are_those_that_the_tool_finds(name):
    pixels, bits = sixteen_bits(read_photo(foreign.FOLDER / name))
    assert foreign.digest(pixels, bits) == FACTS[name][str(bits)]


@pytest.mark.parametrize("name", NAMES)
def test_depth_and_mode_are_those_of_the_name(name):
    photo = read_photo(foreign.FOLDER / name)
    mode = name.partition("_")[2]
    wanted = np.float16 if "16f" in mode else np.uint16 if "16" in mode else np.uint8
    wanted = np.float32 if "32f" in mode else np.float64 if "64f" in mode else wanted
    assert photo.array.dtype == wanted
    assert photo.pixels.shape == (foreign.HEIGHT, foreign.WIDTH, 1 if "grey" in mode else 3)
    assert (photo.alpha is not None) == ("rgba" in mode or "alpha" in mode)


@pytest.mark.parametrize("name", NAMES)
def test_unchanged_pixels_come_back(name):
    photo = read_photo(foreign.FOLDER / name)
    again = decode_photo(encode_photo(photo), name)
    if not name.startswith(LOSSY) or name.startswith("webp_lossless"):
        np.testing.assert_array_equal(again.array, photo.array)
    assert again.array.dtype == photo.array.dtype and again.array.shape == photo.array.shape
    assert np.abs(again.array.astype(float) - photo.array).mean() < 6


def test_strength_0_gives_every_file_back(tmp_path):
    assert cli.main(["denoise", str(foreign.FOLDER), "--strength=0", f"--output={tmp_path}"]) == 0
    for name in NAMES:
        assert (tmp_path / name).read_bytes() == (foreign.FOLDER / name).read_bytes()


@pytest.mark.parametrize("name", NAMES)
def test_a_denoised_file_keeps_depth_mode_and_alpha(name, denoised):
    before, after = (read_photo(folder / name) for folder in (foreign.FOLDER, denoised))
    assert after.format == before.format
    assert after.pixels.dtype == before.pixels.dtype and after.pixels.shape == before.pixels.shape
    assert (after.pixels != before.pixels).any(), "nothing was denoised"
    assert (after.alpha is None) == (before.alpha is None)
    if before.alpha is not None:
        off = np.abs(after.alpha.astype(float) - before.alpha).max()
        assert off <= (4 if name.startswith("avif") else 0)


def metadata(data, is_tiff):
    """Tags, the EXIF and GPS directories, profile, XMP and text, by Pillow or tifffile."""
    if is_tiff:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            tags = {tag.code: tag.value for tag in file.pages[0].tags}
        # IPTC, XMP and the profile are tags, too.
        kept = (*OUTER, 270, 305, 306, 315, 318, 319, 700, 33723, 34675)
        outer, exif, gps = ({tag: tags.get(tag) for tag in kept}, tags.get(34665), tags.get(34853))
        return outer, exif and exif["ExposureTime"], gps and gps["GPSLatitudeRef"], (exif, gps)
    with Image.open(io.BytesIO(data)) as image:
        tags = image.getexif()
        exif, gps = (dict(tags.get_ifd(number)) for number in (34665, 34853))
        kept = ("icc_profile", "xmp", "dpi", "gamma", "comment", "Author", "Copyright", "photoshop")
        rest = {key: image.info.get(key) for key in kept}
        return {tag: tags.get(tag) for tag in OUTER}, exif.get(33434), gps.get(1), (exif, gps, rest)


@pytest.mark.parametrize("name", NAMES)
def test_a_denoised_file_keeps_its_metadata(name, denoised):
    before, after = (
        metadata((folder / name).read_bytes(), name.startswith("tiff"))
        for folder in (foreign.FOLDER, denoised)
    )
    assert after == before
    if not name.startswith(("bmp", "pnm", "tiff_rgb16_big")):
        outer, exposure, north, _ = after
        assert outer[271] == "Maker" and exposure in (0.25, (1, 4)) and north == "N"
        assert outer[274] == 6 or name.startswith("avif")


def test_exif_of_an_avif_is_kept_byte_for_byte(denoised):
    """Pillow tells another orientation than the tag's: that of the file's own properties."""
    from gradnet_tf.images import avif as avif_boxes

    for name in NAMES:
        if name.startswith("avif"):
            before, after = ((f / name).read_bytes() for f in (foreign.FOLDER, denoised))
            exif = avif_boxes.exif(before)
            assert len(exif) > 100 and avif_boxes.exif(after).rstrip(b"\0") == exif.rstrip(b"\0")
            assert avif_boxes.colors(after)[:2] == avif_boxes.colors(before)[:2]
            for box in (b"irot", b"imir"):
                assert (box in after) == (box in before) == (name == "avif_turned.avif")


@needs("exiftool")
def test_exiftool_finds_all_that_it_wrote(denoised):
    def tags(folder):
        command = ["exiftool", "-j", "-G1", "-a", "-n", "-b", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        skipped = ("SourceFile", "ExifTool:", "System:", "File:", "Composite:")
        return {
            entry["System:FileName"]: {
                key: value
                for key, value in entry.items()
                if not key.startswith(skipped) and key.split(":")[-1] not in STORED
            }
            for entry in json.loads(done.stdout)
        }

    before, after = tags(foreign.FOLDER), tags(denoised)
    for name in NAMES:
        assert after[name] == before[name], name
    assert before["jpeg_420.jpg"]["IPTC:Keywords"] == "cat"
    assert before["png_rgb16.png"]["PNG:Copyright"] == "none"


@pytest.mark.slow
@needs(foreign.MAGICK)
@needs("tiffcp")
@needs("avifdec")
@pytest.mark.parametrize("name", NAMES)
def test_the_tools_read_what_is_written(name, denoised):
    photo = read_photo(denoised / name)
    pixels, _ = sixteen_bits(photo)
    found = foreign.pixels_by_tools(denoised / name)
    # Floats lie between the tool's levels.
    assert np.abs(found.astype(int) - pixels).max() <= (1 if photo.array.dtype.kind == "f" else 0)
