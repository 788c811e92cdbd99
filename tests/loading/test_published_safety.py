"""Weights files are strangers' files: whatever they hold, nothing of it runs and memory stays."""

import contextlib
import io
import os
import pickle
import shutil
import struct
import tracemalloc
import zipfile

import h5py
import hostile_files
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from published_files import (
    Call,
    Name,
    opcodes,
    pickled,
    state_of,
    write_legacy,
    write_mat,
    write_zip,
)
from published_tensors import chain_tensors, tensor

from gradnet_tf.denoiser import load_denoiser
from gradnet_tf.loading.pickle_machine import run_pickle
from gradnet_tf.utils.errors import UserError

TENSORS = chain_tensors("model", 1, 4, 1, layers=2)


def refused(path, words):
    """Checks the message, and that little memory was taken on the way to it."""
    load_denoiser_of_nothing()
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match=words) as caught:
            load_denoiser(str(path))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    message = str(caught.value)
    assert str(path) in message and len(message.splitlines()) <= 3
    assert peak < 30e6, f"{peak / 1e6:.0f} MB"
    return message


def load_denoiser_of_nothing():
    """Imports what loading needs, so that memory shows what the file alone takes."""
    import gradnet_tf.loading.published_networks  # noqa: F401


class Touch:
    """Unpickled, makes a file; by `os.system`, by Python's own words, by a library."""

    def __init__(self, path, way):
        self.path, self.way = path, way

    def __reduce__(self):
        if self.way == "system":
            return os.system, (f"touch {self.path}",)
        if self.way == "exec":
            return exec, (f"open({str(self.path)!r}, 'w').close()",)
        return shutil.copy, (__file__, str(self.path))


NAMED = {
    "system": r"(posix|nt)\.system",
    "exec": r"(builtins|__builtin__)\.exec",
    "copy": r"shutil\.copy",
}


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("way", sorted(NAMED))
@pytest.mark.parametrize("where", ["plain", "zip", "nested"])
def test_a_pickle_that_would_run_code_is_refused_and_named(tmp_path, where, way, protocol):
    trace, path = tmp_path / "trace", tmp_path / "a.pth"
    evil = Touch(trace, way)
    if where == "nested":
        import collections

        evil = collections.OrderedDict([("first", 1), ("second", [{"third": evil}])])
    data = pickle.dumps(evil, protocol=protocol)
    # The file does what it says, in Python's own pickle.
    pickle.loads(data)
    assert trace.exists()
    trace.unlink()
    if where == "zip":
        write_zip(path, TENSORS, **{"data.pkl": data})
    else:
        path.write_bytes(data)
    if where == "nested" and protocol == 0:
        # Protocol 0 writes a dictionary with operations that PyTorch never used.
        words = "refused without running any of its code"
    else:
        words = f"refused without running any of its code: it names '{NAMED[way]}'"
    refused(path, words)
    assert not trace.exists()


@pytest.mark.parametrize("legacy", [False, True])
def test_code_beside_real_tensors_is_refused(tmp_path, legacy):
    trace = tmp_path / "trace"
    state = state_of(TENSORS, legacy)
    state["model.9.weight"] = Call(Name("posix", "system"), (f"touch {trace}",))
    write = write_legacy if legacy else write_zip
    refused(write(tmp_path / "a.pth", TENSORS, state), "it names 'posix.system'")
    assert not trace.exists()


@pytest.mark.parametrize("which", range(5))
def test_code_in_any_pickle_of_the_earlier_format_is_refused(tmp_path, which):
    evil = pickled(Call(Name("posix", "system"), ("true",)))
    parts = [pickled(0x1950A86A20F9469CFC6C), pickled(1001), pickled({"little_endian": True})]
    parts += [pickled(state_of({}, True)), pickled([])]
    parts[which] = evil
    (tmp_path / "a.pth").write_bytes(b"".join(parts))
    refused(tmp_path / "a.pth", "it names 'posix.system'")


@pytest.mark.parametrize(
    "name",
    [("torch", "load"), ("torch.nn.modules.linear", "Linear"), ("collections", "Counter"),
     ("torch._utils", "_rebuild_tensor_v2.__globals__"), ("numpy", "load")],
)  # fmt: skip
def test_other_names_of_familiar_modules_are_refused(tmp_path, name):
    state = {"model.0.weight": Call(Name(*name), ())}
    refused(write_zip(tmp_path / "a.pth", TENSORS, state), f"it names '{name[0]}.{name[1]}'")


