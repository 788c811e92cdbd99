"""The result of a step that the device may still be computing."""

import functools
from collections.abc import Callable


class StepResult:
    """Loss and finiteness of a step; reading either waits for the device.

    The loop starts the next steps before it reads a result, so that the device never waits for
    Python.

    Items:
        loss: float, mean over the global batch.
        finite: whether loss and gradient are finite. If not, the step changed neither weights nor
            optimizer state.
    """

    def __init__(self, read: Callable[[], tuple[float, bool]]):
        """Args:
        read: waits for the step; returns loss and finiteness.
        """
        self._read = read

    @functools.cached_property
    def _values(self) -> dict:
        loss, finite = self._read()
        return {"loss": float(loss), "finite": bool(finite)}

    def __getitem__(self, name: str):
        return self._values[name]
