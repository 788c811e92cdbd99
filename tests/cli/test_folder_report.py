"""`--report`: one page that shows every photograph before and after, as a viewer would show it."""

import base64
import io
import re

import cv2
import numpy as np
import photo_samples as files
import pytest
from denoise_case import gradnet, names
from page_reader import read_page
from PIL import Image, ImageCms, ImageOps

from gradnet_tf.cli import denoise_command
from gradnet_tf.cli import folder_report as report_module
from gradnet_tf.cli.before_after import (
    compare,
    interesting_boxes,
    noise_levels,
    shrink,
    view_of,
)
from gradnet_tf.images.photo import Photo
from gradnet_tf.images.photo_files import decode_photo, read_photo, upright


def decoded(data):
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def smooth(height, width):
    """A photograph-like ramp, uint8 RGB."""
    rows, columns = np.mgrid[:height, :width]
    parts = (rows * 200 / height, columns * 200 / width, rows * 0 + 90)
    return np.stack(parts, axis=2).astype(np.uint8)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photographs_stand_upright(orientation):
    """Against Pillow's own reading of the tag; the crops lie where the frames say."""
    picture = cv2.resize(files.noise(20, 30, 3), (300, 200), interpolation=cv2.INTER_CUBIC)
    tags = Image.Exif()
    tags[files.ORIENTATION] = orientation
    data = files.by_pillow(picture, "PNG", exif=tags.tobytes())
    with Image.open(io.BytesIO(data)) as image:
        wanted = np.asarray(ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(upright(picture, orientation), wanted)
    seen = compare(decode_photo(data, "x"), picture)
    assert (seen.height, seen.width) == wanted.shape[:2] == seen.size
    assert np.abs(decoded(seen.before).astype(int) - wanted).mean() < 4
    for crop in seen.crops:
        np.testing.assert_array_equal(decoded(crop.before), crop.box.cut(wanted))


def test_large_pictures_are_shrunk_and_their_crops_are_not():
    picture = smooth(900, 3200)
    after = picture.copy()
    after[400:500, 1000:1100] += 9
    seen = compare(decode_photo(files.by_pillow(picture, "PNG"), "x"), after)
    assert seen.size == (450, 1600) and decoded(seen.after).shape == (450, 1600, 3)
    largest = seen.crops[0]
    assert (largest.box.height, largest.box.width) == (160, 160)
    np.testing.assert_array_equal(decoded(largest.after), largest.box.cut(after))
    assert seen.num_bytes < 2e6


def test_crops_show_the_largest_change_the_usual_one_and_the_most_detail():
    before = np.full((800, 800, 3), 100, np.uint8)
    after = before.copy()
    after[:, ::2] += 2  # the usual change
    after[0:160, 0:160] = 110  # the largest one
    stripes = np.where(np.arange(160) % 4 < 2, 60, 140).astype(np.uint8)
    before[320:480, 480:640] = after[320:480, 480:640] = stripes[:, None, None]
    found = dict(interesting_boxes(before, after))
    assert (found["largest change"].top, found["largest change"].left) == (0, 0)
    assert (found["most detail"].top, found["most detail"].left) == (320, 480)
    usual = found["usual change"].cut(after) - found["usual change"].cut(before)
    assert np.unique(usual[:, ::2]).tolist() == [2]
    # What is transparent is of no interest, and a small picture is its own crop.
    alpha = np.full((800, 800), 255, np.uint8)
    alpha[0:160, 0:160] = 0
    found = dict(interesting_boxes(before, after, alpha))
    assert (found["largest change"].top, found["largest change"].left) != (0, 0)
    for shape in ((1, 1, 3), (160, 90, 1)):
        assert interesting_boxes(np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)) == []
    boxes = [box for _, box in interesting_boxes(*np.zeros((2, 1, 20000, 1), np.uint8))]
    assert len(boxes) == 3 and all(box.height == 1 for box in boxes)
    boxes = [box for _, box in interesting_boxes(*np.zeros((2, 200, 300, 3), np.uint8))]
    for one in boxes:
        for other in boxes:
            apart = abs(one.top - other.top) >= 160 or abs(one.left - other.left) >= 160
            assert one is other or apart