@pytest.mark.parametrize(
    ("operations", "words"),
    [
        (b"(iposix\nsystem\n.", "it names 'posix.system'"),
        (b"\x8c\x05posix\x8c\x06system\x93.", "it names 'posix.system'"),
        (b"ccollections\nOrderedDict\n)\x81.", "operation NEWOBJ"),
        (b"\x82\x01.", "operation EXT1"),
        (b"ctorch\nFloatStorage\n)R.", "calls something that does not create a tensor"),
    ],
)
def test_other_ways_to_name_and_to_call_are_refused(operations, words):
    from gradnet_tf.loading.torch_names import NAMES, call_named

    with pytest.raises(UserError, match=words):
        run_pickle(io.BytesIO(b"\x80\x02" + operations), NAMES, call_named, lambda pid: pid)


def test_attributes_do_not_reach_what_a_name_stands_for():
    inert = object()
    build = opcodes(Name("a", "b")) + opcodes({"__call__": 1}) + b"b."
    with pytest.raises(ValueError, match="expected a dict"):
        run_pickle(io.BytesIO(build), {"a.b": inert}, None, None)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"something else",
        b"\x80",
        b"\x80\x02.",
        b"\x80\x02}.",
        b"\x80\x02(((((.",
        b"PK\x03\x04 and no archive",
        b"\x80\x02r\xff\xff\xff\xff.",  # a memo of 4 billion
        b"\x80\x04\x8d" + struct.pack("<Q", 2**62) + b".",  # a string of 4 exabytes
        b"\x80\x02" + b"]" + b"q\x00h\x00\x86q\x00" * 60 + b"K\x00s.",  # 2^60 things, as a key
    ],
)
def test_damaged_files_are_refused(tmp_path, data):
    (tmp_path / "a.pth").write_bytes(data)
    words = "the file is empty" if not data else "damaged, truncated or not a PyTorch file|refused"
    refused(tmp_path / "a.pth", words)


@pytest.mark.parametrize("write", [write_zip, write_legacy])
def test_a_file_cut_off_anywhere_is_refused(tmp_path, write):
    data = write(tmp_path / "a.pth", TENSORS).read_bytes()
    for length in (1, 9, len(data) // 3, len(data) // 2, len(data) - 1):
        (tmp_path / "a.pth").write_bytes(data[:length])
        refused(tmp_path / "a.pth", "damaged, truncated")
    if write is write_legacy:
        (tmp_path / "a.pth").write_bytes(data + b"more")
        refused(tmp_path / "a.pth", "more bytes than its tensors have")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"shape": (2**40,), "strides": (0,)}, "1099511627776 numbers"),  # out of one
        ({"shape": (-1, 9), "strides": (1, 1)}, "odd shape"),
        ({"shape": (9, True), "strides": (1, 1)}, "odd shape"),
        ({"shape": (1,) * 99, "strides": (1,) * 99}, "odd shape"),
        ({"offset": 10**9}, "larger than its storage"),
        ({"count": 2**50}, "a storage of 144 bytes"),
    ],
)
def test_tensors_that_claim_more_than_there_is(tmp_path, changes, words):
    array = tensor(36)
    size = changes.get("count", array.size)
    storage = ("storage", Name("torch", "FloatStorage"), "0", "cpu", size)
    shape, strides = changes.get("shape", (36,)), changes.get("strides", (1,))
    from published_files import Persistent

    arguments = (Persistent(storage), changes.get("offset", 0), shape, strides, False, None)
    state = {"model.0.weight": Call(Name("torch._utils", "_rebuild_tensor_v2"), arguments)}
    refused(write_zip(tmp_path / "a.pth", {"model.0.weight": array}, state), words)


def test_views_that_multiply_a_storage(tmp_path):
    # 300 views of one storage of 4 MB: more than a gigabyte, were they copied.
    array = tensor(1_000_000)
    one = state_of({"0": array})["0"]
    state = {f"model.{index}.weight": one for index in range(300)}
    path = write_zip(tmp_path / "a.pth", {"0": array}, state)
    refused(path, "300000000 numbers")


