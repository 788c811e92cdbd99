"""Runs a SavedModel with TensorFlow's C++ loader through ctypes.

`export.verify.cpp_loader` starts it as a separate process, because TensorFlow's Python runtime must
not be loaded in it. It uses the C API of the tensorflow wheel and only the SavedModel's folder,
like a server. Usage:

    cpp_session.py LIBRARY_DIR FOLDER SIGNATURES WORK THREADS REPEATS KEEP_GOING

Reads WORK/in_K.npz, writes WORK/out_K.npz and WORK/info.json. SIGNATURES are one for all requests,
or one for each, separated by commas. With KEEP_GOING = 1, errors of requests are written to
info.json instead of ending the program.
"""

import ctypes
import json
import sys
import time
from pathlib import Path

import numpy as np

# TF_DataType of the signatures' tensors.
DTYPES = {1: np.float32, 3: np.int32, 4: np.uint8, 9: np.int64}
CODES = {np.dtype(dtype): code for code, dtype in DTYPES.items()}
# Strings are structures in the C API, and bytes in arrays of objects here.
STRING, STRING_SIZE = 7, 24
POINTER = ctypes.c_void_p


class _Buffer(ctypes.Structure):
    _fields_ = [("data", POINTER), ("length", ctypes.c_size_t), ("deallocator", POINTER)]


class _Output(ctypes.Structure):
    _fields_ = [("operation", POINTER), ("index", ctypes.c_int)]


class Failed(RuntimeError):
    """An error of TensorFlow: its code, which equals that of gRPC, and its message."""


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
        self.library.TF_StringGetDataPointer.restype = POINTER
        self.library.TF_StringGetSize.restype = ctypes.c_size_t
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
        """Runs a signature on arrays by name and returns its outputs by name.

        Raises:
            Failed: TensorFlow's error.
        """
        maps = self.signatures[signature]
        feeds = self._ends([maps["inputs"][name] for name in inputs])
        values = (POINTER * len(inputs))(*map(self._tensor, inputs.values()))
        fetches, results = self._ends(maps["outputs"].values()), (POINTER * len(maps["outputs"]))()
        try:
            self.library.TF_SessionRun(
                *(self.session, None, feeds, values, len(feeds)),
                *(fetches, results, len(fetches), None, 0, None, self.status),
            )
            self._check(f"run the signature {signature!r}")
            return {
                name: self._array(POINTER(value))
                for name, value in zip(maps["outputs"], results, strict=True)
            }
        finally:
            for value, array in zip(values, inputs.values(), strict=True):
                self._delete(POINTER(value), np.asarray(array).dtype == object)
            for value in filter(None, results):
                # TensorFlow frees the strings of its outputs.
                self._delete(POINTER(value), False)

    def _ends(self, names):
        ends = []
        for name in names:
            operation, _, index = name.partition(":")
            found = self.library.TF_GraphOperationByName(self.graph, operation.encode())
            ends.append(_Output(found, int(index or 0)))
        return (_Output * len(ends))(*ends)

    def _tensor(self, array):
        array = np.asarray(array)
        strings = array.dtype == object
        size = array.size * STRING_SIZE if strings else array.nbytes
        code = STRING if strings else CODES[array.dtype]
        shape = (ctypes.c_int64 * array.ndim)(*array.shape)
        tensor = self.library.TF_AllocateTensor(code, shape, array.ndim, ctypes.c_size_t(size))
        data = self.library.TF_TensorData(POINTER(tensor))
        if not strings:
            ctypes.memmove(data, np.ascontiguousarray(array).ctypes.data, size)
            return tensor
        for index, value in enumerate(array.ravel()):
            place = POINTER(data + index * STRING_SIZE)
            self.library.TF_StringInit(place)
            self.library.TF_StringCopy(place, value, ctypes.c_size_t(len(value)))
        return tensor

    def _array(self, tensor):
        rank = self.library.TF_NumDims(tensor)
        shape = [self.library.TF_Dim(tensor, axis) for axis in range(rank)]
        size = self.library.TF_TensorByteSize(tensor)
        data, code = self.library.TF_TensorData(tensor), self.library.TF_TensorType(tensor)
        if code != STRING:
            return np.frombuffer(ctypes.string_at(data, size), DTYPES[code]).reshape(shape)
        strings = np.empty(size // STRING_SIZE, object)
        for index in range(len(strings)):
            place = POINTER(data + index * STRING_SIZE)
            length = self.library.TF_StringGetSize(place)
            strings[index] = ctypes.string_at(self.library.TF_StringGetDataPointer(place), length)
        return strings.reshape(shape)

    def _delete(self, tensor, own_strings):
        """Frees a tensor, and its strings if they were allocated here."""
        if own_strings:
            data, size = self.library.TF_TensorData(tensor), self.library.TF_TensorByteSize(tensor)
            for offset in range(0, size, STRING_SIZE):
                self.library.TF_StringDealloc(POINTER(data + offset))
        self.library.TF_DeleteTensor(tensor)

    def _check(self, doing):
        code = self.library.TF_GetCode(self.status)
        if code != 0:
            message = self.library.TF_Message(self.status).decode(errors="replace")
            raise Failed(code, f"could not {doing}: {message.splitlines()[0]}")


def memory_bytes(entry: str) -> int | None:
    """Returns VmRSS (current memory) or VmHWM (its maximum) on Linux, else `None`.

    The maximum of `getrusage` would include the parent process.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(entry)), None)


def main(library_dir, folder, signatures, work, threads, repeats, keep_going):
    """Runs a signature on every in_K.npz of `work`, and `repeats` more times."""
    session, work = Session(library_dir, folder, int(threads)), Path(work)
    signatures = signatures.split(",")
    for signature in signatures:
        if signature not in session.signatures:
            sys.exit(f"no signature {signature!r} in {sorted(session.signatures)}")
    seconds, errors, resident = [], {}, []
    for index, path in enumerate(sorted(work.glob("in_*.npz"))):
        signature = signatures[index if len(signatures) > 1 else 0]
        # Bytes are pickled; the file was written by this program's caller.
        with np.load(path, allow_pickle=True) as file:
            inputs = dict(file)
        try:
            outputs = session.run(signature, inputs)
            for _ in range(int(repeats)):
                start = time.perf_counter()
                session.run(signature, inputs)
                seconds.append(time.perf_counter() - start)
            np.savez(work / path.name.replace("in_", "out_"), **outputs)
        except Failed as error:
            if keep_going != "1":
                raise
            errors[index] = error.args
        resident.append(memory_bytes("VmRSS"))
    info = {"seconds": seconds, "signatures": session.signatures, "errors": errors}
    info |= {"resident_bytes": resident, "peak_bytes": memory_bytes("VmHWM")}
    (work / "info.json").write_text(json.dumps(info))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except Failed as failed:
        sys.exit(failed.args[1])
