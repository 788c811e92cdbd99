"""The page in headless Chromium: what comes back is judged against the clean photograph.

`make web-demo-test` builds the page and names its folder in GRADNET_WEB_PAGE; the tests need
Node.js, the packages of demo/web/package.json and Chromium. GRADNET_WEB_VISIT keeps the
screenshots and what was downloaded.
"""

import functools
import http.server
import json
import os
import re
import shutil
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest
from web_reference import denoise_in_windows

from datasets.commands.noisy_photo import noisy_uint8
from datasets.sets.catalog import find_dataset
from demo.web.build import PACKAGES
from demo.web.serve import make_server
from gradnet_tf.denoiser import load_denoiser
from gradnet_tf.images.image_files import read_image, write_image

if "GRADNET_WEB_PAGE" not in os.environ:
    pytest.skip("GRADNET_WEB_PAGE is not set: see make web-demo-test", allow_module_level=True)

SIGMA = 25.0
#: Browsers come under several names.
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
TIMEOUT = 600


def psnr(one, other):
    error = np.mean((one.astype(float) - other.astype(float)) ** 2)
    return np.inf if error == 0 else 10 * np.log10(255**2 / error)


def serve(server):
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://localhost:{server.server_port}/"


@pytest.fixture(scope="module")
def page():
    folder = Path(os.environ["GRADNET_WEB_PAGE"])
    if not (folder / "config.json").is_file():
        pytest.fail(f"GRADNET_WEB_PAGE={folder}: no page is built there; run make web-demo-test")
    return folder


