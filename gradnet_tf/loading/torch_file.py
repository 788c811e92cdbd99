"""Reads the tensors of a PyTorch file (`torch.save` of a state_dict), without PyTorch.

A file is refused if it names anything but an ordered dictionary, tensors and their storages; see
`pickle_machine`. Both formats are supported: zip archives (PyTorch 1.6 and later), and the earlier
sequence of pickles and raw storages.
"""

import io
import math
import zipfile
from pathlib import Path

import numpy as np

from gradnet_tf.loading.pickle_machine import run_pickle
from gradnet_tf.loading.torch_names import (
    NAMES,
    Storage,
    Tensor,
    call_named,
    require,
    storage_of,
)
from gradnet_tf.utils.containers import MOST_MEMBERS
from gradnet_tf.utils.errors import UserError

#: Limit on file sizes; the supported networks are smaller.
MAX_BYTES = 2**28
_PICKLE = b"\x80"
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001
_STATE_KEYS = ("state_dict", "params")


def read_torch(path: Path) -> dict[str, np.ndarray]:
    """Returns the tensors of a `.pth` file by name, as float32 (integers as int64).

    If there is a dictionary under the key "state_dict" or "params", or a single dictionary of
    tensors, it is used instead of the whole file. The prefix "module." that DataParallel adds to
    every name is removed.

    Raises:
        UserError: the file is damaged, not a PyTorch file, or contains anything but tensors.
    """
    size = path.stat().st_size
    if not 0 < size <= MAX_BYTES:
        what = (
            f"has {size / 2**20:.0f} MB; expected at most {MAX_BYTES >> 20} MB"
            if size
            else "is empty"
        )
        raise UserError(f"{path}: the file {what}.")
    data = path.read_bytes()
    try:
        found = _read_zip(data) if data[:4] == b"PK\x03\x04" else _read_legacy(data)
        return _named_arrays(found)
    except UserError as error:
        raise UserError(
            f"{path}: refused without running any of its code: {error}.\n"
            "Expected a state_dict of names and tensors, as from torch.save(model.state_dict())."
        ) from error
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, MemoryError) as error:
        reason = str(error).splitlines()[0][:160] if str(error) else type(error).__name__
        raise UserError(
            f"{path}: damaged, truncated or not a PyTorch file: {reason}.\n"
            "Download it again, or save it again with torch.save(model.state_dict(), PATH)."
        ) from error


def _read_zip(data: bytes):
    # Python's reader makes an object of each entry of the directory, before it can be asked.
    require(data.count(b"PK\x01\x02") <= MOST_MEMBERS, f"more than {MOST_MEMBERS} entries")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = _checked_entries(archive, len(data))
            pickles = [name for name in entries if name.endswith("/data.pkl")]
            require(len(pickles) == 1, f"an archive with {len(pickles)} entries data.pkl")
            root = pickles[0].removesuffix("data.pkl")
            order = archive.read(root + "byteorder") if root + "byteorder" in entries else b"little"
            require(order == b"little", "numbers in another byte order")
            stream = io.BytesIO(archive.read(pickles[0]))
            storages: dict[str, Storage] = {}
            found = run_pickle(stream, NAMES, call_named, lambda pid: storage_of(pid, storages))
            for key, storage in storages.items():
                storage.fill(archive.read(f"{root}data/{key}"))
            return found
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError) as error:
        raise ValueError(f"not a readable archive ({str(error)[:80]})") from error


def _checked_entries(archive: zipfile.ZipFile, size: int) -> set[str]:
    """Returns the names in an archive after checking that its entries are not compressed."""
    entries = archive.infolist()
    names = [entry.filename for entry in entries]
    require(len(set(names)) == len(names), "an archive with two entries of one name")
    for entry in entries:
        # PyTorch stores without compression, so no entry can be larger than the file.
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
            raise UserError(
                f"its entry {entry.filename[:80]!r} is compressed, which PyTorch never does"
            )
        if entry.filename.startswith("/") or ".." in entry.filename.split("/"):
            raise UserError(f"its entry {entry.filename[:80]!r} leads out of the archive")
    total = sum(entry.file_size for entry in entries)
    require(total <= size, f"{total} bytes in a file of {size}")
    return set(names)


def _read_legacy(data: bytes):
    stream = io.BytesIO(data)
    storages: dict[str, Storage] = {}

    def read():
        return run_pickle(stream, NAMES, call_named, lambda pid: storage_of(pid, storages))

    try:
        magic = read()
    except UserError:
        raise
    except ValueError:
        # For a damaged pickle of PyTorch, the error itself is more helpful than the first bytes.
        require(data[:1] == _PICKLE, f"it begins with {data[:8]!r}, not as an archive or a pickle")
        raise
    require(magic == _LEGACY_MAGIC, "it does not begin like a PyTorch file")
    require(read() == _LEGACY_PROTOCOL, "another version of the format")
    system = read()
    require(type(system) is dict and system.get("little_endian") is True, "another byte order")
    found, keys = read(), read()
    # Their hash would take every way through tuples of tuples.
    texts = type(keys) is list and all(type(key) is str for key in keys)
    require(texts and sorted(keys) == sorted(storages), "other storages than its tensors'")
    for key in keys:
        storage = storages[key]
        count = int.from_bytes(stream.read(8), "little")
        require(count == storage.count, f"a storage of {count} numbers instead of {storage.count}")
        storage.fill(stream.read(count * storage.dtype.itemsize))
    require(not stream.read(1), "more bytes than its tensors have")
    return found


def _only_network(found: dict) -> dict:
    """Returns the dictionary of tensors in a dictionary that holds no tensors itself."""
    inner = {
        str(key): value
        for key, value in found.items()
        if type(value) is dict
        and value
        and all(isinstance(each, Tensor) for each in value.values())
    }
    if not inner or any(isinstance(value, Tensor) for value in found.values()):
        return found
    if len(inner) > 1:
        names = ", ".join(map(repr, list(inner)[:3]))
        raise UserError(
            f"it contains {len(inner)} networks ({names[:80]} …), in IRCNN's files one "
            "for each noise level: save one of them, torch.save(torch.load(FILE)[KEY], NEW)"
        )
    return next(iter(inner.values()))


def _named_arrays(found) -> dict[str, np.ndarray]:
    require(type(found) is dict, "not a dictionary of tensors")
    for key in _STATE_KEYS:
        if type(found.get(key)) is dict:
            found = found[key]
            break
    else:
        found = _only_network(found)
    others = [str(name)[:80] for name, value in found.items() if not isinstance(value, Tensor)]
    if others:
        raise UserError(f"it contains {others[0]!r}, which is not a tensor")
    require(bool(found), "no tensors")
    if all(str(name).startswith("module.") for name in found):
        found = {name.removeprefix("module."): value for name, value in found.items()}
    # Shared storage counts once per view, so that a small file cannot expand to gigabytes.
    total = sum(math.prod(tensor.shape) for tensor in found.values())
    require(total <= MAX_BYTES // 2, f"{total} numbers")
    return {str(name): tensor.array(str(name)) for name, tensor in found.items()}
