"""The graphs of a .tflite file, called by the names of their signatures."""

import os
import threading
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from gradnet_tf.utils.errors import UserError


class LiteRTFile:
    """A .tflite file in LiteRT's interpreter; several threads may call.

    Args:
        path: the file.
        num_threads: threads of the interpreter; all cores by default.

    Raises:
        UserError: the file does not load.
    """

    def __init__(self, path: Path, num_threads: int | None = None):
        self.path = path
        self._num_threads = num_threads or os.cpu_count()
        self._lock = threading.Lock()  # the interpreter holds one computation's tensors
        self._open()

    def _open(self) -> None:
        from ai_edge_litert.interpreter import Interpreter

        try:
            interpreter = Interpreter(model_path=str(self.path), num_threads=self._num_threads)
            interpreter.allocate_tensors()  # prints, where a caller can hold it back
            self._graphs = {
                name: interpreter.get_signature_runner(name)
                for name in interpreter.get_signature_list()
            }
        except (ValueError, RuntimeError) as error:
            reason = str(error).splitlines()[0][:200]
            raise UserError(f"{self.path}: the file does not load: {reason}") from error

    @property
    def signatures(self) -> list[str]:
        """Names of the graphs."""
        return list(self._graphs)

    def inputs(self, signature: str) -> dict:
        """Returns LiteRT's details of each input by name."""
        return self._graphs[signature].get_input_details()

    def outputs(self, signature: str) -> dict:
        """Returns LiteRT's details of each output by name."""
        return self._graphs[signature].get_output_details()

    def call(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs a graph.

        Args:
            signature: its name.
            inputs: arrays of the right dtype and of a shape that the graph takes, by name.

        Raises:
            MemoryError: memory does not suffice.
        """
        with self._lock:
            try:
                return self._graphs[signature](**inputs)
            except RuntimeError as error:
                # A second call of the same interpreter would end the process.
                self._open()
                shapes = ", ".join(str(array.shape) for array in inputs.values())
                # LiteRT does not say why; what else could be wrong has been checked before.
                raise MemoryError(
                    f"LiteRT could not run {shapes}, most likely for lack of memory {error}".strip()
                ) from error