@pytest.fixture(scope="module")
def card(page):
    name = json.loads((page / "config.json").read_text(encoding="utf-8"))["card"]
    return page / name, json.loads((page / name).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def pictures():
    images = find_dataset("sample", None)
    clean = images.load(0)
    noisy = noisy_uint8(clean, SIGMA, 0, images.names[0])
    wide = np.concatenate([noisy] * 4, axis=1)
    grey = noisy[:90, :120, :1].repeat(3, axis=-1)
    return {
        "clean": clean,
        "noisy": noisy,
        "small": noisy[100:131, 100:137],
        "dot": noisy[:1, :1],
        "grey": grey,
        "large": np.concatenate([wide] * 4),
    }


@pytest.fixture(scope="module")
def found(page, pictures, tmp_path_factory):
    """Everything the visit wrote down; its folder is `found["folder"]`."""
    folder = Path(os.environ.get("GRADNET_WEB_VISIT") or tmp_path_factory.mktemp("visit"))
    folder = folder.resolve()  # the driver starts in another folder
    folder.mkdir(parents=True, exist_ok=True)
    files = {name: str(folder / f"{name}.png") for name in pictures}
    for name, path in files.items():
        write_image(path, pictures[name])
    broken = tmp_path_factory.mktemp("broken") / "page"
    shutil.copytree(page, broken)
    shutil.rmtree(broken / "models")
    plain = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(page))
    servers = [
        make_server(page),
        make_server(broken),
        http.server.ThreadingHTTPServer(("127.0.0.1", 0), plain),
    ]
    addresses = [serve(server) for server in servers]
    job = dict(zip(("page", "brokenPage", "pageWithoutHeaders"), addresses, strict=True))
    job |= {"chromium": CHROMIUM, "folder": str(folder), "files": files, "timeout": TIMEOUT}
    (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
    driver = Path(__file__).with_name("web_visit.mjs")
    done = subprocess.run(
        ["node", str(driver), str(folder / "job.json")],
        cwd=PACKAGES.parent,
        capture_output=True,
        text=True,
        timeout=3 * TIMEOUT,
        check=False,
    )
    for server in servers:
        server.shutdown()
        server.server_close()
    assert done.returncode == 0, done.stderr
    found = json.loads((folder / "found.json").read_text(encoding="utf-8"))
    return {**found, "folder": folder, "origins": addresses}


def result(found, name):
    return read_image(found["folder"] / name)


def test_the_photograph_comes_back_denoised(found, pictures, card):
    """Against the clean photograph, and against Keras on the same eight-bit file."""
    clean, noisy, denoised = pictures["clean"], pictures["noisy"], result(found, "denoised.png")
    assert denoised.shape == clean.shape
    keras = load_denoiser(card[1]["name"])(noisy)
    print(
        f"PSNR noisy {psnr(noisy, clean):.2f}, page {psnr(denoised, clean):.2f}, "
        f"gradnet denoise {psnr(keras, clean):.2f}, page to gradnet {psnr(denoised, keras):.2f} dB"
    )
    assert psnr(denoised, clean) > psnr(noisy, clean) + 7
    allowed = 0.2 if "int8" in card[1]["file"] else 0.05
    assert psnr(keras, clean) - psnr(denoised, clean) < allowed
    assert psnr(denoised, keras) > 45


def test_the_page_computes_what_litert_computes_in_python(found, pictures, card):
    """The same file, the same windows and crops, written a second time in Python."""
    for name, file in [("noisy", "denoised.png"), ("small", "small_denoised.png")]:
        expected = denoise_in_windows(card[0], pictures[name])
        agreement = psnr(result(found, file), expected)
        print(f"{name}: page to LiteRT in Python {agreement:.2f} dB")
        # Both are rounded to eight bits: what lies near a half goes either way.
        assert agreement > 70


def test_strength_blends_and_nothing_is_nothing(found, pictures):
    noisy, full = pictures["noisy"].astype(float), result(found, "denoised.png").astype(float)
    np.testing.assert_array_equal(result(found, "nothing.png"), pictures["noisy"])
    half = result(found, "half.png").astype(float)
    assert np.abs(half - (noisy + full) / 2).max() <= 0.5


def test_jpeg_is_close_to_png(found):
    png, jpeg = result(found, "denoised.png"), result(found, "denoised.jpg")
    assert jpeg.shape == png.shape and psnr(png, jpeg) > 32
    assert (found["folder"] / "denoised.jpg").read_bytes()[:2] == b"\xff\xd8"
    assert found["name"] == "noisy_denoised.png"


def test_progress_was_shown(found):
    texts = found["progress"]
    assert any(re.search(r"Analyzing the picture: \d+ of \d+ crops · \d+ s left", t) for t in texts)
    tiles = [re.match(r"(\d+) of (\d+) tiles · [\d.]+ MP/s · \d+ s left", t) for t in texts]
    counts = [int(match[1]) for match in tiles if match]
    assert counts == sorted(counts) and len(set(counts)) >= 2
    assert re.search(r"noisy.png: \d+×\d+ pixels in [\d.]+ s", found["summary"])


@pytest.mark.parametrize("name", ["small", "dot", "grey"])
def test_small_and_gray_pictures_work(found, pictures, name):
    denoised = result(found, f"{name}_denoised.png")
    assert denoised.shape == pictures[name].shape
    if name == "grey":
        assert (denoised == denoised[..., :1]).all()
        assert not np.array_equal(denoised, pictures[name])


def test_what_cannot_be_denoised_is_named_and_changes_nothing(found):
    assert "notes.txt is not a picture that this browser reads" in found["wrong"]
    assert "bomb.png has 30000×30000 pixels" in found["tooLarge"]
    assert found["stillThere"]


def test_cancel_stops_and_the_next_picture_goes_on(found):
    assert "cancelled after" in found["cancelled"]
    assert found["afterCancel"] == {"png": False, "again": True}
    assert not found["alertAtEnd"]


def test_before_and_after_by_keyboard_and_pointer(found, pictures):
    assert found["splitByKey"] == "51 %"
    assert found["splitByPointer"] == "25 %"
    assert found["actualWidth"] == pytest.approx(pictures["noisy"].shape[1], abs=1)


def test_nothing_scrolls_sideways_on_a_phone(found):
    assert found["phoneOverflow"] <= 0


def test_without_the_headers_one_thread_gives_the_same(found):
    assert "with 1 thread (served without COOP and COEP" in found["aboutPlain"]
    assert "served without" not in found["about"]
    small, plain = result(found, "small_denoised.png"), result(found, "small_plain.png")
    assert psnr(small, plain) > 70


def test_browsers_and_servers_that_lack_something_are_reported(found):
    assert "This browser has no WebAssembly" in found["noWebAssembly"]
    assert "The network cannot be loaded" in found["noModel"] and "404" in found["noModel"]


def test_nothing_is_asked_of_other_hosts(found):
    asked = [url for url in found["requests"] if not url.startswith(("data:", "blob:"))]
    assert asked
    assert [url for url in asked if not url.startswith(tuple(found["origins"]))] == []


def test_the_console_stays_free_of_errors(found):
    # LiteRT writes its notes where browsers take them for errors.
    notes = ("INFO:", "WARNING:")
    errors = found["errors"][: found["expectedErrorsFrom"]]
    assert [error for error in errors if not error.startswith(notes)] == []


def test_packages_are_those_of_the_lock_file():
    lock = json.loads((PACKAGES.parent / "package-lock.json").read_text(encoding="utf-8"))
    for name, entry in lock["packages"].items():
        if name:
            package = json.loads((PACKAGES.parent / name / "package.json").read_text())
            assert package["version"] == entry["version"]
