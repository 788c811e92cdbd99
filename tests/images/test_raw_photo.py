"""Raw files are developed into 16-bit TIFFs, and denoised as such."""

import cv2
import numpy as np
import pytest
from synthetic_dng import make_dng, scene

from gradnet_tf import Denoiser
from gradnet_tf.cli import main as cli
from gradnet_tf.images.photo_files import decode_photo, format_of, read_photo
from gradnet_tf.images.raw import raw_photo
from gradnet_tf.utils.errors import UserError

LIGHT = scene()
#: A sensor at high sensitivity: the developed picture has σ of about 8.
SHOT, READ = 1.5e-3, 2e-5


def srgb(light):
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def inner(image):
    return image[8:-8, 8:-8]


def test_a_raw_file_is_recognized_by_its_content():
    assert format_of(make_dng(LIGHT, 0, 0)) == "raw"
    assert format_of(b"FUJIFILMCCD-RAW 0201") == "raw"
    assert format_of(b"II*\0\x10\0\0\0CR\x02\0") == "raw"


def test_without_rawpy_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "rawpy", None)
    with pytest.raises(UserError, match=r"a.dng is a raw file, which needs rawpy.*\[raw\]"):
        decode_photo(make_dng(LIGHT, 0, 0), "a.dng")


def test_colors_are_those_of_the_scene():
    pytest.importorskip("rawpy")
    photo = decode_photo(make_dng(LIGHT, 0, 0), "a.dng")
    assert photo.format == "tiff" and photo.array.dtype == np.uint16
    assert photo.array.shape == LIGHT.shape
    difference = photo.array / 65535 - srgb(LIGHT)
    assert np.abs(inner(difference)).max() < 2e-3
    assert any("developed" in line for line in photo.notes)


def test_what_cannot_be_developed_is_one_line():
    pytest.importorskip("rawpy")
    data = make_dng(LIGHT, 0, 0)
    with pytest.raises(UserError, match="a.dng .*LibRaw cannot develop"):
        decode_photo(b"FUJIFILMCCD-RAW 0201" + bytes(200), "a.dng")
    with pytest.raises(UserError, match="megapixels, more than 0.01"):
        decode_photo(data, "a.dng", 0.01)


def test_a_synthetic_dng_goes_in_and_a_tiff_with_less_noise_comes_out(tmp_path, capsys):
    pytest.importorskip("rawpy")
    source, out = tmp_path / "photo.dng", tmp_path / "out"
    source.write_bytes(make_dng(LIGHT, SHOT, READ))
    arguments = ["denoise", str(source), "--output", str(out), "--model", "gradnet_tiny"]
    assert cli.main(arguments) == 0
    capsys.readouterr()
    result = read_photo(out / "photo.tif")
    assert result.format == "tiff" and result.array.dtype == np.uint16
    developed = decode_photo(source.read_bytes(), "photo.dng").array / 65535
    denoised = result.array / 65535
    # The colors are the developed ones.
    means = [cv2.blur(image.astype(np.float32), (33, 33)) for image in (developed, denoised)]
    assert np.abs(means[1] - means[0])[20:-20, 20:-20].max() < 0.01
    noise = [np.std(inner(image - srgb(LIGHT))) * 255 for image in (developed, denoised)]
    assert 4 < noise[0] < 15
    assert noise[1] < 0.8 * noise[0]
    expected = Denoiser("gradnet_tiny")(decode_photo(source.read_bytes(), "a").array)
    np.testing.assert_allclose(result.array.astype(int), expected.astype(int), atol=2)


def test_a_maker_s_name_in_other_letters_is_no_damage():
    data = make_dng(LIGHT, 0, 0).replace(b"Synthetic\0", b"Synth\xe9tic\0", 1)
    tiff = raw_photo._as_tiff(np.zeros((4, 5, 3), np.uint16), data)
    assert decode_photo(tiff, "x").array.shape == (4, 5, 3) and b"Synthtic\0" in tiff
