"""Writes small files as PyTorch and MATLAB do, with neither, well formed or not."""

import struct
import zipfile
from dataclasses import dataclass

import h5py
import numpy as np

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
STORAGES = {"f4": "Float", "f8": "Double", "f2": "Half", "i8": "Long", "u2": "BFloat16"}


@dataclass(frozen=True)
class Name:
    """A global: pickled as its name."""

    module: str
    name: str


@dataclass(frozen=True)
class Call:
    """A call that is made when the pickle is read."""

    function: Name
    arguments: tuple


@dataclass(frozen=True)
class Persistent:
    """An object that lies outside of the pickle."""

    value: tuple


def opcodes(value) -> bytes:
    """The operations of pickle protocol 2 that make a value."""
    if value is None or value is True or value is False:
        return {None: b"N", True: b"\x88", False: b"\x89"}[value]
    if isinstance(value, str):
        return b"X" + struct.pack("<I", len(value.encode())) + value.encode()
    if isinstance(value, int):
        data = value.to_bytes(16, "little", signed=True)
        return b"\x8a\x10" + data
    if isinstance(value, tuple):
        return b"(" + b"".join(map(opcodes, value)) + b"t"
    if isinstance(value, list):
        return b"](" + b"".join(map(opcodes, value)) + b"e"
    if isinstance(value, dict):
        items = b"".join(opcodes(key) + opcodes(item) for key, item in value.items())
        return b"}(" + items + b"u"
    if isinstance(value, Name):
        return f"c{value.module}\n{value.name}\n".encode()
    if isinstance(value, Call):
        return opcodes(value.function) + opcodes(value.arguments) + b"R"
    if isinstance(value, Persistent):
        return opcodes(value.value) + b"Q"
    raise TypeError(type(value))


def pickled(value) -> bytes:
    return b"\x80\x02" + opcodes(value) + b"."


def rebuilt(key, array, legacy, rebuild="_rebuild_tensor_v2"):
    """A tensor as torch.save pickles it: a call that makes a view of a storage."""
    kind = Name("torch", STORAGES[array.dtype.str[1:]] + "Storage")
    storage = ("storage", kind, key, "cpu", array.size, *([None] if legacy else []))
    strides = tuple(step // array.itemsize for step in array.strides)
    arguments = (Persistent(storage), 0, array.shape, strides)
    if rebuild == "_rebuild_tensor_v2":
        arguments += (False, Call(Name("collections", "OrderedDict"), ()))
    return Call(Name("torch._utils", rebuild), arguments)


def state_of(tensors, legacy=False, **more):
    return {
        name: rebuilt(str(index), array, legacy, **more)
        for index, (name, array) in enumerate(tensors.items())
    }


def write_zip(path, tensors, state=None, **entries):
    """Writes the zip format of PyTorch from 1.6; `entries` replaces or adds some."""
    files = {"data.pkl": pickled(state_of(tensors) if state is None else state)}
    files |= {f"data/{index}": array.tobytes() for index, array in enumerate(tensors.values())}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in {**files, **entries}.items():
            archive.writestr(f"archive/{name}", data)
    return path


def write_legacy(path, tensors, state=None, **more):
    """Writes the format of PyTorch before 1.6: five pickles, then the storages."""
    system = {"protocol_version": PROTOCOL, "little_endian": True}
    state = state_of(tensors, legacy=True, **more) if state is None else state
    keys = [str(index) for index in range(len(tensors))]
    data = b"".join(map(pickled, (MAGIC, PROTOCOL, system, state, keys)))
    for array in tensors.values():
        data += struct.pack("<q", array.size) + array.tobytes()
    path.write_bytes(data)
    return path


def write_mat(path, layers):
    """Writes `net.layers` as MATLAB 7.3 does: HDF5 behind a header of 512 bytes.

    Each layer is (type, weights, {field: number}), with MATLAB's axes.
    """
    with h5py.File(path, "w", userblock_size=512) as file:
        references = file.create_group("#refs#")

        def kept(data):
            return references.create_dataset(str(len(references)), data=data).ref

        structures = []
        for index, (kind, weights, numbers) in enumerate(layers):
            group = references.create_group(f"layer{index}")
            letters = np.array([[ord(letter)] for letter in kind], np.uint16)
            group.create_dataset("type", data=letters)
            cell = np.array([[kept(np.asarray(weight, np.float32).T)] for weight in weights])
            if len(weights):
                group.create_dataset("weights", data=cell.astype(h5py.ref_dtype))
            else:
                group.create_dataset("weights", data=np.zeros(2, np.uint64))
            for name, number in numbers.items():
                group.create_dataset(name, data=np.array([[float(number)]]))
            structures.append([group.ref])
        cells = np.array(structures, dtype=h5py.ref_dtype)
        file.create_group("net").create_dataset("layers", data=cells)
    with open(path, "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: made by a test".ljust(512))
    return path


def write_mat_of_dag(path, layers, params):
    """Writes a network of MatConvNet's kind DagNN as MATLAB 7.3 does.

    Each layer is (class, inputs, outputs, names of parameters, {field: number}).
    """
    with h5py.File(path, "w", userblock_size=512) as file:
        references = file.create_group("#refs#")

        def kept(data):
            return references.create_dataset(str(len(references)), data=data).ref

        def text(letters):
            return kept(np.array([[ord(letter)] for letter in letters], np.uint16))

        def texts(some):
            if some:
                return kept(np.array([[text(each)] for each in some], dtype=h5py.ref_dtype))
            empty = references.create_dataset(str(len(references)), data=np.zeros(2, np.uint64))
            empty.attrs["MATLAB_empty"] = np.uint8(1)
            return empty.ref

        def block(numbers):
            group = references.create_group(str(len(references)))
            for name, number in numbers.items():
                group.create_dataset(name, data=np.array([[float(number)]]))
            return group.ref

        net = file.create_group("net")
        rows = [
            (text(kind), texts(inputs), texts(outputs), texts(names), block(numbers))
            for kind, inputs, outputs, names, numbers in layers
        ]
        group = net.create_group("layers")
        for name, column in zip(
            ("type", "inputs", "outputs", "params", "block"), zip(*rows, strict=True), strict=True
        ):
            group.create_dataset(name, data=np.array([column]).T.astype(h5py.ref_dtype))
        group = net.create_group("params")
        values = [kept(np.asarray(value, np.float32).T) for value in params.values()]
        for name, column in (("name", [text(name) for name in params]), ("value", values)):
            group.create_dataset(name, data=np.array([column]).T.astype(h5py.ref_dtype))
    with open(path, "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: made by a test".ljust(512))
    return path


def write_mat_5_of_dag(path, layers, params):
    """Writes the same in version 5; needs SciPy."""
    import scipy.io

    def cells(some):
        cell = np.empty((1, len(some)), object)
        cell[0, :] = some
        return cell

    def structures(names, rows):
        array = np.empty((1, len(rows)), [(name, object) for name in names])
        for index, row in enumerate(rows):
            array[0, index] = tuple(row)
        return array

    rows = [
        (kind, cells(inputs), cells(outputs), cells(names), {"name": "block", **numbers})
        for kind, inputs, outputs, names, numbers in layers
    ]
    net = {
        "layers": structures(("type", "inputs", "outputs", "params", "block"), rows),
        "params": structures(("name", "value"), list(params.items())),
    }
    scipy.io.savemat(path, {"net": net})
    return path
