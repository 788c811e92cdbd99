"""`save_to_preset` and `from_preset`: folders that can be shared, and their addresses on a hub."""

import hashlib
import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
import types
from pathlib import Path

import keras
import numpy as np
import pytest

from gradnet_tf import weights
from gradnet_tf.denoiser import Denoiser
from gradnet_tf.models import DnCNN, GradNet
from gradnet_tf.utils.errors import UserError
from gradnet_tf.weights import preset_folder
from gradnet_tf.weights.hub import fetch
from gradnet_tf.weights.hub_card import hub_card
from gradnet_tf.weights.preset_folder import read_folder

ROOT = Path(__file__).resolve().parents[2]
IMAGES = np.random.default_rng(4).random((1, 21, 18, 3), dtype=np.float32)
NAMES = ["README.md", "config.json", "metadata.json", "model.weights.h5"]


@pytest.fixture(scope="module")
def model():
    return GradNet.from_preset("gradnet_tiny")


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("presets") / "mine"
    model.save_to_preset(folder)
    return folder


@pytest.fixture
def copy(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "copy")


def test_a_folder_gives_the_same_network(model, saved):
    assert sorted(path.name for path in saved.iterdir()) == NAMES
    again = GradNet.from_preset(str(saved))
    np.testing.assert_array_equal(again(IMAGES), model(IMAGES))
    assert not again.naive_denoiser.trainable and again.trainable
    half = GradNet.from_preset(str(saved), precision="mixed_bfloat16")
    assert half.compute_dtype == "bfloat16"
    blank = GradNet.from_preset(str(saved), load_weights=False)
    assert not np.array_equal(blank(IMAGES), model(IMAGES))


def test_denoiser_and_the_model_flag_take_the_folder(model, saved):
    denoiser = Denoiser(str(saved))
    expected = np.clip(model(IMAGES), 0, 1)
    np.testing.assert_allclose(denoiser.denoise(IMAGES), expected, atol=1e-5)
    assert denoiser.source["kind"] == "preset"
    assert denoiser.source["trained_sigma"] == [0, 55]


def test_the_card_is_that_of_the_shipped_weights_while_they_are_unchanged(model, saved, tmp_path):
    card = weights.read_card("gradnet_tiny_color_blind")
    assert (saved / "README.md").read_text("utf-8") == hub_card(card)
    again = GradNet.from_preset(str(saved))
    again.save_to_preset(tmp_path / "same")
    assert (tmp_path / "same" / "README.md").read_text("utf-8") == hub_card(card)
    changed = again.get_weights()
    changed[0] = changed[0] + 0.01
    again.set_weights(changed)
    again.save_to_preset(tmp_path / "changed")
    text = (tmp_path / "changed" / "README.md").read_text("utf-8")
    assert "started from `gradnet_tiny_color_blind`" in text and "Scores: not measured" in text
    assert "card" not in json.loads((tmp_path / "changed" / "metadata.json").read_text())


def test_only_an_earlier_preset_is_replaced(model, copy, tmp_path):
    model.save_to_preset(copy)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text("{}")
    with pytest.raises(UserError, match="not a result of this command"):
        model.save_to_preset(tmp_path / "other")
    assert (tmp_path / "other" / "config.json").read_text() == "{}"


@pytest.mark.parametrize("earlier", [False, True])
def test_a_folder_whose_writing_was_interrupted_is_written_again(
    model, copy, tmp_path, monkeypatch, earlier
):
    folder = copy if earlier else tmp_path / "new"
    if earlier:
        (copy / "README.md").write_text("mine")

    def full(path, *_):
        raise OSError(28, "No space left on device", str(path))

    with monkeypatch.context() as disk:
        real = preset_folder.write_json
        disk.setattr(
            preset_folder,
            "write_json",
            lambda path, value: (full if path.name == "config.json" else real)(path, value),
        )
        with pytest.raises(OSError, match="No space"):
            model.save_to_preset(folder)
    with pytest.raises(UserError, match="was not written to its end|not a preset folder"):
        read_folder(folder)
    model.save_to_preset(folder)
    assert sorted(path.name for path in folder.iterdir()) == NAMES
    assert read_folder(folder).metadata.get("unfinished") is None
    assert (folder / "README.md").read_text().startswith("mine") == earlier