@pytest.mark.parametrize(
    ("dtype", "scale", "brighter"),
    [(np.uint16, 257, False), (np.uint16, 16, True), (np.float32, 1 / 255, False)],
)
def test_deep_pictures_are_shown_with_8_bits(dtype, scale, brighter):
    """Twelve bits in a file of sixteen would be all but black: they are made brighter."""
    picture = smooth(200, 300)
    stored = (picture * np.dtype(dtype).type(scale)).astype(dtype)
    photo = decode_photo(files.by_tifffile(stored), "x")
    view = view_of(photo)
    shown = view.show(photo.pixels, None)
    assert shown.dtype == np.uint8
    if not brighter:
        assert view.gain == 1
        np.testing.assert_array_equal(shown, picture)
    else:
        assert view.gain > 16 and 190 < shown.max() <= 255
        wanted = np.minimum(stored / 65535 * view.gain * 255, 255)
        assert np.abs(shown - wanted).max() <= 0.51
    assert shrink(photo.pixels, 100).dtype == stored.dtype


def test_what_is_transparent_shows_the_paper():
    picture = np.dstack([smooth(64, 64), np.zeros((64, 64), np.uint8)])
    picture[:, 32:, 3] = 255
    photo = decode_photo(files.by_pillow(picture, "PNG"), "x")
    shown = view_of(photo).show(photo.pixels, photo.alpha)
    assert np.unique(shown[:, :32]).tolist() == [205, 245]
    np.testing.assert_array_equal(shown[:, 32:], picture[:, 32:, :3])


def test_colors_of_another_profile_become_srgb():
    """A profile whose red is sRGB's green; what is no profile of RGB is left aside."""
    picture = smooth(40, 50)
    swapped = files.PROFILE.replace(b"rXYZ", b"....").replace(b"gXYZ", b"rXYZ")
    swapped = swapped.replace(b"....", b"gXYZ")
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB", 5000)).tobytes()
    cases = {swapped: [1, 0, 2], files.PROFILE: [0, 1, 2], lab: [0, 1, 2], b"bad": [0, 1, 2]}
    for profile, order in cases.items():
        photo = decode_photo(files.by_pillow(picture, "PNG", icc_profile=profile), "x")
        shown = view_of(photo).show(photo.pixels, None)
        assert np.abs(shown.astype(int) - picture[..., order]).max() <= 2


def test_noise_levels_of_large_and_small_pictures():
    random = np.random.default_rng(0)
    clean = smooth(600, 9000).astype(np.float32)
    noisy = np.clip(clean + random.normal(0, 12, clean.shape) + 25, 0, 255).astype(np.uint8)
    before, after = noise_levels(noisy, clean.astype(np.uint8))
    assert before == pytest.approx(12, rel=0.03) and after < 1
    assert noise_levels(noisy[:1], noisy[:1]) == (0, 0)


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "in" / "sub"
    folder.mkdir(parents=True)
    cv2.imwrite(str(folder / "a <b> & 'c'.png"), files.noise(180, 330, 3))
    cv2.imwrite(str(folder / "grey.png"), files.noise(40, 30))
    (folder / "z broken.png").write_text("text")
    return folder.parent