def test_archives_that_hold_more_than_their_bytes(tmp_path):
    path = tmp_path / "a.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", pickled(state_of(TENSORS)))
        archive.writestr("a/data/0", bytes(100_000_000))
    refused(path, "is compressed, which PyTorch never does")
    write_zip(path, TENSORS)
    # Sizes that the directory at the end claims, without a byte more.
    data = bytearray(path.read_bytes())
    entry = data.index(b"PK\x01\x02")
    data[entry + 20 : entry + 28] = struct.pack("<II", 2**31, 2**31)
    path.write_bytes(data)
    refused(path, "damaged, truncated")


@pytest.mark.parametrize("name", ["../../outside", "data/../../outside"])
def test_archives_whose_names_lead_elsewhere(tmp_path, name):
    refused(write_zip(tmp_path / "a.pth", TENSORS, **{name: b"x"}), "leads out of the archive")
    assert not list(tmp_path.parent.glob("outside"))


def test_archives_of_something_else(tmp_path):
    path = tmp_path / "a.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "no weights")
    refused(path, "0 entries data.pkl")
    refused(write_zip(path, TENSORS, byteorder=b"big"), "another byte order")
    refused(write_zip(path, TENSORS, {"model.0.weight": 3}), "'model.0.weight', which is not")
    refused(write_zip(path, TENSORS, {}), "no tensors")


LAYERS = [("conv", [tensor(3, 3, 1, 4), tensor(4)], {}), ("relu", [], {}),
          ("conv", [1e-3 * tensor(3, 3, 4, 1), 1e-3 * tensor(1)], {})]  # fmt: skip


