"""`gradnet denoise` says where most of the noise remains, on standard error and in the report."""

import io

import cv2
import numpy as np
import pytest
from denoise_case import gradnet

from gradnet_tf.cli.denoise_files import denoise_files, denoise_stream
from gradnet_tf.cli.denoise_plan import FileOptions, plan_jobs
from gradnet_tf.cli.folder_report import DenoiseReport
from gradnet_tf.images.photo import Photo

WORDS = "most of the estimated noise remains"


def scene(seed=0):
    """A smooth picture: (96, 120, 3) float in [0, 1]."""
    generator = np.random.default_rng(seed)
    return cv2.GaussianBlur(generator.random((96, 120, 3)), (0, 0), 12) * 2 - 0.5


def noisy(sigma, dtype=np.uint8, seed=0):
    values = scene(seed) + np.random.default_rng(seed).normal(0, sigma / 255, (96, 120, 3))
    if dtype == np.float32:
        return values.astype(np.float32)
    return np.rint(np.clip(values, 0, 1) * np.iinfo(dtype).max).astype(dtype)


def photo(pixels):
    return Photo(pixels, "png", b"")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_the_levels_of_both_are_measured(dtype):
    before, after = photo(noisy(10, dtype)).remaining_noise(noisy(8, dtype))
    # The smoothest fifth of the blocks is below the mean.
    assert 0.7 * 10 < before < 10 and 0.7 * 8 < after < 8


@pytest.mark.parametrize(("before", "after"), [(10, 3), (2, 2), (0, 0), (25, 10)])
def test_a_clean_result_and_little_noise_are_no_news(before, after):
    assert photo(noisy(before)).remaining_noise(noisy(after)) is None


def test_a_flat_frame_does_not_hide_the_noise():
    framed = [np.pad(noisy(sigma), ((80, 80), (80, 80), (0, 0))) for sigma in (10, 9)]
    alone = photo(noisy(10)).remaining_noise(noisy(9))
    assert photo(framed[0]).remaining_noise(framed[1]) == pytest.approx(alone, rel=0.1)


@pytest.mark.parametrize("shape", [(5, 90, 3), (8, 8, 1), (1, 1, 3), (700, 2300, 3)])
def test_pictures_of_any_size(shape):
    pixels = np.random.default_rng(1).integers(100, 130, shape, np.uint8)
    found = photo(pixels).remaining_noise(pixels)
    assert (found is None) == (min(shape[:2]) < 8)


@pytest.fixture
def photos(tmp_path):
    (tmp_path / "in").mkdir()
    for number in range(5):
        cv2.imwrite(str(tmp_path / "in" / f"{number}.png"), noisy(10, seed=number))
    return tmp_path / "in"


def smooth(array):
    return cv2.GaussianBlur(array, (0, 0), 3)


def test_files_whose_noise_remains_are_named_in_one_line(photos, tmp_path, capsys):
    plan = plan_jobs([str(photos)], str(tmp_path / "out"))
    report = DenoiseReport(tmp_path / "r.html", plan, {"model": "m"})
    results = iter([smooth] + [lambda array: array] * 4)

    def denoise(array):
        return next(results)(array)

    assert denoise_files(plan, lambda _: denoise, report=report) == 0
    (line,) = [line for line in capsys.readouterr().err.splitlines() if WORDS in line]
    assert line.startswith(f"note: {WORDS} in {photos / '1.png'}, ") and "and 1 more: " in line
    page = (tmp_path / "r.html").read_text()
    # Once at each picture and once in the table.
    assert page.count(WORDS) == 8
    assert "level 8." in page or "level 9." in page


def textured(seed=0):
    """Texture everywhere, in patches of different strength, as in a clean picture of leaves."""
    generator = np.random.default_rng(seed)
    grain = cv2.GaussianBlur(generator.normal(0, 1, (256, 320)), (0, 0), 0.9)
    strength = cv2.resize(generator.uniform(10, 80, (16, 20)), (320, 256))
    values = np.rint(np.clip(120 + strength * grain / grain.std(), 0, 255)).astype(np.uint8)
    return values[..., None].repeat(3, -1)


