"""`gradnet app`: what the page computes, and the page in headless Chromium at three sizes.

The page itself needs the extra [app]; the browser also Playwright and Chromium. What is missing is
skipped.
"""

import os
import shutil
import stat
import sys
import types
import urllib.request
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from gradnet_tf import weights as shipped
from gradnet_tf.cli.main import main
from gradnet_tf.denoiser import Denoiser, Strength
from gradnet_tf.images.photo_files import read_photo, upright
from gradnet_tf.steering import app_page
from gradnet_tf.steering.app_page import CROP, OVERVIEW, open_photo, overview, start

SIZES = ((1400, 900), (820, 1100), (390, 844))
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)


@pytest.fixture(scope="module")
def denoiser():
    return Denoiser("gradnet_tiny")


@pytest.fixture
def photo(tmp_path):
    """A noisy JPEG that a camera held upright, 620×700 as stored, shown 700×620."""
    y, x = np.mgrid[:620, :700].astype(np.float32) / 700
    clean = np.stack([x, y, 1 - x], -1) * 200 + 20
    noisy = clean + np.random.default_rng(0).normal(0, 20, clean.shape)
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Camera"
    image = Image.fromarray(np.clip(np.rint(noisy), 0, 255).astype(np.uint8))
    image.save(tmp_path / "photo.jpg", quality=98, subsampling=0, exif=exif)
    return tmp_path / "photo.jpg"


def test_sliders_blend_one_result_and_the_saved_file_keeps_its_metadata(photo, denoiser, tmp_path):
    calls = []
    opened, text = open_photo(photo, denoiser, lambda done, total: calls.append((done, total)))
    assert "photo.jpg" in text and "620 × 700" in text and denoiser.name in text
    assert calls and calls[-1][0] == calls[-1][1]
    before, after = opened.crop(Strength(), 0.0)
    assert before.shape == after.shape == (CROP, CROP, 3) and before.dtype == np.uint8
    same, unchanged = opened.crop(Strength(0.0), 0.0)
    np.testing.assert_array_equal(same, unchanged)
    half = opened.crop(Strength(0.5), 0.0)[1].astype(int)
    assert np.abs(half - (before.astype(int) + after) / 2).max() <= 1
    assert max(overview(opened.photo, opened.orientation).shape) == OVERVIEW
    opened.center = (0, 0)  # a click in the corner
    np.testing.assert_array_equal(
        opened.crop(Strength(), 0.0)[0], upright(opened.photo.pixels, 6)[:CROP, :CROP]
    )
    saved = opened.save(tmp_path, Strength(), 0.0)
    assert saved.name == "photo_denoised.jpg"
    expected = denoiser(read_photo(photo).pixels).astype(int)
    assert np.abs(read_photo(saved).pixels - expected).mean() < 3  # JPEG
    with Image.open(saved) as image:
        assert image.getexif()[0x010F] == "Camera" and image.getexif()[0x0112] == 6


@pytest.mark.parametrize(
    ("kind", "weights"),
    [
        ("white", shipped.DEFAULT),
        ("camera", shipped.CAMERA),
        ("gray", shipped.GRAY),
        ("given", "gradnet_tiny_color_blind"),
    ],
)
def test_the_page_names_the_weights_that_were_used(photo, tmp_path, denoiser, kind, weights):
    pixels = np.asarray(Image.open(photo))
    if kind == "camera":  # Developed: noise that is smooth over some pixels.
        noise = np.random.default_rng(2).normal(0, 40, pixels.shape).astype(np.float32)
        clean = cv2.GaussianBlur(pixels.astype(np.float32), (0, 0), 8)
        pixels = np.clip(clean + cv2.GaussianBlur(noise, (0, 0), 1.0), 0, 255).astype(np.uint8)
    Image.fromarray(pixels[..., 0] if kind == "gray" else pixels).save(tmp_path / "a.png")
    auto = denoiser if kind == "given" else Denoiser("auto")
    _, text = open_photo(tmp_path / "a.png", auto)
    assert f"Model: `{weights} (" in text


