"""Runs a SavedModel with TensorFlow's C++ loader, from ctypes alone.

A program of its own (`export.cpp_loader` starts it), because it must not meet
TensorFlow's Python runtime in one process. It uses the C API that the
tensorflow wheel exports, and knows of a SavedModel what a server knows: the
folder. Usage: `cpp_session.py LIBRARY_DIR FOLDER SIGNATURE WORK THREADS REPEATS`;
reads WORK/in_K.npz, writes WORK/out_K.npz and WORK/facts.json.
"""

import ctypes
import json
import sys
import time
from pathlib import Path

import numpy as np

# TF_DataType of what the signatures use.
DTYPES = {1: np.float32, 3: np.int32, 4: np.uint8, 9: np.int64}
CODES = {np.dtype(dtype): code for code, dtype in DTYPES.items()}
POINTER = ctypes.c_void_p


class _Buffer(ctypes.Structure):
    _fields_ = [("data", POINTER), ("length", ctypes.c_size_t), ("deallocator", POINTER)]


class _Output(ctypes.Structure):
    _fields_ = [("operation", POINTER), ("index", ctypes.c_int)]


def _fields(data: bytes):
    """Yields (number, value) of a protocol buffer's fields; fixed-width ones are skipped."""
    position = 0

    def varint():
        nonlocal position
        value = shift = 0
        while True:
            byte = data[position]
            position += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while position < len(data):
        key = varint()
        if key & 7 == 0:
            yield key >> 3, varint()
        elif key & 7 == 2:
            size = varint()
            position += size
            yield key >> 3, data[position - size : position]
        else:
            position += {1: 8, 5: 4}[key & 7]


def read_signatures(meta_graph_def: bytes) -> dict:
    """Returns {signature: {"inputs" and "outputs": {name: tensor name}}} of a MetaGraphDef."""
    signatures = {}
    for number, entry in _fields(meta_graph_def):
        if number != 5:  # MetaGraphDef.signature_def, a map
            continue
        pair = dict(_fields(entry))
        maps = {"inputs": {}, "outputs": {}}
        for kind, item in _fields(pair.get(2, b"")):  # SignatureDef
            if kind in (1, 2):
                named = dict(_fields(item))
                tensor = dict(_fields(named[2]))  # TensorInfo; 1 is its name
                maps["inputs" if kind == 1 else "outputs"][named[1].decode()] = tensor[1].decode()
        signatures[pair[1].decode()] = maps
    return signatures


class Session:
    """A SavedModel loaded by `TF_LoadSessionFromSavedModel` with the tag "serve"."""

    def __init__(self, library_dir: str, folder: str, threads: int):
        for name in ("libtensorflow_framework.so.2", "libtensorflow_cc.so.2"):
            self.library = ctypes.CDLL(str(Path(library_dir) / name), ctypes.RTLD_GLOBAL)
        for name in ("NewStatus", "NewSessionOptions", "NewGraph", "LoadSessionFromSavedModel"):
            getattr(self.library, f"TF_{name}").restype = POINTER
        for name in ("GraphOperationByName", "AllocateTensor", "TensorData"):
            getattr(self.library, f"TF_{name}").restype = POINTER
        self.library.TF_Message.restype = ctypes.c_char_p
        self.library.TF_TensorByteSize.restype = ctypes.c_size_t
        self.library.TF_Dim.restype = ctypes.c_int64
        self.status = POINTER(self.library.TF_NewStatus())
        options = POINTER(self.library.TF_NewSessionOptions())
        if threads:
            # ConfigProto: intra_op_parallelism_threads (2), inter_op_parallelism_threads (5).
            config = bytes([0x10, threads, 0x28, 1])
            size = ctypes.c_size_t(len(config))
            self.library.TF_SetConfig(options, config, size, self.status)
            self._check("set the number of threads")
        self.graph = POINTER(self.library.TF_NewGraph())
        meta, tags = _Buffer(), (ctypes.c_char_p * 1)(b"serve")
        load = self.library.TF_LoadSessionFromSavedModel
        arguments = (folder.encode(), tags, 1, self.graph, ctypes.byref(meta), self.status)
        self.session = POINTER(load(options, None, *arguments))
        self._check("load the SavedModel")
        self.signatures = read_signatures(ctypes.string_at(meta.data, meta.length))

    def run(self, signature: str, inputs: dict) -> dict:
        """Runs a signature on arrays by name and returns its outputs by name."""
        maps = self.signatures[signature]
        feeds = self._ends([maps["inputs"][name] for name in inputs])
        values = (POINTER * len(inputs))(*map(self._tensor, inputs.values()))
        fetches, results = self._ends(maps["outputs"].values()), (POINTER * len(maps["outputs"]))()
        self.library.TF_SessionRun(
            *(self.session, None, feeds, values, len(feeds)),
            *(fetches, results, len(fetches), None, 0, None, self.status),
        )
        self._check(f"run the signature {signature!r}")
        outputs = {
            name: self._array(POINTER(value))
            for name, value in zip(maps["outputs"], results, strict=True)
        }
        for value in (*values, *results):
            self.library.TF_DeleteTensor(POINTER(value))
        return outputs

    def _ends(self, names):
        ends = []
        for name in names:
            operation, _, index = name.partition(":")
            found = self.library.TF_GraphOperationByName(self.graph, operation.encode())
            ends.append(_Output(found, int(index or 0)))
        return (_Output * len(ends))(*ends)

    def _tensor(self, array):
        array = np.ascontiguousarray(array)
        shape = (ctypes.c_int64 * array.ndim)(*array.shape)
        size = ctypes.c_size_t(array.nbytes)
        tensor = self.library.TF_AllocateTensor(CODES[array.dtype], shape, array.ndim, size)
        ctypes.memmove(self.library.TF_TensorData(POINTER(tensor)), array.ctypes.data, array.nbytes)
        return tensor

    def _array(self, tensor):
        rank = self.library.TF_NumDims(tensor)
        shape = [self.library.TF_Dim(tensor, axis) for axis in range(rank)]
        size = self.library.TF_TensorByteSize(tensor)
        data = ctypes.string_at(self.library.TF_TensorData(tensor), size)
        return np.frombuffer(data, DTYPES[self.library.TF_TensorType(tensor)]).reshape(shape)

    def _check(self, doing):
        if self.library.TF_GetCode(self.status) != 0:
            message = self.library.TF_Message(self.status).decode(errors="replace")
            sys.exit(f"could not {doing}: {message.splitlines()[0]}")


def main(library_dir, folder, signature, work, threads, repeats):
    """Runs the signature on every in_K.npz of `work`, the first `repeats` more times."""
    session, work, seconds = Session(library_dir, folder, int(threads)), Path(work), []
    if signature not in session.signatures:
        sys.exit(f"no signature {signature!r} in {sorted(session.signatures)}")
    for path in sorted(work.glob("in_*.npz")):
        with np.load(path) as file:
            inputs = dict(file)
        outputs = session.run(signature, inputs)
        for _ in range(int(repeats)):
            start = time.perf_counter()
            session.run(signature, inputs)
            seconds.append(time.perf_counter() - start)
        np.savez(work / path.name.replace("in_", "out_"), **outputs)
    facts = {"seconds": seconds, "signatures": session.signatures}
    (work / "facts.json").write_text(json.dumps(facts))


if __name__ == "__main__":
    main(*sys.argv[1:])
