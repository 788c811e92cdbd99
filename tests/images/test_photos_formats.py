"""Photographs keep pixels, depth and alpha in every format; other libraries are the judges."""

import io

import cv2
import numpy as np
import photo_samples as files
import pytest
import tifffile
from PIL import Image

from gradnet_tf.images.photo_files import decode_photo, encode_photo
from gradnet_tf.utils.errors import UserError

U8, U16, F32 = np.uint8, np.uint16, np.float32


def made_again(data):
    """Reads and writes with new pixels (each value from the other end), then with the old ones."""
    photo = decode_photo(data, "a file")
    top = 1 if photo.pixels.dtype.kind == "f" else np.iinfo(photo.pixels.dtype).max
    changed = encode_photo(photo.with_pixels((top - photo.pixels).astype(photo.pixels.dtype)))
    again = decode_photo(changed, "the changed file")
    return encode_photo(again.with_pixels(photo.pixels))


LOSSLESS = {
    "png grey, Pillow": (lambda: (a := files.noise(9, 7), files.by_pillow(a, "PNG"))),
    "png RGB, OpenCV": (lambda: (a := files.noise(9, 7, 3), files.by_opencv(a, ".png"))),
    "png RGBA, Pillow": (lambda: (a := files.noise(9, 7, 4), files.by_pillow(a, "PNG"))),
    "png grey 16, OpenCV": (
        lambda: (a := files.noise(9, 7, dtype=U16), files.by_opencv(a, ".png"))
    ),
    "png RGB 16, OpenCV": (
        lambda: (a := files.noise(9, 7, 3, dtype=U16), files.by_opencv(a, ".png"))
    ),
    "png RGBA 16, OpenCV": (
        lambda: (a := files.noise(9, 7, 4, dtype=U16), files.by_opencv(a, ".png"))
    ),
    "webp RGB, OpenCV": (
        lambda: (a := files.noise(9, 7, 3), files.by_opencv(a, ".webp", [64, 101]))
    ),
    "webp RGBA, Pillow": (
        lambda: (
            a := files.noise(9, 7, 4),
            files.by_pillow(a, "WEBP", lossless=True, exact=True),
        )
    ),
    "bmp RGB, OpenCV": (lambda: (a := files.noise(9, 7, 3), files.by_opencv(a, ".bmp"))),
    "bmp grey, OpenCV": (lambda: (a := files.noise(9, 7), files.by_opencv(a, ".bmp"))),
    "ppm, OpenCV": (lambda: (a := files.noise(9, 7, 3), files.by_opencv(a, ".ppm"))),
    "ppm 16, OpenCV": (lambda: (a := files.noise(9, 7, 3, dtype=U16), files.by_opencv(a, ".ppm"))),
    "pgm 16, OpenCV": (lambda: (a := files.noise(9, 7, dtype=U16), files.by_opencv(a, ".pgm"))),
}


@pytest.mark.parametrize("name", LOSSLESS)
def test_pixels_depth_and_mode_come_back(name):
    array, data = LOSSLESS[name]()
    photo = decode_photo(data, name)
    np.testing.assert_array_equal(photo.array.reshape(array.shape), array)
    written = made_again(data)
    found = files.read_opencv(written)
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found.reshape(array.shape), array)
    if array.dtype == U8:
        np.testing.assert_array_equal(files.read_pillow(written).reshape(array.shape), array)


def test_png_of_16_bits_gray_with_alpha():
    """No library here writes one; the file is raw bytes, and OpenCV reads the result."""
    array = files.noise(9, 7, 2, dtype=U16)
    written = made_again(files.raw_png(array, 4, 16))
    np.testing.assert_array_equal(files.read_opencv(written)[..., [0, 3]], array)
    assert written[24:26] == bytes([16, 4])  # Depth and colour type of the header.