def test_without_gradio_the_extra_is_named(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert main(["app"]) == 2
    assert '".[app]"' in capsys.readouterr().err


@pytest.mark.parametrize(("flags", "most"), [([], 200.0), (["--max-megapixels=0.1"], 0.1)])
def test_the_command_hands_on_how_large_photographs_may_be(monkeypatch, flags, most):
    given = {}
    monkeypatch.setitem(sys.modules, "gradio", types.ModuleType("gradio"))
    monkeypatch.setattr(app_page, "start", lambda *_, **options: given.update(options))
    assert main(["app", "--model=gradnet_tiny", *flags]) == 0
    assert given == {"max_megapixels": most}


@pytest.mark.parametrize("flag", ["--max-megapixels=-1", "--max-megapixels=0", "--port=-5"])
def test_numbers_that_cannot_be_are_refused(flag, capsys):
    with pytest.raises(SystemExit) as left:
        main(["app", flag])
    assert left.value.code == 2 and flag.partition("=")[0] in capsys.readouterr().err


@pytest.mark.filterwarnings("default")
def test_a_photograph_above_the_limit_is_refused(denoiser, photo):
    gradio = pytest.importorskip("gradio")
    functions = app_page.build_page(denoiser, 0.1).fns.values()
    (seen,) = (each.fn for each in functions if getattr(each.fn, "__name__", "") == "seen")
    with pytest.raises(gradio.Error, match="--max-megapixels"):
        seen(photo)


@pytest.fixture(scope="module")
def page(denoiser):
    pytest.importorskip("gradio")
    page = start(denoiser, None, open_browser=False, wait=False)
    yield page.local_url
    page.close()


@pytest.mark.filterwarnings("default")
def test_the_page_is_for_this_computer_only(page):
    assert page.startswith("http://127.0.0.1:")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    assert opener.open(page).status == 200


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_in_a_browser(page, photo, size, tmp_path):
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("there is no Chromium")
    with playwright.sync_playwright() as start_browser:
        browser = start_browser.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--no-proxy-server"]
        )
        window = browser.new_page(viewport=dict(zip(("width", "height"), size, strict=True)))
        asked, errors = [], []
        window.on("request", lambda request: asked.append(request.url))
        window.on("pageerror", lambda error: errors.append(str(error)))
        window.goto(page)
        upload = "#photograph input[type=file]"
        window.wait_for_selector(upload, state="attached")
        window.set_input_files(upload, photo)
        window.wait_for_selector("#crop img", timeout=120_000)
        first = window.locator("#crop img").last.get_attribute("src")
        slider = window.locator("input[type=range]").first
        slider.fill("0")
        slider.dispatch_event("input")
        window.wait_for_function(
            "first => [...document.querySelectorAll('#crop img')].at(-1).src !== first", arg=first
        )
        window.click("#save")
        window.wait_for_selector("#result a[download]")
        with window.expect_download() as download:
            window.locator("#result a[download]").last.click()
        download.value.save_as(tmp_path / "saved.jpg")
        # No part of the page is wider than the window.
        width = window.evaluate("document.documentElement.scrollWidth")
        browser.close()
    assert width <= size[0] and errors == []
    np.testing.assert_array_equal(
        read_photo(tmp_path / "saved.jpg").pixels.shape, read_photo(photo).pixels.shape
    )
    # Nothing of it leaves the computer, and nothing is fetched from elsewhere.
    assert {url.split("/")[2] for url in asked if url.startswith("http")} == {page.split("/")[2]}


def test_a_jpeg_that_is_called_png_is_saved(photo, denoiser, tmp_path):
    wrong = photo.rename(tmp_path / "photo.png")
    saved = open_photo(wrong, denoiser)[0].save(tmp_path, Strength(), 0.0)
    assert saved.name == "photo_denoised.png" and saved.read_bytes().startswith(b"\xff\xd8")


@pytest.mark.filterwarnings("default")
def test_a_second_photograph_is_denoised_although_the_first_one_still_is(denoiser):
    pytest.importorskip("gradio")
    functions = app_page.build_page(denoiser).fns.values()
    (opened,) = (each for each in functions if getattr(each.fn, "__name__", "") == "opened")
    assert opened.trigger_mode == "always_last"


@pytest.mark.filterwarnings("default")
def test_a_proxy_does_not_matter_and_pictures_lie_in_a_private_folder(denoiser, monkeypatch):
    pytest.importorskip("gradio")
    for name in ("HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy", "GRADIO_TEMP_DIR"):
        monkeypatch.setenv(name, "example.org")  # so that it is put back
    monkeypatch.delenv("GRADIO_TEMP_DIR")
    page = start(denoiser, None, open_browser=False, wait=False)
    folder = Path(os.environ["GRADIO_TEMP_DIR"])
    assert page.GRADIO_CACHE == str(folder) and stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert os.environ["NO_PROXY"] == "example.org,127.0.0.1,localhost"
    page.close()
    page.own_folder.cleanup()
    assert not folder.exists()
