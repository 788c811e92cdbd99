"""The names that a PyTorch file of tensors may contain, and their meaning."""

import dataclasses
import enum
import math
from typing import Any

import numpy as np

from gradnet_tf.utils.errors import UserError


def require(condition: bool, reason: str) -> None:
    """Raises a `ValueError` with the reason unless the condition holds."""
    if not condition:
        raise ValueError(reason)


_MAX_AXES = 8


class Storage:
    """The numbers that tensors are views of; empty until `fill` is called."""

    def __init__(self, dtype: np.dtype | None, count: int):
        self.dtype, self.count = dtype, count
        self.values: np.ndarray | None = None
        self.raw = b""

    def fill(self, raw: bytes) -> None:
        """Sets the content of the storage."""
        size = self.count * (1 if self.dtype is None else self.dtype.itemsize)
        require(len(raw) == size, f"a storage of {len(raw)} bytes instead of {size}")
        self.raw = raw


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A view of a storage with elements of `dtype`."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: np.dtype

    def __post_init__(self):
        require(len(self.shape) <= _MAX_AXES, "a tensor of an odd shape")
        numbers = (self.offset, *self.shape, *self.strides)
        whole = all(type(number) is int and number >= 0 for number in numbers)
        axes = len(self.shape)
        require(whole and axes == len(self.strides) <= _MAX_AXES, "a tensor of an odd shape")

    def array(self, name: str) -> np.ndarray:
        """Returns a copy as float32, or int64 for integers; `name` is for error messages."""
        values = np.frombuffer(self.storage.raw, self.dtype)
        steps = sum((side - 1) * step for side, step in zip(self.shape, self.strides, strict=True))
        inside = self.offset + steps < len(values) and math.prod(self.shape) <= len(values)
        require(0 in self.shape or inside, f"{name!r} is larger than its storage")
        if 0 in self.shape:
            return np.zeros(self.shape, np.float32)
        view = np.lib.stride_tricks.as_strided(
            values[self.offset :],
            self.shape,
            [step * self.dtype.itemsize for step in self.strides],
            writeable=False,
        )
        if self.dtype == BFLOAT16:  # the upper half of a float32
            return (view.astype(np.uint32) << 16).view(np.float32)
        return view.astype(np.int64 if self.dtype.kind in "iu" else np.float32)


#: NumPy has no bfloat16; its bits are stored as uint16, which no other dtype here uses.
BFLOAT16 = np.dtype("<u2")
_DTYPES = {
    "float32": ("Float", np.dtype("<f4")),
    "float64": ("Double", np.dtype("<f8")),
    "float16": ("Half", np.dtype("<f2")),
    "bfloat16": ("BFloat16", BFLOAT16),
    "int64": ("Long", np.dtype("<i8")),
    "int32": ("Int", np.dtype("<i4")),
}


class Kind(enum.Enum):
    """The meaning of a name that is not a dtype."""

    ORDERED_DICT = enum.auto()
    TENSOR = enum.auto()
    TENSOR_OF_DTYPE = enum.auto()
    PARAMETER = enum.auto()
    UNTYPED_STORAGE = enum.auto()


#: All names that a file may contain. The values are never called; see `call_named`.
NAMES: dict[str, Any] = {
    "collections.OrderedDict": Kind.ORDERED_DICT,
    "torch._utils._rebuild_tensor": Kind.TENSOR,
    "torch._utils._rebuild_tensor_v2": Kind.TENSOR,
    "torch._utils._rebuild_tensor_v3": Kind.TENSOR_OF_DTYPE,
    "torch._utils._rebuild_parameter": Kind.PARAMETER,
    "torch.storage.UntypedStorage": Kind.UNTYPED_STORAGE,
    **{f"torch.{kind}Storage": dtype for kind, dtype in _DTYPES.values()},
    **{f"torch.{name}": dtype for name, (_, dtype) in _DTYPES.items()},
}


def call_named(function: Any, arguments: tuple) -> Any:
    """Returns the result of "calling" a value of `NAMES`.

    Raises:
        UserError: the value cannot be called.
        ValueError: the arguments are invalid.
    """
    if function is Kind.ORDERED_DICT:
        (pairs,) = arguments or ([],)
        require(type(pairs) is list, "a dictionary made of something else than pairs")
        # Python 2 wrote pairs as lists; a name must be a string, whose hash costs little.
        for pair in pairs:
            require(type(pair) in (list, tuple) and len(pair) == 2, "no pair")
            require(type(pair[0]) is str, "a name that is no text")
        return {name: value for name, value in pairs}
    if function in (Kind.TENSOR, Kind.TENSOR_OF_DTYPE):
        storage, offset, shape, strides = arguments[:4]
        require(isinstance(storage, Storage), "a tensor without a storage")
        require(type(shape) is tuple and type(strides) is tuple, "a tensor without a shape")
        dtype = arguments[6] if function is Kind.TENSOR_OF_DTYPE else storage.dtype
        require(isinstance(dtype, np.dtype), "a tensor without a type")
        return Tensor(storage, offset, shape, strides, dtype)
    if function is Kind.PARAMETER:
        require(isinstance(arguments[0], Tensor), "a parameter that is not a tensor")
        return arguments[0]
    raise UserError("it calls something that does not create a tensor")


def storage_of(persistent_id: Any, storages: dict[str, Storage]) -> Storage:
    """Returns the storage of a persistent id; the same key gives the same storage.

    Args:
        persistent_id: ("storage", type, key, device, count, …).
        storages: the storages so far, by key; a new one is added.
    """
    require(type(persistent_id) is tuple and 5 <= len(persistent_id) <= 6, "an invalid storage id")
    tag, kind, key, _, count, *view = persistent_id
    require(tag == "storage" and type(key) is str and view in ([], [None]), "an invalid storage id")
    require(type(count) is int and count >= 0, "a storage without a size")
    dtype = kind if isinstance(kind, np.dtype) else None
    require(dtype is not None or kind is Kind.UNTYPED_STORAGE, "a storage without a type")
    storage = storages.setdefault(key, Storage(dtype, count))
    require((storage.dtype, storage.count) == (dtype, count), "one storage of two sizes")
    return storage