def test_a_palette_becomes_rgb_and_keeps_its_transparency():
    image = Image.fromarray(files.noise(9, 7, 3)).quantize(8)
    wanted = np.asarray(image.convert("RGB"))
    target = io.BytesIO()
    image.save(target, "PNG")
    np.testing.assert_array_equal(files.read_pillow(made_again(target.getvalue())), wanted)
    target = io.BytesIO()
    image.save(target, "PNG", transparency=bytes(range(0, 240, 30)))
    wanted = np.asarray(image.convert("RGBA"))
    with Image.open(target) as reopened:
        wanted = np.asarray(reopened.convert("RGBA"))
    assert len(np.unique(wanted[..., 3])) > 2
    np.testing.assert_array_equal(files.read_pillow(made_again(target.getvalue())), wanted)


@pytest.mark.parametrize(("colour_type", "depth", "channels"), [(0, 8, 1), (2, 8, 3), (0, 16, 1)])
def test_a_color_key_becomes_alpha(colour_type, depth, channels):
    array = files.noise(4, 5, channels, dtype=U16 if depth == 16 else U8)
    key = array[1, 2].astype(">u2").tobytes()
    data = files.raw_png(array, colour_type, depth, files.chunk(b"tRNS", key))
    photo = decode_photo(data, "keyed")
    wanted = (array != array[1, 2]).any(axis=2) * np.iinfo(array.dtype).max
    np.testing.assert_array_equal(photo.alpha, wanted)
    np.testing.assert_array_equal(decode_photo(made_again(data), "again").array, photo.array)


TIFFS = {
    "grey": ((9, 7), U8, {}),
    "RGB": ((9, 7, 3), U8, {}),
    "RGBA": ((9, 7, 4), U8, {"extrasamples": ["unassalpha"]}),
    "grey with alpha": ((9, 7, 2), U8, {"extrasamples": ["unassalpha"]}),
    "premultiplied": ((9, 7, 4), U16, {"extrasamples": ["assocalpha"]}),
    "grey 16": ((9, 7), U16, {}),
    "grey 16 with alpha": ((9, 7, 2), U16, {"extrasamples": ["unassalpha"]}),
    "RGB 16": ((9, 7, 3), U16, {}),
    "RGB 16, Deflate": ((9, 7, 3), U16, {"compression": "zlib", "predictor": 2}),
    "RGB 16, big-endian": ((9, 7, 3), U16, {"byteorder": ">"}),
    "RGB 16, BigTIFF": ((9, 7, 3), U16, {"bigtiff": True}),
    "RGB 16, tiles": ((40, 37, 3), U16, {"tile": (16, 16), "compression": "zlib"}),
    "RGB, planes": ((3, 9, 7), U8, {"planarconfig": "separate", "photometric": "rgb"}),
    "float grey": ((9, 7), F32, {}),
    "float RGB": ((9, 7, 3), F32, {"compression": "zlib"}),
    "float RGBA": ((9, 7, 4), F32, {"extrasamples": ["unassalpha"]}),
    "half RGB": ((9, 7, 3), np.float16, {}),
    "double RGB": ((9, 7, 3), np.float64, {}),
}


@pytest.mark.parametrize("name", TIFFS)
def test_tiff_pixels_come_back(name):
    shape, dtype, options = TIFFS[name]
    array = files.noise(*shape, dtype=dtype)
    data = files.by_tifffile(array, **options)
    if dtype in (np.float16, np.float64):  # 1 - x is not exact
        photo = decode_photo(data, name)
        written = encode_photo(photo)
    else:
        written = made_again(data)
    if name == "RGB, planes":
        array = np.moveaxis(array, 0, -1)
    with tifffile.TiffFile(io.BytesIO(data)) as old, tifffile.TiffFile(io.BytesIO(written)) as new:
        found = new.pages[0].asarray()
        assert found.dtype == dtype
        if dtype == F32:
            np.testing.assert_allclose(found, array, atol=1e-7)
        else:
            np.testing.assert_array_equal(found, array)
        assert new.pages[0].extrasamples == old.pages[0].extrasamples
        assert (new.byteorder, new.is_bigtiff) == (old.byteorder, old.is_bigtiff)
        assert new.pages[0].photometric == old.pages[0].photometric
        assert (new.pages[0].compression > 1) == (old.pages[0].compression > 1)
        np.testing.assert_array_equal(decode_photo(data, name).array.reshape(array.shape), array)