def test_clean_texture_is_no_news_but_noise_on_it_is(tmp_path, capsys):
    clean = textured()
    assert photo(clean).remaining_noise(clean)  # it looks like noise that remains
    (tmp_path / "in").mkdir()
    cv2.imwrite(str(tmp_path / "in" / "clean.png"), clean)
    white = np.random.default_rng(1).normal(0, 20, clean.shape)
    added = np.rint(np.clip(clean + white, 0, 255)).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "in" / "noisy.png"), added)
    plan = plan_jobs([str(tmp_path / "in")], str(tmp_path / "out"))
    report = DenoiseReport(tmp_path / "r.html", plan, {"model": "m"})
    assert denoise_files(plan, lambda _: lambda array: array, report=report) == 0
    (line,) = [line for line in capsys.readouterr().err.splitlines() if WORDS in line]
    assert "noisy.png" in line and "clean.png" not in line
    data = (tmp_path / "in" / "clean.png").read_bytes()
    denoise_stream(io.BytesIO(data), io.BytesIO(), lambda: lambda array: array, FileOptions())
    assert WORDS not in capsys.readouterr().err


@pytest.mark.parametrize("settings", [{"strength": 0.9}, {"chroma": 0.0}])
def test_noise_that_is_meant_to_remain_is_no_news(photos, tmp_path, settings, capsys):
    plan = plan_jobs([str(photos)], str(tmp_path / "out"))
    options = FileOptions(settings=settings)
    assert denoise_files(plan, lambda _: lambda array: array, options) == 0
    assert WORDS not in capsys.readouterr().err


def test_copies_are_no_news(photos, tmp_path, capsys):
    assert gradnet("denoise", photos, "--output", tmp_path / "out", "--strength=0") == 0
    assert capsys.readouterr().err == ""


def test_standard_input_too(photos, capsys):
    data = (photos / "1.png").read_bytes()
    for denoise, told in ((smooth, False), (lambda array: array, True)):
        denoise_stream(io.BytesIO(data), io.BytesIO(), lambda d=denoise: d, FileOptions())
        assert (f"note: {WORDS} in standard input: " in capsys.readouterr().err) is told


def test_the_report_shows_the_notes_of_each_file(tmp_path, capsys):
    """What standard error says of a file stands beside its picture and in the table."""
    (tmp_path / "in").mkdir()
    dark = (noisy(0, np.uint16) // 16).astype(np.uint16)
    cv2.imwrite(str(tmp_path / "in" / "dark.png"), dark)
    jpeg = cv2.imencode(".jpg", noisy(0))[1].tobytes()
    assert jpeg.endswith(b"\xff\xd9")
    (tmp_path / "in" / "open.jpg").write_bytes(jpeg[:-2])
    (tmp_path / "in" / "more.jpg").write_bytes(jpeg + b"something else")
    plan = plan_jobs([str(tmp_path / "in")], str(tmp_path / "out"))
    report = DenoiseReport(tmp_path / "r.html", plan, {"model": "m"})
    assert denoise_files(plan, lambda _: lambda array: array ^ 1, report=report) == 0
    page, told = (tmp_path / "r.html").read_text(), capsys.readouterr().err
    for text in (
        "uses only the darkest eighth of its 16-bit range",
        "the end mark of the JPEG is missing",
        "14 bytes behind the picture",
    ):
        assert text in told and page.count(text) == 2


def test_what_is_behind_transparent_pixels_does_not_count():
    before = noisy(20)
    alpha = np.zeros((96, 120, 1), np.uint8)
    alpha[40:64, 40:72] = 255
    after = np.where(alpha > 0, np.rint(np.clip(scene(), 0, 1) * 255), before).astype(np.uint8)
    assert Photo(before, "png", b"").remaining_noise(after) is not None
    assert Photo(np.concatenate([before, alpha], 2), "png", b"").remaining_noise(after) is None