def test_damaged_matlab_files_are_refused(tmp_path):
    path = tmp_path / "a.mat"
    data = write_mat(path, LAYERS).read_bytes()
    load_denoiser(str(path))
    for damaged in (b"", b"something else", data[:100], data[: len(data) // 2], data[:-100]):
        path.write_bytes(damaged)
        refused(path, "the file is empty|damaged, truncated")
    path.write_bytes(b"MATLAB 5.0 MAT-file, made by a test".ljust(200, b"\xff"))
    refused(path, "damaged, truncated|needs SciPy")


def test_matlab_files_that_reach_outside_or_claim_too_much(tmp_path):
    path, other = tmp_path / "a.mat", tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file.create_group("net")
        file["numbers"] = np.zeros(4)

    def change(apply):
        write_mat(path, LAYERS)
        with h5py.File(path, "r+") as file:
            apply(file)

    def elsewhere(file):
        del file["net"]
        file["net"] = h5py.ExternalLink(str(other), "net")

    def huge(file):
        del file["#refs#/layer0/type"]
        # Declared, never written: a hundred bytes that read as 8 GB.
        file.create_dataset("#refs#/layer0/type", (2**30,), "f8", chunks=(2**20,))

    def outside(file):
        del file["#refs#/layer0/type"]
        file.create_dataset(
            "#refs#/layer0/type", (4,), "f8", external=[(str(other), 0, h5py.h5f.UNLIMITED)]
        )

    def letters(file):
        del file["#refs#/layer0/type"]
        file.create_dataset("#refs#/layer0/type", data=np.array([2.0**62]))

    change(elsewhere)
    refused(path, "`net` is missing")
    change(huge)
    refused(path, "more than 256 MB of data")
    change(outside)
    refused(path, "data is stored in another file")
    change(letters)
    refused(path, "damaged, truncated")


def test_matlab_files_whose_parts_are_far_too_many(tmp_path):
    path = tmp_path / "a.mat"

    def change(name, *arguments, **options):
        write_mat(path, LAYERS)
        with h5py.File(path, "r+") as file:
            del file[name]
            file.create_dataset(name, *arguments, **options)

    # References are eight bytes in the file and an object each in memory.
    change("net/layers", (1, 2**24), h5py.ref_dtype, chunks=(1, 2**16), compression=9)
    refused(path, "`net.layers` is no cell array")
    change("#refs#/layer0/weights", (2**24,), h5py.ref_dtype, chunks=(2**16,), compression=9)
    refused(path, "more than 256 MB|expected at most 16")
    # A type of a 64 million letters.
    change("#refs#/layer0/type", (2**26,), "u2", chunks=(2**16,), compression=9)
    refused(path, "expected at most 100")
    change("#refs#/layer0/type", (4,), "u2", maxshape=(None,), chunks=(2**30,), compression=9)
    refused(path, "a chunk of 2048 MB")


@pytest.mark.parametrize("name", hostile_files.MAT_5_BOMBS)
def test_matlab_5_files_that_claim_too_much(tmp_path, name):
    path = tmp_path / "a.mat"
    path.write_bytes(hostile_files.mat_5(hostile_files.MAT_5_BOMBS[name]()))
    refused(path, "damaged, truncated")


def shared(levels):
    """A tuple of two tuples, each of them the same, and so on: 2^levels things."""
    return b"K\x01K\x01\x86q\x00" + b"h\x00h\x00\x86q\x00" * levels


def deep(levels):
    return b"K\x01" + b"\x85" * levels


GLOBAL, PLAIN = b"\x93", b"."
WORK = {
    "shared tuples": shared(60) + PLAIN,
    "deep tuples": deep(500_000) + PLAIN,
    "a name of shared tuples": shared(60) + b"\x8c\x01a" + GLOBAL + PLAIN,
    "a name of deep tuples": deep(200_000) + b"\x8c\x01a" + GLOBAL + PLAIN,
    "a name that is a list": b"]\x8c\x01a" + GLOBAL + PLAIN,
    # A thousand dictionaries, each of the same thousand pairs.
    "copies of a list": b"ccollections\nOrderedDict\nq\x01](" + b"X\1\0\0\0aK\x01\x86" * 2000
    + b"e\x85q\x02" + b"h\x01h\x02R" * 2000 + PLAIN,
    "pairs that are long texts": b"ccollections\nOrderedDict\n](X\0\0\x10\0" + b"a" * 2**20
    + b"q\x01" + b"h\x01" * 5000 + b"e\x85R" + PLAIN,
    "very many operations": b"N" * 1_000_000 + PLAIN,
    "very many marks": b"(" * 1_000_000 + PLAIN,
}  # fmt: skip


@pytest.mark.parametrize("name", WORK)
def test_a_pickle_does_not_run_without_end(tmp_path, name):
    data = b"\x80\x04" + WORK[name]
    (tmp_path / "a.pth").write_bytes(data)
    with pytest.raises(UserError, match="damaged, truncated or not a PyTorch file"):
        load_denoiser(str(tmp_path / "a.pth"))
    refused(write_zip(tmp_path / "b.pth", TENSORS, **{"data.pkl": data}), "damaged, truncated")


@pytest.mark.parametrize("keys", [shared(60), deep(1000), b"K\x01"])
def test_keys_of_the_earlier_format_are_texts(tmp_path, keys):
    parts = [pickled(0x1950A86A20F9469CFC6C), pickled(1001), pickled({"little_endian": True})]
    parts += [pickled(state_of({}, True)), b"\x80\x02](" + keys + b"e."]
    (tmp_path / "a.pth").write_bytes(b"".join(parts))
    refused(tmp_path / "a.pth", "damaged, truncated")


def test_archives_of_very_many_entries(tmp_path):
    (tmp_path / "a.pth").write_bytes(hostile_files.archive({f"a/{n}": b"" for n in range(20_001)}))
    with pytest.raises(UserError, match="more than 20000 entries"):
        load_denoiser(str(tmp_path / "a.pth"))


#: Pieces of pickles that build on each other, some of them with a memo of four places.
PIECES = [b"K\x01", b"N", b"]", b"}", b")", b"(", b"t", b"\x85", b"\x86", b"\x87", b"a", b"e",
          b"s", b"u", b"b", b"0", b"R", b"Q", b"\x93", b"\x8c\x01a", b"ccollections\nOrderedDict\n",
          b"ctorch\nFloatStorage\n", b"ctorch._utils\n_rebuild_tensor_v2\n", b"X\7\0\0\0storage",
          b"q\0", b"q\1", b"q\2", b"h\0", b"h\1", b"h\2"]  # fmt: skip


@given(
    pieces=st.lists(st.sampled_from(PIECES), max_size=12),
    counts=st.lists(st.sampled_from([1, 1, 2, 50, 3000]), min_size=12, max_size=12),
)
@settings(deadline=None)
def test_any_pickle_is_read_or_refused(pieces, counts):
    from gradnet_tf.loading.torch_names import NAMES, call_named, storage_of

    data = b"".join(piece * count for piece, count in zip(pieces, counts, strict=False))
    with contextlib.suppress(ValueError):  # of which UserError is one
        run_pickle(io.BytesIO(data + b"."), NAMES, call_named, lambda pid: storage_of(pid, {}))