@pytest.mark.parametrize("shape", [(20, 17), (20, 17, 3), (20, 17, 4)])
@pytest.mark.parametrize("dtype", [U8, U16, F32, np.float64])
def test_tiffs_of_opencv_are_read(shape, dtype):
    """OpenCV writes LZW, which tifffile leaves to a further package."""
    array = files.noise(*shape, dtype=dtype)
    photo = decode_photo(files.by_opencv(array, ".tiff"), "LZW")
    np.testing.assert_array_equal(photo.array.reshape(shape), array)
    found = files.read_tifffile(encode_photo(photo))
    np.testing.assert_array_equal(found.reshape(shape), array)


@pytest.mark.parametrize(("dtype", "compression"), [(U8, None), (U16, None), (U8, "tiff_lzw")])
def test_white_is_zero(dtype, compression):
    array = files.noise(9, 7, dtype=dtype)
    if compression:
        target = io.BytesIO()
        Image.fromarray(array).save(target, "TIFF", compression=compression, tiffinfo={262: 0})
        data = target.getvalue()
    else:
        data = files.by_tifffile(array, photometric="miniswhite")
    photo = decode_photo(data, "inverted")
    if not compression:
        np.testing.assert_array_equal(photo.pixels[..., 0], np.iinfo(dtype).max - array)
    np.testing.assert_array_equal(decode_photo(encode_photo(photo), "again").array, photo.array)
    with tifffile.TiffFile(io.BytesIO(encode_photo(photo))) as written:
        assert written.pages[0].photometric == 0


@pytest.mark.parametrize("turned", [1, 3, 6])
def test_an_orientation_tag_of_a_tiff_turns_nothing(turned):
    for dtype, maker in ((U8, "pillow"), (U16, "tifffile"), (U16, "opencv")):
        array = files.noise(9, 7, 3, dtype=dtype)
        if maker == "pillow":
            target = io.BytesIO()
            Image.fromarray(array).save(
                target, "TIFF", compression="tiff_lzw", tiffinfo={274: turned}
            )
            data = target.getvalue()
        elif maker == "tifffile":
            data = files.by_tifffile(array, extratags=[(274, 3, 1, turned, True)])
        else:
            data = files.by_opencv(array, ".tiff")
        photo = decode_photo(data, maker)
        np.testing.assert_array_equal(photo.array, array)
        if maker != "opencv":
            with tifffile.TiffFile(io.BytesIO(encode_photo(photo))) as written:
                assert written.pages[0].tags[274].value == turned


def test_transparent_pixels_keep_their_colors_in_lossless_webp():
    array = files.noise(9, 7, 4)
    array[..., 3] = 0
    data = files.by_pillow(array, "WEBP", lossless=True, exact=True)
    np.testing.assert_array_equal(files.read_pillow(made_again(data)), array)


def smooth(height=48, width=64):
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows * 4, columns * 3, (rows + columns) * 2], axis=2).astype(np.uint8)


@pytest.mark.parametrize("format", ["WEBP", "AVIF"])
def test_lossy_formats_stay_close_and_keep_alpha(format):
    array = np.dstack([smooth(), smooth()[..., 0]])
    data = files.by_pillow(array, format, quality=95)
    photo = decode_photo(data, format)
    np.testing.assert_array_equal(photo.array, files.read_pillow(data))
    found = files.read_pillow(encode_photo(photo))
    assert np.abs(found.astype(int) - photo.array)[..., :3].mean() < 2
    assert np.abs(found.astype(int) - photo.array)[..., 3].max() <= (0 if format == "WEBP" else 3)
    assert len(encode_photo(photo, quality=10)) < len(encode_photo(photo, quality=100))


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_keeps_its_way_of_coding(subsampling, progressive):
    options = {"quality": 95, "subsampling": subsampling, "progressive": progressive}
    data = files.by_pillow(smooth(), "JPEG", **options)
    photo = decode_photo(data, "a JPEG")
    np.testing.assert_array_equal(photo.array, files.read_opencv(data))
    written = encode_photo(photo)
    with Image.open(io.BytesIO(data)) as old, Image.open(io.BytesIO(written)) as new:
        assert new.quantization == old.quantization
        assert [layer[1:3] for layer in new.layer] == [layer[1:3] for layer in old.layer]
        assert new.info.get("progressive") == old.info.get("progressive")
        assert np.abs(np.asarray(new).astype(int) - np.asarray(old)).max() < 12