def test_the_page_of_a_run(photos, tmp_path, run):
    page_path, output = tmp_path / "new" / "r.html", tmp_path / "out"
    flags = ["--model", run, "--strength", "0.75", "--report", page_path]
    assert gradnet("denoise", photos, "--output", output, *flags) == 1
    page = read_page(page_path)  # checks that nothing comes from elsewhere, and the tags
    text = page.text
    for words in ("a <b> & 'c'.png", "330×180 pixels, 8-bit RGB", "30×40 pixels, 8-bit gray"):
        assert words in text
    assert "strength 0.75" in text and re.search(r"noise level \d+\.\d before, \d+\.\d after", text)
    assert "2 written" in text and "failed:" in text and "is not an image" in text
    assert [path.name for path in page_path.parent.iterdir()] == ["r.html"]
    # Before and after, as they are: the picture and two crops of the large one, the small one.
    alts = [image["alt"] for image in page.all("img")]
    assert len(alts) == 2 * (1 + 2) + 2 and all(alt.endswith(("before", "after")) for alt in alts)
    source = photos / "sub" / "a <b> & 'c'.png"
    crops = [image for image in page.all("img") if "largest change, before" in image["alt"]]
    pixels = decoded(base64.b64decode(crops[0]["src"].split(",")[1]))
    whole = decoded(source.read_bytes())
    assert pixels.shape == (160, 160, 3)
    places = [(top, left) for top in (0, 20) for left in (0, 160, 170)]
    assert any((whole[t : t + 160, x : x + 160] == pixels).all() for t, x in places)
    # By keyboard too: a slider for each picture, with a name.
    sliders = [each for each in page.all("input") if each["type"] == "range"]
    assert len(sliders) == 2 and all("before and after" in each["aria-label"] for each in sliders)
    assert [each["value"] for each in page.all("option")] == ["100", "200", "300"]


def test_skipped_files_are_shown_from_disk(photos, tmp_path, run, monkeypatch):
    flags = ["denoise", photos, "--output", tmp_path / "out", "--model", run]
    assert gradnet(*flags, "--strength", "0.5") == 1
    before = (tmp_path / "out" / "sub" / "grey.png").read_bytes()
    monkeypatch.setattr("gradnet_tf.denoiser.load_denoiser", None)  # No model is needed.
    assert gradnet(*flags, "--report", tmp_path / "r.html") == 1
    page = read_page(tmp_path / "r.html")
    assert "made earlier" in page.text
    assert "run (keras float32) · strength 0.5 · estimated" in page.text
    assert len(page.all("img")) == 8
    assert (tmp_path / "out" / "sub" / "grey.png").read_bytes() == before
    assert len(names(tmp_path / "out")) == 2


def test_skipped_files_have_the_limit_of_the_others(photos, tmp_path, run, monkeypatch):
    flags = ["denoise", photos, "--output", tmp_path / "out", "--model", run, "--strength=0.5"]
    flags += ["--report", tmp_path / "r.html"]
    assert gradnet(*flags) == 1
    monkeypatch.setattr(read_photo, "__defaults__", (0.0001,))  # In place of 200 megapixels.
    assert gradnet(*flags, "--max-megapixels=1") == 1
    assert len(read_page(tmp_path / "r.html").all("section")) == 2
    assert gradnet(*flags, "--max-megapixels=0.0001") == 1
    page = read_page(tmp_path / "r.html")
    assert not page.all("section") and page.text.count("skipped") >= 2


def test_pictures_beyond_pillows_own_limit_stand_upright_too(monkeypatch, recwarn):
    tags = Image.Exif()
    tags[files.ORIENTATION] = 6
    data = files.by_pillow(smooth(40, 60), "PNG", exif=tags.tobytes())
    for limit in (1500, 100):  # Pillow warns above its limit and refuses twice as much.
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        assert view_of(decode_photo(data, "x")).orientation == 6
    assert not recwarn.list


