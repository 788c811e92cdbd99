"""The browser demo without a browser: its files, its cutting of pictures, its server.

test_demo_web_page.py has the page itself, in a browser: `make web-demo-test`.
"""

import hashlib
import json
import re
import shutil
import subprocess
import threading
import urllib.request
from pathlib import Path
from urllib.error import HTTPError

import numpy as np
import pytest
from web_reference import crop_corners

import demo.web.build as build_module
from demo.web.build import build
from demo.web.serve import make_server
from gradnet_tf.images.image_files import write_image
from gradnet_tf.images.noise_survey import survey_noise
from gradnet_tf.tiling.tiler import attention_vectors, sampled_parts, spans
from gradnet_tf.utils.errors import UserError

PAGE = Path(__file__).resolve().parents[2] / "demo" / "web" / "page"
CARD = {
    "name": "tiny",
    "file": "tiny.tflite",
    "sha256": hashlib.sha256(b"network").hexdigest(),
    "tile": 64,
    "halo": 26,
    "inputs": {"serving_default": {"images": {"shape": [1, 116, 116, 3]}}, "attention": {}},
}


def in_node(code: str):
    """Returns the JSON that `code` prints as an ES module."""
    if shutil.which("node") is None:
        pytest.skip("Node.js is not installed")
    names = ("tiles", "picture", "survey", "engine")
    modules = {name: (PAGE / f"{name}.js").as_uri() for name in names}
    imports = "".join(f"import * as {name} from '{file}';\n" for name, file in modules.items())
    done = subprocess.run(
        ["node", "--input-type=module", "-"],
        input=imports + code,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def packages(tmp_path):
    """What `npm ci` would bring, as far as the page needs it."""
    core = tmp_path / "packages/@litertjs/core"
    for name in ("litert_wasm_internal", "litert_wasm_threaded_internal"):
        for suffix in (".js", ".wasm"):
            place = core / "wasm" / (name + suffix)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(name)
            place.with_name(f"litert_wasm_compat_internal{suffix}").write_text("compat")
    (core / "dist").mkdir()
    (core / "dist/index.js").write_text('import { createWasmLib } from "@litertjs/wasm-utils";\n')
    package = {"name": "@litertjs/core", "version": "0", "license": "Apache-2.0", "repository": {}}
    (core / "package.json").write_text(json.dumps(package))
    utilities = tmp_path / "packages/@litertjs/wasm-utils/dist"
    utilities.mkdir(parents=True)
    (utilities / "index.js").write_text("export const createWasmLib = 1;\n")
    return tmp_path / "packages"


@pytest.fixture
def card(tmp_path):
    path = tmp_path / "tiny_tile64.json"
    path.write_text(json.dumps(CARD))
    (tmp_path / CARD["file"]).write_bytes(b"network")
    return path


def test_the_page_names_no_other_host():
    files = [path for path in PAGE.rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {"index.html", "app.js", "worker.js", "style.css"}
    for path in files:
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"(?i)https?:|(src|href)=[\"']//|url\(\s*[\"']?//", text), path.name


def test_every_import_and_file_of_the_page_is_there():
    names = set()
    for path in PAGE.glob("*.js"):
        names |= set(re.findall(r"(?:from|import\() ?'\./([\w.]+)'", path.read_text("utf-8")))
    names |= set(re.findall(r"(?:href|src)=\"([\w.]+)\"", (PAGE / "index.html").read_text("utf-8")))
    assert "worker.js" not in names and "tiles.js" in names
    assert [name for name in sorted(names) if not (PAGE / name).is_file()] == []


def test_windows_are_those_of_the_library():
    cases = [
        (length, tile, halo, 2 if halo % 2 == 0 else 1)
        for tile, halo in [(64, 26), (256, 52), (16, 5), (8, 59)]
        for length in (1, 7, 64, 115, 116, 117, 360, 361, 511, 1000, 1001)
    ]
    found = in_node(
        f"const cases = {json.dumps(cases)};\n"
        "console.log(JSON.stringify(cases.map(c => tiles.spans(...c))));"
    )
    for case, ours in zip(cases, found, strict=True):
        theirs = [(span.start, span.first, span.last) for span in spans(*case, fixed=True)]
        assert [(span["start"], span["first"], span["last"]) for span in ours] == theirs, case


def test_crops_cover_the_picture_and_are_as_many_as_in_the_library():
    sizes = [(481, 321), (321, 481), (161, 160), (2000, 3000), (80, 80), (40, 300), (1, 1)]
    sizes += [(100, 100), (159, 159)]
    found = in_node(
        f"const sizes = {json.dumps(sizes)};\n"
        "console.log(JSON.stringify(sizes.map(([h, w]) => tiles.cropPlaces(w, h, 80))));"
    )
    for (height, width), places in zip(sizes, found, strict=True):
        corners = [(place["top"], place["left"]) for place in places]
        assert len(corners) >= 4
        assert corners == crop_corners(height, width, 80)
        if height * width > 4 * 80**2:
            blank = np.zeros((height, width, 1), np.float32)
            assert len(corners) == sum(len(part) for part in sampled_parts(blank))
        for top, left in corners:
            assert 0 <= top <= max(0, height - 80) and 0 <= left <= max(0, width - 80)


def test_crops_stand_for_the_picture_as_well_as_the_library_s():
    """The mean of a smooth picture: neither rule is further from the truth than a few per cent."""
    rows, columns = np.mgrid[0:700, 0:900].astype(np.float32)
    picture = (0.5 + 0.3 * np.sin(rows / 90) * np.cos(columns / 70) + rows / 3000)[..., None]
    ours = np.mean([picture[y : y + 80, x : x + 80].mean() for y, x in crop_corners(700, 900, 80)])
    (library,) = attention_vectors(picture, lambda part: [part.mean((1, 2), keepdims=True)])
    assert abs(ours - picture.mean()) < 0.02
    assert abs(ours - picture.mean()) <= abs(float(library.squeeze()) - picture.mean())


def test_the_survey_finds_what_the_library_finds():
    draw = np.random.default_rng(0)
    noisy = draw.integers(90, 160, (163, 205, 3), np.uint8)
    framed = np.full((240, 260, 3), 255, np.uint8)
    framed[60:130, 40:100] = noisy[:70, :60]
    narrow = noisy.copy()
    narrow[:, 40:] = 0
    page = np.full((120, 200, 3), 250, np.uint8)
    page[20:90:9, 30:170:4] = 10
    # Weak noise beside white, and strips that are too narrow to tell.
    weak = np.full((256, 256, 3), 255, np.uint8)
    weak[:, 64:] = np.rint(128 + draw.normal(0, 0.92, (256, 192, 3)))
    strip = np.zeros((400, 6, 3), np.uint8)
    strip[:300] = noisy[:, :6].repeat(2, 0)[:300]
    for number, picture in enumerate([noisy, framed, narrow, page, weak, strip]):
        rgba = np.dstack([picture, np.full(picture.shape[:2], 255, np.uint8)])
        height, width = picture.shape[:2]
        found = in_node(
            f"const [width, height] = {[width, height]};\n"
            f"const data = Uint8ClampedArray.from({rgba.ravel().tolist()});\n"
            "const found = survey.surveyNoise({width, height, data});\n"
            "const crops = survey.noisyPlaces(width, height, 80, found);\n"
            "console.log(JSON.stringify({...found, still: [...found.still], crops}));"
        )
        library = survey_noise(picture)
        assert found["isDrawing"] == library.is_drawing
        if number > 3:
            assert not found["isDrawing"]
            continue
        assert found["stillShare"] == pytest.approx(library.flat_share)
        still = np.array(found["still"], bool).reshape(found["rows"], found["columns"])
        if library.box == (slice(0, height), slice(0, width)):
            np.testing.assert_array_equal(still, library.still)
        if not found["isDrawing"] and found["stillShare"] > 0.05:
            side = found["crops"]["side"]
            assert side in (24, 40)
            for place in found["crops"]["places"]:
                top, left = place["top"] // 8, place["left"] // 8
                ends = -(-(place["top"] + side) // 8), -(-(place["left"] + side) // 8)
                assert still[top : ends[0], left : ends[1]].mean() <= 0.5


def test_mirrored_places_are_numpy_s_symmetric_padding():
    found = in_node(
        "console.log(JSON.stringify([1, 2, 5].map(n => "
        "Array.from({length: 17}, (_, i) => tiles.mirrored(i, n)))));"
    )
    for length, places in zip([1, 2, 5], found, strict=True):
        assert places == np.pad(np.arange(length), (0, 17 - length), mode="symmetric").tolist()


@pytest.mark.parametrize("name", ["photo.png", "photo.jpg", "photo.webp"])
def test_the_size_is_read_before_anything_is_decoded(tmp_path, name):
    write_image(tmp_path / name, np.zeros((37, 61, 3), np.uint8))
    found = in_node(
        "import fs from 'node:fs';\n"
        f"const bytes = new Uint8Array(fs.readFileSync({json.dumps(str(tmp_path / name))}));\n"
        "console.log(JSON.stringify([0, 12, 1e9].map("
        "n => picture.sizeInHeader(new DataView(bytes.slice(0, n).buffer)))));"
    )
    whole = None if name.endswith("webp") else {"width": 61, "height": 37}
    assert found == [None, None, whole]


def test_files_of_too_many_bytes_are_refused_by_name():
    (found,) = in_node(
        "const refused = file => picture.decode(file, {max_file_megabytes: 200})"
        ".catch(error => error.message);\n"
        "console.log(JSON.stringify([await refused({name: 'film.mov', size: 3e9})]));"
    )
    assert "film.mov has 3000 MB" in found and "up to 200 MB" in found


def test_build_puts_the_page_together(tmp_path, packages, card):
    output = tmp_path / "out" / "page"
    for place in (card, tmp_path):  # a second time replaces the first
        build(place, output, packages)
    config = json.loads((output / "config.json").read_text())
    assert config["card"] == f"models/{card.name}" and config["max_megapixels"] == 40
    for name in ("index.html", config["card"], "models/tiny.tflite", config["sample"]):
        assert (output / name).is_file(), name
    assert 'from "./wasm-utils.js"' in (output / "litert/core.js").read_text()
    assert (output / "litert/wasm/litert_wasm_threaded_internal.wasm").is_file()
    assert "Apache License" in (output / "LICENSE").read_text()
    assert json.loads((output / "litert/NOTICE.json").read_text())["license"] == "Apache-2.0"
    assert [path.name for path in output.parent.iterdir()] == ["page"]


def test_build_refuses_what_is_no_card_and_leaves_foreign_folders_alone(tmp_path, packages, card):
    with pytest.raises(UserError, match="no such file"):
        build(tmp_path / "none.json", tmp_path / "page", packages)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "letters.txt").write_text("dear")
    with pytest.raises(UserError, match="other files"):
        build(card, foreign, packages)
    assert (foreign / "letters.txt").read_text() == "dear"
    with pytest.raises(UserError, match="npm ci"):
        build(card, tmp_path / "page", tmp_path / "nowhere")
    card.with_name("other_tile256.json").write_text(json.dumps(CARD))
    with pytest.raises(UserError, match="one card.*other_tile256.json, tiny_tile64.json"):
        build(tmp_path, tmp_path / "page", packages)
    card.write_text(json.dumps({**CARD, "tile": None, "format": "tflite_float32"}))
    with pytest.raises(UserError, match="fixed tile.*tflite_float32"):
        build(card, tmp_path / "page", packages)
    assert not (tmp_path / "page").exists()


def test_the_server_isolates_the_page_and_serves_its_kinds_of_files(tmp_path):
    (tmp_path / "folder").mkdir()
    for name in ("index.html", "app.js", "run.wasm", "folder/secret.txt"):
        (tmp_path / name).write_text("x")
    with make_server(tmp_path) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/"
        for name, kind in [("", "text/html"), ("app.js", "text/javascript"), ("run.wasm", None)]:
            with urllib.request.urlopen(address + name, timeout=10) as reply:
                headers = reply.headers
            assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
            assert headers["Cross-Origin-Embedder-Policy"] == "require-corp"
            assert "default-src 'self'" in headers["Content-Security-Policy"]
            assert headers["Content-Type"] == (kind or "application/wasm")
        with pytest.raises(HTTPError) as refused:  # folders are not listed
            urllib.request.urlopen(address + "folder/", timeout=10)
        refused.value.close()
        assert refused.value.code == 404
        assert refused.value.headers["Cross-Origin-Embedder-Policy"] == "require-corp"
        with pytest.raises(UserError, match="--port"):
            make_server(tmp_path, port=server.server_port)
        server.shutdown()
    with pytest.raises(UserError, match="index.html"):
        make_server(tmp_path / "folder")


@pytest.mark.parametrize("port", [80_000, -1])
def test_a_port_that_is_none_is_refused(tmp_path, port):
    (tmp_path / "index.html").write_text("")
    with pytest.raises(UserError, match=f"--port={port}: .* Choose another"):
        make_server(tmp_path, port=port)


RUN = {"config.json": '{"preset": "gradnet_tiny", "train": {}}', "checkpoints/step-1/w.h5": "x"}
SETTINGS = {
    "config.json": '{"card": "models/mine.json", "sample": "sample.png"}',
    "thesis.tex": "x",
}


def contents(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.mark.parametrize("files", [RUN, SETTINGS, {"config.json": "{}"}])
def test_a_folder_with_a_config_json_of_its_own_is_no_page(
    tmp_path, packages, card, files, monkeypatch
):
    monkeypatch.setattr(build_module, "_copy_runtime", lambda *_: pytest.fail("work was done"))
    output = tmp_path / "mine"
    for name, text in files.items():
        (output / name).parent.mkdir(parents=True, exist_ok=True)
        (output / name).write_text(text)
    before = contents(output)
    with pytest.raises(UserError, match="other files"):
        build(card, output, packages)
    assert contents(output) == before


@pytest.mark.parametrize("name", ["notes.txt", "index.html", "models/tiny.tflite"])
@pytest.mark.parametrize("manifest", [True, False])
def test_what_somebody_put_into_a_page_stays(tmp_path, packages, card, name, manifest):
    output = tmp_path / "page"
    build(card, output, packages)
    if not manifest:
        (output / ".gradnet-files.json").unlink()
        build(card, output, packages)  # a page of an earlier version is replaced
    (output / name).write_text("mine")
    before = contents(output)
    with pytest.raises(UserError, match=f"other files.*{name}"):
        build(card, output, packages)
    assert contents(output) == before
    (output / name).unlink()
    build(card, output, packages)


def test_a_page_is_not_built_over_its_own_card(tmp_path, packages, card):
    output = tmp_path / "page"
    build(card, output, packages)
    with pytest.raises(UserError, match="inputs are never deleted"):
        build(output / "models", output, packages)
    assert (output / "models/tiny.tflite").read_bytes() == b"network"


def test_a_folder_that_fills_while_the_page_is_built_is_left_alone(
    tmp_path, packages, card, monkeypatch
):
    output = tmp_path / "page"
    write = build_module.write_noisy_photo

    def meanwhile(*arguments, **more):
        output.mkdir()
        (output / "letters.txt").write_text("dear")
        return write(*arguments, **more)

    monkeypatch.setattr(build_module, "write_noisy_photo", meanwhile)
    with pytest.raises(UserError, match="letters.txt"):
        build(card, output, packages)
    assert contents(output) == {"letters.txt": b"dear"}


def test_what_was_cancelled_does_not_run_whenever_it_was():
    """Cancelled while the network is loaded, while it works, and not at all; then after a failure.

    The stand-in for a worker answers like worker.js, but denoises in 20 ms.
    """
    found = in_node(
        """
        let made = 0, dead = 0, fails = false;
        globalThis.self ??= globalThis;
        globalThis.document = {baseURI: 'http://localhost/'};
        globalThis.Worker = class {
          constructor() { made++; }
          terminate() { dead++; }
          async postMessage(data) {
            const wait = ms => new Promise(resolve => setTimeout(resolve, ms));
            const say = message => this.onmessage({data: message});
            if (data.kind === 'load') {
              await wait(20);
              say({kind: 'loaded', card: {}, threads: 1});
            }
            if (data.kind === 'cancel') this.cancelled = true;
            if (data.kind !== 'denoise') return;
            if (fails) return say({kind: 'failed', message: 'no memory'});
            this.cancelled = false;
            await wait(20);
            say({kind: this.cancelled ? 'cancelled' : 'finished'});
          }
        };
        const small = () => ({width: 1, height: 1, data: new Uint8ClampedArray(4)});
        const run = machine => machine.denoise(small(), () => {}, () => {});
        const one = new engine.Engine({card: 'c', runtime: 'r', threads: 1});
        const results = [];
        let work = run(one);
        one.cancel();  // the network is still being loaded
        results.push(await work);
        work = run(one);
        await new Promise(resolve => setTimeout(resolve, 5));
        one.cancel();
        results.push(await work);
        results.push(await run(one));
        fails = true;
        results.push(await run(one).catch(error => error.message));
        fails = false;
        results.push(await run(one));
        console.log(JSON.stringify({results, made, dead}));
        """
    )
    assert found == {"results": [False, False, True, "no memory", True], "made": 2, "dead": 1}


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"images": {"shape": [1, 116, 116, 1]}}, "for color networks.*Received: 1 channels"),
        ({"images": {"shape": [1, 116, 116, 3]}, "sigma": {}}, "told the level"),
    ],
)
def test_networks_that_the_page_cannot_use_are_refused(tmp_path, packages, card, inputs, words):
    changed = {**CARD, "inputs": {"serving_default": inputs, "attention": {}}}
    card.write_text(json.dumps(changed))
    with pytest.raises(UserError, match=words):
        build(card, tmp_path / "out", packages)


