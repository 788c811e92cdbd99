"""Strangers' containers: bounded by what is decoded, and nothing outside of the file is read."""

import contextlib
import os
import socket
import zipfile

import h5py
import hostile_files
import numpy as np
import pytest
from matlab_case import new_hdf5, stamp, write_dnd, write_nyuv2

from datasets.sets.catalog import find_dataset
from gradnet_tf.utils.containers import (
    Budget,
    count_numbers,
    open_archive,
    parse_json,
    read_json,
    read_regular,
)
from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.matlab_arrays import array_info, read_array

GUARDS = sorted(hostile_files.hdf5_guards("", "", ""))


@pytest.fixture
def other(tmp_path):
    """A file of the same machine that nobody asked to read."""
    path = tmp_path / "secret.h5"
    with h5py.File(path, "w") as file:
        file["numbers"] = np.arange(8, dtype=np.uint8)
    return path


def guarded_file(path, other, name, guard):
    with new_hdf5(path) as file:
        hostile_files.hdf5_guards(path, other, name)[guard](file)
    stamp(path)
    return path


@pytest.mark.parametrize("guard", GUARDS)
def test_arrays_that_lie_elsewhere_or_are_more_than_they_seem(tmp_path, other, guard):
    path = guarded_file(tmp_path / "a.mat", other, "x", guard)
    with pytest.raises(UserError, match="damaged, truncated or not a MATLAB file"):
        read_array(path, "x")
    if guard != "unwritten":  # Its shape is no secret, and tells that it is too large.
        with pytest.raises(UserError):
            array_info(path, "x")


@pytest.mark.parametrize("guard", GUARDS)
@pytest.mark.parametrize("which", ["info", "image", "nyuv2"])
def test_sets_of_images_have_the_same_guards(tmp_path, other, guard, which):
    if which == "nyuv2":
        write_nyuv2(tmp_path)
        path, name, dataset = tmp_path / "nyu_depth_v2_labeled.mat", "images", "nyuv2"
    else:
        write_dnd(tmp_path / "dnd", [[(1, 1, 8, 8)] * 20])
        path = tmp_path / "dnd" / ("info.mat" if which == "info" else "images_srgb/0001.mat")
        name, dataset = "InoisySRGB" if which == "image" else "info/boundingboxes", "dnd"
    with h5py.File(path, "r+") as file:
        del file[name]
        hostile_files.hdf5_guards(path, other, name)[guard](file)
    with pytest.raises(UserError) as caught:
        found = find_dataset(dataset, tmp_path)
        found.load(0) if which == "nyuv2" else found.noisy(0)
    assert len(str(caught.value).splitlines()) <= 3


@pytest.mark.parametrize("guard", GUARDS)
def test_weights_have_the_same_guards(tmp_path, other, guard):
    path = guarded_file(tmp_path / "a.weights.h5", other, "kernel", guard)
    with pytest.raises(ValueError):
        count_numbers(path)


def test_numbers_of_weights_are_counted(tmp_path):
    path = tmp_path / "a.weights.h5"
    with h5py.File(path, "w") as file:
        file["layers/conv/vars/0"] = np.zeros((3, 3, 4, 4), np.float32)
        file["layers/conv/vars/1"] = np.zeros(4, np.float16)
        file.create_group("layers/relu/vars")
    assert count_numbers(path) == 148
    with h5py.File(path, "r+") as file:
        file["again"] = file["layers/conv/vars/0"]  # a second name: read twice
    with pytest.raises(ValueError, match="two names"):
        count_numbers(path)


def test_what_is_no_file_is_not_read(tmp_path):
    fifo, place = tmp_path / "fifo", tmp_path / "socket"
    os.mkfifo(fifo)
    with socket.socket(socket.AF_UNIX) as server, contextlib.chdir(tmp_path):
        server.bind("socket")
        for path in (fifo, place, tmp_path, "/dev/zero", tmp_path / "missing"):
            with pytest.raises(OSError):
                read_regular(path, 100)
    (tmp_path / "a").write_bytes(bytes(101))
    with pytest.raises(ValueError, match="larger than"):
        read_regular(tmp_path / "a", 100)
    assert read_regular(tmp_path / "a", 101) == bytes(101)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "{", "", "9" * 5000, "\xff"])
def test_json_that_is_none(tmp_path, text):
    (tmp_path / "a").write_text(text, "latin-1")
    with pytest.raises(ValueError):
        read_json(tmp_path / "a")


def test_json_is_parsed():
    assert parse_json('{"a": [1, null]}') == {"a": [1, None]}


def test_archives_are_counted_before_they_are_read(tmp_path):
    path = tmp_path / "a.zip"

    def content(data, budget=2**20):
        path.write_bytes(data)
        with open_archive(path, Budget(budget)) as archive:
            return {name: archive.read(name) for name in archive.namelist()}

    assert content(hostile_files.archive({"a": b"1", "b": b"2"})) == {"a": b"1", "b": b"2"}
    bomb = hostile_files.archive({"a": bytes(2**22)}, zipfile.ZIP_DEFLATED)
    assert len(bomb) < 2**14
    with pytest.raises(ValueError, match="more than 1 MB of content"):
        content(bomb)
    many = hostile_files.archive({str(number): b"" for number in range(20_001)})
    with pytest.raises(ValueError, match="more than 20000 entries"):
        content(many, 2**24)
    whole = bytearray(hostile_files.archive({"a": b"content"}))
    whole[whole.index(b"content")] ^= 1
    with pytest.raises(ValueError, match="Bad CRC-32"):
        content(whole)
    for data in (b"", b"PK\x03\x04", bytes(whole[:40])):
        with pytest.raises(ValueError, match="not a readable archive"):
            content(data)


def test_damage_anywhere_in_hdf5_is_an_error_of_two_kinds(tmp_path):
    """h5py raises RuntimeError, KeyError and OverflowError as well, for some damage."""
    from benchmarks.robustness.fuzz_photos import mutate

    path = tmp_path / "weights.h5"
    with h5py.File(path, "w") as file:
        for name in "abcdefghij":
            file.create_dataset(f"layers/{name}/vars/0", data=np.ones((3, 3), np.float32))
    data, refused = path.read_bytes(), 0
    for number in range(400):
        try:
            count_numbers(mutate(data, np.random.default_rng(number)))
        except (OSError, ValueError):
            refused += 1
    assert refused > 100
