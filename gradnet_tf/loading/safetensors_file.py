"""Reads the tensors of a `.safetensors` file, with the library's own reader.

The format cannot run code, but a file may claim any size. The library verifies that the tensors in
its header lie one after the other and end where the file ends, so that no more is allocated than
the file has bytes for.
"""

import json
import math
import re
from pathlib import Path

import numpy as np

from gradnet_tf.loading.torch_file import MAX_BYTES
from gradnet_tf.utils.containers import MOST_MEMBERS, read_regular
from gradnet_tf.utils.errors import UserError, install_command

_MOST_HEADER = 2**20
_BFLOAT16 = "BF16"


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """Returns the tensors of a file by name, as float32 (integers as int64).

    The prefix "module." that DataParallel adds to every name is removed. Such files are sorted by
    name ("conv10" before "conv2"), so the modules are put into the order in which a network
    probably has them.

    Raises:
        UserError: the file is damaged or too large, or the extra `[safetensors]` is not installed.
    """
    try:
        from safetensors import SafetensorError, deserialize
    except ModuleNotFoundError as error:
        raise UserError(
            f"{path}: needs safetensors, which is not installed.\n"
            f"Install it: {install_command('safetensors')}."
        ) from error
    try:
        data = read_regular(path, MAX_BYTES)
        _check_header(data)
        found = {name: _array(name, view) for name, view in deserialize(data)}
    except (SafetensorError, OSError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:160]
        raise UserError(
            f"{path}: damaged, truncated or not a safetensors file: {reason}.\n"
            "Download it again, or save it again with safetensors.torch.save_file."
        ) from error
    if not found:
        raise UserError(f"{path}: holds no tensors. Download it again.")
    if all(name.startswith("module.") for name in found):
        found = {name.removeprefix("module."): values for name, values in found.items()}
    return dict(sorted(found.items(), key=lambda item: _place(item[0], found)))


def _place(name: str, found: dict[str, np.ndarray]) -> tuple:
    """Returns the sort key of a tensor: the ends of the network, numbers, convolutions, names."""
    module = name.rpartition(".")[0]
    shape = found.get(f"{module}.weight", np.zeros(0)).shape
    outputs, inputs = shape[:2] if len(shape) == 4 else (0, 0)
    # The first convolution has fewer channels before it than behind it, the last one more.
    end = (inputs > outputs) - (inputs < outputs)
    digits = [number.lstrip("0") for number in re.findall(r"\d+", module)]
    return end, [(len(number), number) for number in digits], len(shape) != 4, name


def _check_header(data: bytes) -> None:
    """Raises `ValueError` for a header that would take long to read."""
    length = int.from_bytes(data[:8], "little")
    if not 2 <= length <= min(_MOST_HEADER, len(data) - 8):
        raise ValueError(f"a header of {length} bytes in a file of {len(data)}")
    try:
        header = json.loads(data[8 : 8 + length])
    except RecursionError:
        raise ValueError("a header nested too deep") from None
    if not isinstance(header, dict) or len(header) > MOST_MEMBERS:
        raise ValueError(f"a header that is no list of at most {MOST_MEMBERS} tensors")


_DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "I64": "<i8",
    "I32": "<i4",
    "U8": "u1",
    _BFLOAT16: "<u2",
}


def _array(name: str, view: dict) -> np.ndarray:
    kind, shape = view["dtype"], view["shape"]
    if kind not in _DTYPES or len(shape) > 8:
        raise ValueError(f"{name[:80]!r} has the type {kind} and {len(shape)} axes")
    values = np.frombuffer(view["data"], _DTYPES[kind])
    if values.size != math.prod(shape):
        raise ValueError(f"{name[:80]!r} has {values.size} numbers for the shape {shape}")
    values = values.reshape(shape)
    if kind == _BFLOAT16:  # the upper half of a float32
        return (values.astype(np.uint32) << 16).view(np.float32)
    return values.astype(np.int64 if values.dtype.kind in "iu" else np.float32)
