"""Model files and run folders of strangers: other types, absurd sizes, damage."""

import copy
import json
import os
import shutil
import tracemalloc
import zipfile

import h5py
import hostile_files
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_run import make_run

from gradnet_tf.denoiser import load_denoiser
from gradnet_tf.loading.load import model_info, resolve
from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.files import sha256_of

MEGABYTE = 10**6
#: What a number, a name or a list of a JSON file may be instead.
ODD = [-1, 0, 0.5, 10**6, 10**9, 10**30, 1e308, float("nan"), None, True, "x", "", [], [1], {}]
VALUES = st.sampled_from(ODD)
COUNT_LIMIT = settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


class Entries(dict):
    """Of an archive; not printed by Hypothesis."""

    def __repr__(self):
        return f"entries {list(self)}"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "my_run")


@pytest.fixture(scope="module")
def saved(run, tmp_path_factory):
    """The entries of a `.keras` file."""
    path = tmp_path_factory.mktemp("saved") / "model.keras"
    run[1].save(path)
    with zipfile.ZipFile(path) as archive:
        return Entries({name: archive.read(name) for name in archive.namelist()})


def leaves(value, place=()):
    """The places of all values in a JSON object, the containers among them."""
    yield place
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from leaves(value[key], (*place, key))


def changed(value, place, new):
    if not place:
        return new
    value = copy.deepcopy(value)
    inner = value
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = new
    return value


def refused(path, words=None):
    with pytest.raises(UserError, match=words) as caught:
        load_denoiser(str(path))
    assert len(str(caught.value).splitlines()) <= 3
    return str(caught.value)


def read_or_refused(path):
    try:
        load_denoiser(str(path))
    except UserError as error:
        assert 1 <= len(str(error).splitlines()) <= 3
    model_info(resolve(str(path)))


def little_memory(action):
    tracemalloc.start()
    try:
        action()
        assert tracemalloc.get_traced_memory()[1] < 60 * MEGABYTE
    finally:
        tracemalloc.stop()


def write(path, entries):
    path.write_bytes(hostile_files.archive(entries))
    return path


def network(saved, **numbers):
    """The configuration of the saved network with other numbers."""
    config = json.loads(saved["config.json"])
    config["config"] |= numbers
    return saved | {"config.json": json.dumps(config).encode()}


@pytest.mark.parametrize(
    "numbers",
    [{"filters": 10**9}, {"filters": 20_000}, {"num_modules": 10**6}, {"num_units": 10**5},
     {"num_modules": 1000, "num_units": 1000}, {"num_modules": 500}, {"filters": -1},
     {"reduction": 0}, {"scale": 10**6}, {"channels": -1}, {"channels": 10**9}],
)  # fmt: skip
def test_a_keras_file_of_an_absurd_network(saved, tmp_path, numbers):
    path = write(tmp_path / "a.keras", network(saved, **numbers))
    little_memory(lambda: refused(path))


def test_a_keras_file_of_more_weights_than_it_has_numbers(saved, tmp_path):
    path = write(tmp_path / "a.keras", network(saved, filters=512))
    refused(path, "declares more weights than the [0-9]+ numbers that the file holds")


NAMED = [
    {"module": "os", "class_name": "system", "config": {}, "registered_name": "system"},
    {"module": "keras.layers", "class_name": "Lambda", "config": {}, "registered_name": None},
    {"module": "keras.layers", "class_name": "TFSMLayer", "config": {"filepath": "/tmp"}},
    {"module": "keras_evil", "class_name": "Dense", "config": {}},
    {"module": ["keras"], "class_name": {}, "config": {}},
]


@pytest.mark.parametrize("named", NAMED)
def test_classes_are_checked_before_anything_is_built(saved, tmp_path, named):
    refused(write(tmp_path / "a.keras", network(saved, naive_denoiser=named)), "names the class")
    entries = saved | {"config.json": json.dumps(named).encode()}
    refused(write(tmp_path / "b.keras", entries), "names the class")


def test_json_of_megabytes_or_brackets(saved, tmp_path):
    config = json.loads(saved["config.json"])
    many = json.dumps(config | {"more": [config] * 3000}).encode()
    refused(write(tmp_path / "a.keras", saved | {"config.json": many}), "larger than 1024 kB")
    few = json.dumps(config | {"more": [config] * 200}).encode()
    refused(write(tmp_path / "a.keras", saved | {"config.json": few}), "declares more than")
    deep = b"[" * 100_000
    refused(write(tmp_path / "b.keras", saved | {"config.json": deep}), "nested too deep")
    refused(write(tmp_path / "c.keras", saved | {"config.json": b"3"}), "describes no network")
    without = {name: data for name, data in saved.items() if name != "config.json"}
    refused(write(tmp_path / "d.keras", without), "config.json")
    without = {name: data for name, data in saved.items() if not name.endswith(".h5")}
    refused(write(tmp_path / "e.keras", without))