def test_hundreds_of_pictures_are_a_table(photos, tmp_path, run, monkeypatch):
    monkeypatch.setattr(report_module, "MOST_SHOWN", 1)
    flags = ["denoise", photos, "--output", tmp_path / "out", "--strength=0"]
    assert gradnet(*flags, "--report", tmp_path / "r.html") == 1
    page = read_page(tmp_path / "r.html")
    assert "The first 1 photographs are shown; 1 more are in the table" in page.text
    assert len([each for each in page.all("section")]) == 1
    monkeypatch.setattr(report_module, "MOST_SHOWN", 40)
    monkeypatch.setattr(report_module, "MOST_BYTES", 1)
    assert gradnet(*flags, "--overwrite", "--report", tmp_path / "r.html") == 1
    assert len(read_page(tmp_path / "r.html").all("section")) == 1


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("photo.png", "expected a new file NAME.html"),
        ("folder.html", "Received: a folder"),
        ("file/r.html", "r.html: cannot be created"),
    ],
)
def test_a_report_that_cannot_be_is_refused_first(photos, tmp_path, name, words, capsys):
    (tmp_path / "folder.html").mkdir()
    (tmp_path / "file").write_text("x")
    flags = ["--output", tmp_path / "out", "--report", tmp_path / name]
    assert gradnet("denoise", photos, *flags) == 2
    assert words in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_a_report_never_replaces_what_is_none(photos, tmp_path, capsys):
    page, flags = tmp_path / "home.html", ["--output", tmp_path / "out", "--strength=0", "--report"]
    page.write_text("<html>my own page</html>")
    assert gradnet("denoise", photos, *flags, page) == 2
    assert "a file that is not a report" in capsys.readouterr().err
    assert page.read_text() == "<html>my own page</html>"
    picture = tmp_path / "picture.html"
    picture.write_bytes((photos / "sub" / "grey.png").read_bytes())
    assert gradnet("denoise", picture, *flags, picture) == 2
    assert "an input or a result" in capsys.readouterr().err
    for _ in range(2):  # A report gives way to the next one.
        assert gradnet("denoise", photos, *flags, tmp_path / "r.html") == 1
    assert gradnet("denoise", "-", "--report", tmp_path / "r.html") == 2
    assert "not allowed with - as INPUT. Leave the flag out" in capsys.readouterr().err


def test_a_report_that_cannot_be_written_is_a_failure(photos, tmp_path, monkeypatch, capsys):
    """As if its folder had become a file in the meantime."""
    monkeypatch.setattr(denoise_command, "require_writable", lambda folder, given: None)
    (tmp_path / "file").write_text("x")
    flags = ["--output", tmp_path / "out", "--strength=0", "--report", tmp_path / "file" / "r.html"]
    assert gradnet("denoise", photos / "sub" / "grey.png", *flags) == 1
    printed = capsys.readouterr()
    assert "1 written, 0 skipped, 0 failed" in printed.out
    assert "r.html: cannot be written" in printed.err


def test_the_report_of_an_interrupted_run_lists_the_skipped_files(photos, tmp_path, monkeypatch):
    flags = ["denoise", photos, "--output", tmp_path / "out", "--strength=0"]
    assert gradnet(*flags) == 1
    (tmp_path / "out" / "sub" / "grey.png").unlink()

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("gradnet_tf.cli.denoise_files.write_file", interrupted)
    assert gradnet(*flags, "--report", tmp_path / "r.html") == 75
    page = read_page(tmp_path / "r.html")
    assert "0 written, 1 skipped, 0 failed, interrupted" in page.text
    assert "1 skipped" in re.sub(r"\s+", " ", page.text) and "made earlier" in page.text


@pytest.mark.parametrize("is_opaque", [True, False])
def test_a_channel_that_is_not_alpha_hides_nothing(is_opaque):
    array = np.full((40, 50, 4), 100, np.uint8)
    array[..., 3] = 0
    photo = Photo(array, "tiff", b"", is_opaque=is_opaque)
    found = compare(photo, photo.pixels)
    shown = np.asarray(Image.open(io.BytesIO(found.after)))
    assert (abs(shown.astype(int) - 100).max() < 4) == is_opaque
    assert found.kind == "8-bit RGB with " + ("a further channel" if is_opaque else "alpha")
