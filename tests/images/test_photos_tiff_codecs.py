"""Compressed TIFFs of more than 8 bits, with imagecodecs and without it."""

import os
import subprocess
import sys
from itertools import product

import numpy as np
import photo_samples as files
import pytest

from gradnet_tf.images import tiff_decoders
from gradnet_tf.images.photo_files import decode_photo, encode_photo
from gradnet_tf.utils.errors import UserError

pytest.importorskip("imagecodecs", reason="writes the files")

SHAPES = {"grey": (21, 27), "grey, alpha": (21, 27, 2), "RGB": (21, 27, 3), "RGBA": (21, 27, 4)}
KINDS = ("uint16", "float16", "float32", "float64")


def values(kind, shape):
    pixels = files.noise(*shape, dtype=np.uint16)
    return pixels if kind == "uint16" else (pixels / 65535).astype(kind)


def picture(kind, shape, compression, **options):
    """Returns an array and the TIFF of it."""
    array = values(kind, shape)
    color = "rgb" if shape[2:] and shape[2] > 2 else "minisblack"
    extra = ["unassalpha"] if shape[2:] and shape[2] in (2, 4) else None
    if options.get("planarconfig") == "separate":
        array = np.moveaxis(array, -1, 0)
    data = files.by_tifffile(
        array, compression=compression, photometric=color, extrasamples=extra, **options
    )
    return values(kind, shape), data


@pytest.fixture(params=["with", "without"])
def imagecodecs(request, monkeypatch):
    if request.param == "without":
        monkeypatch.setattr(tiff_decoders.importlib.util, "find_spec", lambda name: None)


@pytest.mark.usefixtures("imagecodecs")
@pytest.mark.parametrize("compression", ["lzw", "zlib"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("order", "<>")
def test_all_depths_and_layouts_come_back(compression, shape, order):
    layouts = ({}, {"rowsperstrip": 8}, {"tile": (16, 16)})
    planes = ("contig", "separate") if len(SHAPES[shape]) == 3 else ("contig",)
    for kind, layout, plane in product(KINDS, layouts, planes):
        for predictor in (1, 2) if kind == "uint16" else (1, 3):
            more = {"predictor": predictor, "byteorder": order, **layout}
            if plane == "separate":
                more["planarconfig"] = plane
            array, data = picture(kind, SHAPES[shape], compression, **more)
            photo = decode_photo(data, "x")
            np.testing.assert_array_equal(photo.array, array.reshape(photo.array.shape), str(more))


@pytest.mark.parametrize("compression", ["zstd", "lzma", "packbits"])
def test_imagecodecs_reads_further_compressions(compression):
    array, data = picture("uint16", (21, 27, 2), compression)
    np.testing.assert_array_equal(decode_photo(data, "x").array, array)


def test_rows_of_more_than_a_megabyte(imagecodecs):
    array, data = picture("uint16", (1, 600_000), "lzw")
    np.testing.assert_array_equal(decode_photo(data, "x").array[..., 0], array)


def test_number_of_tiles_is_checked_before_memory_is_taken(monkeypatch):
    """A few bytes can name any number of tiles, each as large as the picture."""
    monkeypatch.setattr(tiff_decoders.importlib.util, "find_spec", lambda name: None)
    _, data = picture("uint16", (32, 32), "lzw", tile=(16, 16))
    # Width 32 becomes 16: half of the tiles are too many.
    place = data.index(b"\x00\x01\x04\x00\x01\x00\x00\x00\x20\x00") + 8
    with pytest.raises(UserError, match="contradict each other"):
        decode_photo(data[:place] + b"\x10" + data[place + 1 :], "x")


@pytest.mark.parametrize("compression", ["zstd", "jpegxl", "jpeg2000"])
def test_a_compression_that_needs_the_extra_names_it(compression, monkeypatch):
    """OpenCV makes black pictures of some of them."""
    monkeypatch.setattr(tiff_decoders.importlib.util, "find_spec", lambda name: None)
    _, data = picture("uint16", (32, 32), compression)
    with pytest.raises(UserError, match=r'needs imagecodecs: pip install "\.\[tiff\]"'):
        decode_photo(data, "x")


def test_where_imagecodecs_is_not_installed_at_all(tmp_path):
    array, data = picture("uint16", (21, 27, 3), "lzw", predictor=2, planarconfig="separate")
    (tmp_path / "x.tif").write_bytes(data)
    np.save(tmp_path / "x.npy", array)
    code = """
import importlib.machinery, sys
class Absent(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name == "imagecodecs" else super().find_spec(name, path, target)
sys.meta_path[sys.meta_path.index(importlib.machinery.PathFinder)] = Absent
import numpy as np
from gradnet_tf.images.photo_files import read_photo
assert (read_photo("x.tif").array == np.load("x.npy")).all()
assert "imagecodecs" not in sys.modules
"""
    paths = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, **paths}, check=True
    )


@pytest.mark.parametrize("compression", [None, "lzw", "zlib"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_channel_that_nobody_calls_alpha_hides_nothing(compression, dtype):
    """A selection that an editor saved, infrared: kept, and what is 0 there is denoised, too."""
    pixels = files.noise(21, 27, 4, dtype=dtype)
    pixels[..., 3] = 0
    data = files.by_tifffile(pixels, compression=compression, extrasamples=["unspecified"])
    photo = decode_photo(data, "x")
    np.testing.assert_array_equal(photo.array, pixels)
    result = photo.denoised(lambda array: array + 1)
    np.testing.assert_array_equal(result, pixels[..., :3] + 1)
    again = decode_photo(encode_photo(photo.with_pixels(result)), "x")
    np.testing.assert_array_equal(again.array[..., 3], 0)
    assert again.is_opaque
    data = files.by_tifffile(pixels, compression=compression, extrasamples=["unassalpha"])
    seen = []
    decode_photo(data, "x").denoised(lambda array: seen.append(array.shape) or array)
    assert seen == [(21, 27, 4)]


def test_associated_alpha_of_gray_stays_associated():
    pixels = files.noise(21, 27, 2)
    data = files.by_tifffile(pixels, compression="lzw", extrasamples=["assocalpha"])
    photo = decode_photo(data, "x")
    np.testing.assert_array_equal(photo.array, pixels)
    assert photo.metadata["extra"] == 1


@pytest.mark.parametrize("compression", ["lzw", "zlib", "packbits", None])
@pytest.mark.parametrize("planes", ["separate", "contig"])
@pytest.mark.parametrize("kind", ["unassalpha", "unspecified"])
def test_gray_with_a_second_channel_of_8_bits(compression, planes, kind):
    pixels = files.noise(21, 27, 2)
    array = np.moveaxis(pixels, -1, 0) if planes == "separate" else pixels
    data = files.by_tifffile(
        array,
        compression=compression,
        planarconfig=planes,
        extrasamples=[kind],
        photometric="minisblack",
    )
    np.testing.assert_array_equal(decode_photo(data, "x").array, pixels)


@pytest.mark.parametrize("compression", ["jpeg", "lzma", "zstd"])
def test_a_second_plane_that_pillow_empties_is_refused(compression):
    planes = np.moveaxis(files.noise(32, 48, 2), -1, 0)
    data = files.by_tifffile(
        planes,
        compression=compression,
        planarconfig="separate",
        extrasamples=["unassalpha"],
        photometric="minisblack",
    )
    with pytest.raises(UserError, match="save it uncompressed"):
        decode_photo(data, "x")