@pytest.mark.parametrize(
    "change",
    [
        {"file": "../tiny.tflite"},
        {"file": ""},
        {"file": "a/b.tflite"},
        {"sha256": "0" * 64},
        {"inputs": {"serving_default": [], "attention": {}}},
        {"inputs": {"serving_default": {"images": {"shape": []}}, "attention": {}}},
    ],
)
def test_a_card_that_does_not_fit_its_file_is_refused(tmp_path, packages, card, change):
    card.write_text(json.dumps({**CARD, **change}))
    with pytest.raises(UserError, match=f"--card={card}: "):
        build(card, tmp_path / "page", packages)


def test_a_network_s_name_may_hold_letters_that_mean_something_in_addresses(
    tmp_path, packages, card
):
    odd = card.with_name("net#2 50%25?.json")
    odd.write_text(json.dumps({**CARD, "file": "net#2.tflite"}))
    (tmp_path / "net#2.tflite").write_bytes(b"network")
    output = tmp_path / "page"
    for _ in range(2):
        build(odd, output, packages)
    config = json.loads((output / "config.json").read_text())
    address = urllib.parse.urlsplit(f"http://host/{config['card']}")
    assert (output / urllib.parse.unquote(address.path[1:])).read_bytes() == odd.read_bytes()
    assert "new URL(encodeURIComponent(card.file), cardUrl)" in (PAGE / "network.js").read_text()


@pytest.mark.parametrize("alpha", [0, 255])
def test_a_canvas_that_keeps_nothing_is_refused(alpha):
    """As Safari's above their limits."""
    found = in_node(
        f"const kept = {alpha};\n"
        "const context = {fillRect() {}, clearRect() {}, "
        "getImageData: () => ({data: [255, 255, 255, kept]})};\n"
        "let told = null;\n"
        "try { picture.requireCanvas(context, 5712, 4284); } "
        "catch (error) { told = error instanceof picture.Refused ? error.message : 'other'; }\n"
        "console.log(JSON.stringify([told]));"
    )
    assert found == (
        [None] if alpha else ["This browser has no memory left for a picture of this size."]
    )