def test_damaged_and_foreign_folders_are_refused(copy, tmp_path):
    with pytest.raises(UserError, match="a GradNet, not a DnCNN.\nUse GradNet.from_preset"):
        DnCNN.from_preset(str(copy))
    with pytest.raises(UserError, match="no config.json and model.weights.h5"):
        GradNet.from_preset(str(tmp_path))
    config = json.loads((copy / "config.json").read_text())
    evil = json.dumps(config).replace('"class_name": "DnCNN"', '"class_name": "Lambda"')
    evil = evil.replace('"gradnet_tf>DnCNN"', "null")
    assert evil.count("Lambda") == 1
    (copy / "config.json").write_text(evil)
    with pytest.raises(UserError, match="'Lambda'.*\nNothing of it was loaded"):
        GradNet.from_preset(str(copy))
    (copy / "config.json").write_text(json.dumps(config))
    with open(copy / "model.weights.h5", "r+b") as file:
        file.seek(5000)
        file.write(b"\0\1\2\3")
    with pytest.raises(UserError, match="damaged or was replaced"):
        GradNet.from_preset(str(copy))
    with pytest.raises(UserError, match="damaged or was replaced"):
        Denoiser(str(copy))


@keras.saving.register_keras_serializable(package="test_preset_folder")
class OwnNaive(keras.Model):
    """A naive denoiser of somebody else's."""

    channels = 3

    def __init__(self, filters=4, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.conv = keras.layers.Conv2D(filters, 3, padding="same", activation="relu")
        self.last = keras.layers.Conv2D(3, 3, padding="same")

    def build(self, shape):
        self.conv.build(shape)
        self.last.build((*shape[:-1], self.filters))
        self.built = True

    def call(self, images):
        return images - self.last(self.conv(images))

    def get_config(self):
        return {**super().get_config(), "filters": self.filters}


def test_a_registered_class_of_ones_own_comes_back(tmp_path):
    model = GradNet(OwnNaive(), filters=4, num_modules=1, num_units=1)
    model.save_to_preset(tmp_path / "own")
    again = GradNet.from_preset(str(tmp_path / "own"))
    assert type(again.naive_denoiser) is OwnNaive
    np.testing.assert_array_equal(again(IMAGES), model(IMAGES))


@pytest.mark.parametrize("card", weights.list_weights(), ids=lambda card: card["name"])
def test_every_shipped_card_is_the_one_of_its_weights(card):
    assert weights.hub_card_path(card["name"]).read_text("utf-8") == hub_card(card)


def test_a_hub_reads_the_card():
    hub = pytest.importorskip("huggingface_hub")
    for card in weights.list_weights():
        data = hub.ModelCard(hub_card(card)).data
        assert data.library_name == "keras" and data.pipeline_tag == "image-to-image"
        values = {result.metric_value for result in data.eval_results}
        assert values == {v for levels in card["scores"].values() for v in levels.values()}


class Hub:
    """Stands in for huggingface_hub and kagglehub: serves the files of one folder."""

    def __init__(self, folder):
        self.folder, self.asked = folder, []

    def hf_hub_download(self, repo, name, revision=None):
        self.asked.append((repo, name, revision))
        if not (self.folder / name).is_file():
            raise OSError(f"404: {repo} has no {name}\nmore")
        return str(self.folder / name)

    def model_download(self, handle, path=None):
        return self.hf_hub_download(handle, path)


@pytest.fixture
def hub(copy, monkeypatch):
    hub = Hub(copy)
    for name in ("huggingface_hub", "kagglehub"):
        module = types.ModuleType(name)
        module.hf_hub_download, module.model_download = hub.hf_hub_download, hub.model_download
        monkeypatch.setitem(sys.modules, name, module)
    return hub


@pytest.mark.parametrize(
    ("address", "repo", "revision"),
    [
        ("hf://somebody/denoiser", "somebody/denoiser", None),
        ("hf://somebody/denoiser@v1.0", "somebody/denoiser", "v1.0"),
        ("kaggle://somebody/denoiser/keras/tiny/2", "somebody/denoiser/keras/tiny/2", None),
    ],
)
def test_an_address_on_a_hub(hub, model, address, repo, revision):
    found = GradNet.from_preset(address)
    np.testing.assert_array_equal(found(IMAGES), model(IMAGES))
    assert {(asked[0], asked[2]) for asked in hub.asked} == {(repo, revision)}
    # Nothing else of a repository is fetched, such as code.
    assert {asked[1] for asked in hub.asked} <= set(NAMES)
    assert Denoiser(address).source["kind"] == "preset"


def test_a_repository_without_a_card_loads(hub):
    (hub.folder / "README.md").unlink()
    assert GradNet.from_preset("hf://somebody/denoiser").built


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("hf://denoiser", "expected hf://USER/REPO"),
        ("hf://a/b/../../c", "expected hf://USER/REPO"),
        ("kaggle://somebody/denoiser", "expected kaggle://OWNER/MODEL/keras/VARIATION"),
    ],
)
def test_malformed_addresses_are_refused(hub, address, words):
    with pytest.raises(UserError, match=words):
        fetch(address)
    assert hub.asked == []


