"""Published networks as `.safetensors` files load like `.pth`; damaged files are refused."""

import json
import struct

import numpy as np
import pytest
from published_files import write_zip
from published_tensors import adnet_tensors, chain_tensors

from gradnet_tf.loading.published_networks import load_published
from gradnet_tf.loading.safetensors_file import read_safetensors
from gradnet_tf.utils.errors import UserError

numpy_format = pytest.importorskip("safetensors.numpy")
SIGMA = np.float32([25, 40])


def write(path, tensors):
    arrays = {name: np.array(values, order="C") for name, values in tensors.items()}
    numpy_format.save_file(arrays, path)
    return path


NETWORKS = {
    "DnCNN": chain_tensors("model", 3, 6, 3),
    "DnCNN of DataParallel": {
        f"module.{name}": values
        for name, values in chain_tensors("dncnn", 1, 6, 1, bias=False, norm=True).items()
    },
    "FFDNet": chain_tensors("model", 13, 6, 12),
    "ADNet": adnet_tensors(3),
}


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_network_is_the_same_as_from_pth(tmp_path, kind):
    tensors = NETWORKS[kind]
    model, text = load_published(write(tmp_path / "a.safetensors", tensors))
    expected, expected_text = load_published(write_zip(tmp_path / "a.pth", tensors))
    assert text == expected_text and kind.split()[0] in text
    noisy = np.random.default_rng(3).random((2, 12, 14, model.channels), np.float32)
    more = (SIGMA[: len(noisy)],) if model.needs_sigma else ()
    np.testing.assert_array_equal(model(noisy, *more), expected(noisy, *more))


NAMES = {
    "numbered": "net.generator.dncnn.{}",
    "of DataParallel inside": "netG.module.features.{}",
    "numbers in names": "conv{}",
    "ends by name": ("head.0", "body.{}.0", "tail"),
    "ends that sort the wrong way": ("z_in", "mid.{}.conv", "a_out"),
}


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("names", NAMES)
def test_the_modules_may_have_any_names(tmp_path, suffix, names):
    """A .safetensors file is sorted by name: of twelve layers, conv10 stands before conv2."""
    usual = chain_tensors("model", 3, 6, 3, layers=12)
    first, inner, last = NAMES[names] if isinstance(NAMES[names], tuple) else (NAMES[names],) * 3
    renamed = {}
    for name, values in usual.items():
        _, number, part = name.split(".")
        name = first if number == "0" else last if number == "22" else inner
        renamed[f"{name.format(number)}.{part}"] = values
    written = write_zip if suffix == ".pth" else write
    model, text = load_published(written(tmp_path / f"a{suffix}", renamed))
    expected, expected_text = load_published(write_zip(tmp_path / "usual.pth", usual))
    assert text == expected_text == "DnCNN, color, 12 layers of 6"
    noisy = np.random.default_rng(3).random((1, 12, 14, 3), np.float32)
    np.testing.assert_array_equal(model(noisy), expected(noisy))


def test_normalised_layers_of_a_sorted_file_follow_their_convolutions(tmp_path):
    usual = chain_tensors("model", 1, 6, 1, layers=12, bias=False, norm=True)
    renamed, layer = {}, 0
    for name, values in usual.items():
        _, _, part = name.split(".")
        layer += values.ndim == 4
        kind = "conv" if values.ndim == 4 else "bn"
        renamed[f"layers.{kind}{layer:02}.{part}"] = values
    model, text = load_published(write(tmp_path / "a.safetensors", renamed))
    expected, expected_text = load_published(write_zip(tmp_path / "usual.pth", usual))
    assert text == expected_text
    noisy = np.random.default_rng(3).random((1, 12, 14, 1), np.float32)
    np.testing.assert_array_equal(model(noisy), expected(noisy))


def test_a_number_of_any_length_in_a_name_is_no_fault(tmp_path):
    tensors = {f"conv{'9' * 5000}.weight": np.zeros((6, 3, 3, 3), np.float32)}
    with pytest.raises(UserError, match="not recognized"):
        load_published(write(tmp_path / "a.safetensors", tensors))


def raw_file(path, dtype, data, shape):
    header = {"a": {"dtype": dtype, "shape": shape, "data_offsets": [0, len(data)]}}
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


@pytest.mark.parametrize(
    ("dtype", "data"),
    [
        ("F16", np.float16([1.5, -2]).tobytes()),
        ("F64", np.float64([1.5, -2]).tobytes()),
        ("BF16", (np.float32([1.5, -2]).view(np.uint32) >> 16).astype("<u2").tobytes()),
    ],
)
def test_other_types_become_float32(tmp_path, dtype, data):
    found = read_safetensors(raw_file(tmp_path / "a.safetensors", dtype, data, [2]))["a"]
    assert found.dtype == np.float32 and found.tolist() == [1.5, -2]


def damaged(content):
    header = struct.unpack("<Q", content[:8])[0]
    return {
        "cut off": content[:-5],
        "empty": b"",
        "longer": content + b"1234",
        "a header without an end": struct.pack("<Q", 2**62) + content[8:],
        "no JSON": content[:8] + b"[" * header + content[8 + header :],
        "larger than the file": content.replace(b'"shape":[6]', b'"shape":[9]', 1),
        "another format": b"PK\x03\x04" + content,
    }


@pytest.mark.parametrize("kind", damaged(struct.pack("<Q", 2) + b"{}"))
def test_damaged_files_are_refused_in_one_message(tmp_path, kind):
    path = write(tmp_path / "a.safetensors", NETWORKS["FFDNet"])
    content = path.read_bytes()
    path.write_bytes(damaged(content)[kind])
    assert path.read_bytes() != content
    with pytest.raises(UserError, match="not a safetensors file: .+\nDownload it again"):
        read_safetensors(path)


def test_unknown_types_and_large_files_are_refused(tmp_path, monkeypatch):
    path = raw_file(tmp_path / "a.safetensors", "BOOL", b"\0\1", [2])
    with pytest.raises(UserError, match="'a' has the type BOOL"):
        read_safetensors(path)
    monkeypatch.setattr("gradnet_tf.loading.safetensors_file.MAX_BYTES", 10)
    with pytest.raises(UserError, match="larger than"):
        read_safetensors(path)
