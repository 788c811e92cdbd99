"""The tensors of a file, each of which must be used exactly once."""

import dataclasses
from pathlib import Path

import numpy as np

from gradnet_tf.utils.errors import UserError


@dataclasses.dataclass
class Convolution:
    """A convolution and the normalization after it, with the axes of Keras.

    Attributes:
        name: its name in error messages.
        kernel: (3, 3, in, out) float32.
        bias: (out,) float32.
        norm: γ, β, mean and variance, (out,) float32 each, or `None`.
        dilation: distance between the taps, where the file says it.
    """

    name: str
    kernel: np.ndarray
    bias: np.ndarray
    norm: tuple[np.ndarray, ...] | None = None
    dilation: int = 1

    def set_norm(self, gamma, beta, mean, variance) -> None:
        """Adds a normalization; the bias before it is subtracted from the mean."""
        self.norm = (gamma, beta, mean - self.bias, variance)
        self.bias = np.zeros_like(self.bias)


class Source:
    """Tensors by name, which are removed one by one as they are used.

    Args:
        path: the file, for error messages.
        tensors: by name; filters with PyTorch's axes (out, in, height, width).
    """

    def __init__(self, path: Path, tensors: dict[str, np.ndarray]):
        self.path = path
        self._left = dict(tensors)

    @property
    def names(self) -> list[str]:
        """Names of the tensors that were not taken yet."""
        return list(self._left)

    def axes(self, name: str) -> int | None:
        """Returns the number of axes of a tensor, `None` if there is no such tensor."""
        return self._left[name].ndim if name in self._left else None

    def error(self, what: str) -> UserError:
        """Returns an error that names the file."""
        return UserError(f"{self.path}: {what}.\nThe file is damaged, or contains another network.")

    def take(self, name: str, shape: tuple[int | None, ...]) -> np.ndarray:
        """Removes and returns a tensor; `None` in `shape` means any length.

        Raises:
            UserError: it is missing or already used, or has a wrong shape, NaN or infinities.
        """
        if name not in self._left:
            raise self.error(f"the tensor {name!r} is missing")
        value = self._left.pop(name)
        fits = value.ndim == len(shape) and all(
            wanted in (None, found) for found, wanted in zip(value.shape, shape, strict=True)
        )
        if not fits:
            wanted = "×".join("any" if side is None else str(side) for side in shape)
            raise self.error(f"the tensor {name!r} has shape {value.shape}, expected {wanted}")
        if not np.isfinite(value).all():
            raise self.error(f"the tensor {name!r} contains NaN or infinities")
        return value

    def convolution(self, name: str, size: int = 3, inputs: int | None = None) -> Convolution:
        """Removes and returns a convolution: its filter and its bias, if any."""
        kernel = self.take(f"{name}.weight", (None, inputs, size, size)).transpose(2, 3, 1, 0)
        bias = np.zeros(kernel.shape[-1], np.float32)
        if f"{name}.bias" in self._left:
            bias = self.take(f"{name}.bias", bias.shape)
        return Convolution(name, kernel, bias)

    def norm(self, name: str, filters: int) -> list[np.ndarray]:
        """Removes and returns γ, β, mean and variance of a normalization."""
        parts = ("weight", "bias", "running_mean", "running_var")
        found = [self.take(f"{name}.{part}", (filters,)) for part in parts]
        if f"{name}.num_batches_tracked" in self._left:
            self.take(f"{name}.num_batches_tracked", ())
        return found

    def finish(self) -> None:
        """Checks that all tensors have been used.

        Raises:
            UserError: names a tensor that has not been used.
        """
        if self._left:
            more = f" and {len(self._left) - 1} more" if len(self._left) > 1 else ""
            raise self.error(f"the tensor {next(iter(self._left))!r}{more} is not expected")