def test_what_cannot_be_fetched_is_one_message(hub):
    (hub.folder / "config.json").unlink()
    with pytest.raises(UserError, match="cannot be fetched: OSError: 404: a/b has no config.json"):
        fetch("hf://a/b")


@pytest.mark.parametrize("address", ["hf://a/b", "kaggle://a/b/keras/c"])
def test_the_missing_extra_is_named(monkeypatch, address):
    for name in ("huggingface_hub", "kagglehub"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UserError, match=r"pip install \"\.\[hub\]\""):
        GradNet.from_preset(address)


@pytest.fixture
def hub_server(copy, monkeypatch, tmp_path):
    """A server of the folder's files, as Hugging Face's hub answers."""
    pytest.importorskip("huggingface_hub")

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self):
            path = copy / self.path.split("/")[-1]
            there = path.is_file() and self.path.startswith("/somebody/denoiser/resolve/")
            data = path.read_bytes() if there else b""
            self.send_response(200 if there else 404)
            self.send_header("X-Repo-Commit", "0" * 40)
            self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            return data

        do_HEAD = answer  # noqa: N815

        def do_GET(self):
            self.wfile.write(self.answer())

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        # The package reads its variables when it is imported, so it runs in another process.
        yield {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_HOME": str(tmp_path)}
        server.shutdown()


def test_the_real_package_fetches_and_keeps_the_files(hub_server):
    code = "from gradnet_tf.weights.hub import fetch; print(fetch('hf://somebody/denoiser'))"
    env = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    env["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [env.get("PYTHONPATH")])])
    for more in ({}, {"HF_HUB_OFFLINE": "1"}):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**env, **hub_server, **more},
            capture_output=True,
            text=True,
            check=True,
        )
        folder = Path(done.stdout.strip())
        assert sorted(path.name for path in folder.iterdir()) == NAMES


def test_the_card_of_real_noise_alone_names_no_degradation():
    card = {**weights.read_card("gradnet_small_color_real"), "noise": "real"}
    text = hub_card(card)
    assert "Noise: a camera's" in text and "--degradation=" not in text.split("## ")[0]


def test_a_card_that_its_author_finished_stays(model, tmp_path, capsys):
    folder = tmp_path / "mine"
    model.save_to_preset(folder)
    changed = GradNet.from_preset(str(folder))
    changed.set_weights([each + 0.01 for each in changed.get_weights()])
    changed.save_to_preset(folder)
    (folder / "README.md").write_text("my own words")
    changed.save_to_preset(folder)
    assert (folder / "README.md").read_text() == "my own words"
    assert "was edited and is kept" in capsys.readouterr().err
    assert GradNet.from_preset(str(folder)) is not None


def test_a_call_that_was_killed_before_its_card_leaves_no_foreign_card(
    model, tmp_path, monkeypatch, capsys
):
    folder = tmp_path / "mine"
    model.save_to_preset(folder)
    first = (folder / "README.md").read_text()
    changed = GradNet.from_preset(str(folder))
    changed.set_weights([each + 0.01 for each in changed.get_weights()])

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as stopped:
        stopped.setattr(preset_folder, "atomic_write", killed)
        with pytest.raises(KeyboardInterrupt):
            changed.save_to_preset(folder)
    with pytest.raises(UserError, match="was not written to its end"):
        read_folder(folder)
    changed.save_to_preset(folder)
    assert (folder / "README.md").read_text() != first
    assert "was edited" not in capsys.readouterr().err
    # Killed between the card and the metadata.
    real = preset_folder.write_json

    def last(path, value):
        if "readme_sha256" in value:
            raise KeyboardInterrupt
        real(path, value)

    with monkeypatch.context() as stopped:
        stopped.setattr(preset_folder, "write_json", last)
        with pytest.raises(KeyboardInterrupt):
            model.save_to_preset(folder)
    model.save_to_preset(folder)
    assert (folder / "README.md").read_text() == first
    assert "was edited" not in capsys.readouterr().err