def test_jpeg_quality_is_at_least_90_unless_asked():
    def tables(data):
        with Image.open(io.BytesIO(data)) as image:
            return image.quantization

    photo = decode_photo(files.by_pillow(smooth(), "JPEG", quality=30), "coarse")
    assert tables(encode_photo(photo)) == tables(files.by_pillow(smooth(), "JPEG", quality=90))
    asked = tables(files.by_pillow(smooth(), "JPEG", quality=42))
    assert tables(encode_photo(photo, quality=42)) == asked


def test_gray_jpeg_stays_gray():
    data = files.by_opencv(smooth()[..., 0], ".jpg", [cv2.IMWRITE_JPEG_QUALITY, 97])
    photo = decode_photo(data, "grey")
    assert photo.pixels.shape == (48, 64, 1)
    assert files.read_opencv(encode_photo(photo)).ndim == 2


@pytest.mark.parametrize(
    ("mode", "format", "options"),
    [
        ("1", "PNG", {}),
        ("1", "TIFF", {"compression": "group4"}),
        ("P", "TIFF", {}),
        ("P", "TIFF", {"compression": "tiff_lzw"}),
        ("L", "PNG", {"bits": 4}),
        ("RGB", "TIFF", {"compression": "jpeg"}),
        ("P", "BMP", {}),
    ],
)
def test_what_has_fewer_bits_or_a_palette_gets_eight_bits_by_channel(mode, format, options):
    """A denoised picture lies between the colours of a palette: only the pixels come back."""
    image = Image.fromarray(smooth()).convert(mode)
    target = io.BytesIO()
    image.save(target, format, **options)
    data = target.getvalue()
    photo = decode_photo(data, mode)
    with Image.open(io.BytesIO(data)) as reopened:
        wanted = np.asarray(reopened.convert("RGB"))
    found = files.read_opencv(encode_photo(photo))
    assert found.dtype == U8
    np.testing.assert_array_equal(found if found.ndim == 3 else np.dstack([found] * 3), wanted)


@pytest.mark.parametrize("quality", [None, 90, 100])
def test_progressive_jpegs_hold_noise(quality):
    noisy = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=U8)
    smooth = files.by_pillow(noisy // 64, "JPEG", progressive=True, subsampling=0, quality=95)
    photo = decode_photo(smooth, "x")
    data = encode_photo(photo.with_pixels(noisy), quality)
    with Image.open(io.BytesIO(data)) as image:
        assert image.info.get("progressive") and len(data) > noisy.size // 2
        assert np.abs(np.asarray(image).astype(int) - noisy).mean() < 12


def test_floats_of_which_white_is_0_stay_such():
    pixels = files.noise(9, 7, dtype=F32)
    data = files.by_tifffile(pixels, photometric="miniswhite")
    photo = decode_photo(data, "x")
    with tifffile.TiffFile(io.BytesIO(encode_photo(photo))) as file:
        assert file.pages[0].photometric == 0
        np.testing.assert_array_equal(file.pages[0].asarray(), pixels)


def test_an_alpha_channel_of_floats_is_finite():
    pixels = files.noise(9, 7, 4, dtype=F32)
    pixels[3, 4, 3] = np.nan
    with pytest.raises(UserError, match="alpha channel with NaN"):
        decode_photo(files.by_tifffile(pixels, extrasamples=["unassalpha"]), "x")