def test_a_keras_file_with_a_wrong_checksum_or_cut_off(saved, tmp_path):
    whole = write(tmp_path / "a.keras", saved).read_bytes()
    for name in saved:
        data = bytearray(whole)
        data[data.index(saved[name][:40]) + 20] ^= 1
        (tmp_path / "a.keras").write_bytes(data)
        refused(tmp_path / "a.keras", "wrong checksum|Bad CRC-32|does not read")
    for size in (10, 100, len(whole) // 2, len(whole) - 5):
        (tmp_path / "a.keras").write_bytes(whole[:size])
        refused(tmp_path / "a.keras", "does not read")


@pytest.mark.parametrize("guard", sorted(hostile_files.hdf5_guards("", "", "")))
def test_weights_that_lie_elsewhere_or_are_declared_only(run, saved, tmp_path, guard):
    other, name = tmp_path / "other.h5", "_layer_checkpoint_dependencies"
    with h5py.File(other, "w") as file:
        file["numbers"] = np.zeros(8, np.uint8)
    (tmp_path / "a.h5").write_bytes(saved["model.weights.h5"])
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        hostile_files.hdf5_guards(tmp_path / "a.h5", other, f"{name}_more")[guard](file)
    entries = saved | {"model.weights.h5": (tmp_path / "a.h5").read_bytes()}
    path = write(tmp_path / "a.keras", entries)
    little_memory(lambda: refused(path, "does not read"))
    folder = tmp_path / "run"
    shutil.copytree(run[0], folder)
    manifest = json.loads((folder / "best/manifest.json").read_text())
    shutil.copy(tmp_path / "a.h5", folder / "best" / manifest["file"])
    manifest["sha256"] = sha256_of(tmp_path / "a.h5")
    (folder / "best/manifest.json").write_text(json.dumps(manifest))
    little_memory(lambda: refused(folder, "damaged, or no weights"))


@COUNT_LIMIT
@given(index=st.integers(0, 10**6), value=VALUES)
def test_any_change_of_a_keras_files_configuration(saved, tmp_path, index, value):
    config = json.loads(saved["config.json"])
    places = list(leaves(config))
    config = changed(config, places[index % len(places)], value)
    entries = saved | {"config.json": json.dumps(config).encode()}
    read_or_refused(write(tmp_path / "a.keras", entries))


@COUNT_LIMIT
@given(
    name=st.sampled_from(["config.json", "best/manifest.json"]),
    index=st.integers(0, 10**6),
    value=VALUES,
    with_naive=st.booleans(),
)
def test_any_change_of_a_runs_settings(run, saved, tmp_path, name, index, value, with_naive):
    folder = tmp_path / "run"
    if not folder.exists():
        shutil.copytree(run[0], folder)
    whole = (run[0] / name).read_text()
    content = json.loads(whole)
    if name == "config.json":
        content["train"] = {"sigma_min": 0.0, "sigma_max": 25.0}
        if with_naive:
            content["naive_model"] = json.loads(saved["config.json"])["config"]["naive_denoiser"]
    places = list(leaves(content))
    content = changed(content, places[index % len(places)], value)
    try:
        (folder / name).write_text(json.dumps(content))
        read_or_refused(folder)
    finally:
        (folder / name).write_text(whole)


@pytest.mark.parametrize("name", ["config.json", "best/manifest.json"])
@pytest.mark.parametrize("text", ["[" * 100_000, "", "3", "[]", "null", '"' + "x" * 2**21 + '"'])
def test_settings_of_a_run_that_are_none(run, tmp_path, name, text):
    folder = tmp_path / "run"
    shutil.copytree(run[0], folder)
    (folder / name).write_text(text)
    refused(folder)
    (folder / name).unlink()
    os.mkfifo(folder / name)
    refused(folder)  # and does not wait


def test_best_weights_lie_in_the_runs_folder(run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(run[0], folder)
    secret = shutil.copy(folder / "best" / os.listdir(folder / "best")[0], tmp_path / "secret")
    for name in ("../../secret", str(secret)):
        manifest = {"file": name, "sha256": sha256_of(secret)}
        (folder / "best/manifest.json").write_text(json.dumps(manifest))
        refused(folder, "names no file")
