"""Runs a .tflite file of one size through LiteRT's CompiledModel, on an NPU or a GPU if possible.

TensorFlow and Keras are not needed.
"""

import contextlib
import ctypes
import functools
import os
import struct
import threading
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from gradnet_tf.runtimes.choose_runtime import EXPECTED_TILE_FILE
from gradnet_tf.runtimes.openvino_runtime import read_graphs
from gradnet_tf.tiling.machine import allowed_cores
from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.framework_start import quiet_native_logs

#: What is tried, in this order, by the names of LiteRT's `HardwareAccelerator`. A combination with
#: CPU leaves it operations that the other lacks. NPU with CPU is not tried: it succeeds without an
#: NPU too, and nothing tells the two apart. Without a GPU, GPU fails in any combination.
_TRIED = (("NPU",), ("GPU",), ("GPU", "CPU"), ("CPU",))
_SIGNATURE = "serving_default"


class CompiledFile:
    """A .tflite file of one size in a CompiledModel, with the interface of `LiteRTFile`.

    Several threads may call. A fork compiles the file again, for the same accelerator; only the
    processor's was tried so.

    Args:
        path: the file.
        num_threads: threads on the processor; all cores that the process may use by default.

    Attributes:
        accelerator: "NPU", "GPU", "GPU and CPU" or "CPU": what LiteRT accepted and ran every graph
            on. With "GPU and CPU", it does not tell which operations run where.

    Raises:
        UserError: the file takes images of any size, does not name its graphs, or does not load;
            or the installed LiteRT has no CompiledModel.
    """

    #: Files without named graphs are refused.
    has_signatures = True

    def __init__(self, path: Path, num_threads: int | None = None):
        self.path = path
        self._num_threads = num_threads or allowed_cores()
        try:
            self._content = path.read_bytes()
            self._described = read_graphs(self._content)
        except (OSError, struct.error, IndexError, ValueError) as error:
            raise UserError(f"{path}: the file does not load: {error}") from error
        self._require_one_size()
        self._lock = threading.Lock()  # a graph has one set of buffers
        self._process = os.getpid()
        self._open(_TRIED)

    def _require_one_size(self) -> None:
        if _SIGNATURE not in self._described:
            names = ", ".join(self._described) or "none"
            raise UserError(
                f"{self.path}: has no graph {_SIGNATURE}; graphs: {names}.\n{EXPECTED_TILE_FILE}"
            )
        # The file is read for this, because CompiledModel reports open sides as 1.
        for graph in self._described.values():
            for name, item in graph["inputs"].items():
                shape = item["shape_signature"].tolist()
                if min(shape, default=0) < 1 or item["dtype"] != np.float32:
                    sides = ", ".join("any" if side < 1 else str(side) for side in shape)
                    kind = "float32" if item["dtype"] else "other than float32"
                    raise UserError(
                        f"{self.path}: its input {name} is ({sides}), {kind}.\n{EXPECTED_TILE_FILE}"
                    )

    def _open(self, choices: Sequence[tuple[str, ...]]) -> None:
        reason = ""
        with quiet_native_logs():  # LiteRT reports each accelerator that it looks for
            for names in choices:
                try:
                    self._graphs = self._compiled(names)
                except RuntimeError as error:
                    reason = str(error).strip().rpartition("\n")[2][:200].lstrip("└ ")
                    continue
                except ImportError as error:
                    if error.name == "ai_edge_litert":  # not installed, which the caller reports
                        raise
                    raise UserError(
                        f"{self.path}: the installed ai_edge_litert lacks CompiledModel: {error}\n"
                        "Upgrade it: pip install --upgrade ai-edge-litert, or choose litert."
                    ) from error
                self._choice, self.accelerator = names, " and ".join(names)
                _silence_exit()
                weakref.finalize(self, _destroy, self._graphs, os.getpid()).atexit = False
                return
        raise UserError(f"{self.path}: the file does not load: {reason}")

    def _compiled(self, names: tuple[str, ...]) -> dict[str, "_Graph"]:
        """Returns the graphs, compiled for accelerators and run once.

        Raises:
            RuntimeError: one of them is missing or cannot run the graphs.
        """
        from ai_edge_litert.compiled_model import CompiledModel
        from ai_edge_litert.hardware_accelerator import HardwareAccelerator
        from ai_edge_litert.options import CpuOptions, GpuOptions, Options

        accelerators = HardwareAccelerator(0)
        for name in names:
            accelerators |= HardwareAccelerator[name]
        options = Options(
            accelerators,
            cpu_options=CpuOptions(num_threads=self._num_threads),
            # GPUs would round to 16 bits; the result is to be that of the other runtimes.
            gpu_options=GpuOptions(enforce_f32=True),
        )
        model = CompiledModel.from_buffer(self._content, options=options)
        graphs = {name: _Graph(model, name, self._described[name]) for name in self._described}
        for name, graph in graphs.items():
            # What compiles may still fail to run; and LiteRT prints more in the first run.
            inputs = self._described[name]["inputs"].items()
            graph({key: np.zeros(item["shape_signature"], np.float32) for key, item in inputs})
        return graphs

    @property
    def signatures(self) -> list[str]:
        """Names of the graphs."""
        return list(self._described)

    def inputs(self, signature: str) -> dict:
        """Returns `shape_signature` and `dtype` of each input, by name."""
        return self._described[signature]["inputs"]

    def outputs(self, signature: str) -> dict:
        """Returns `shape_signature` and `dtype` of each output, by name."""
        return self._described[signature]["outputs"]

    def call(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs a graph.

        Args:
            signature: its name.
            inputs: float32 arrays by name, of the shapes in the file.

        Raises:
            UserError: another shape, or the accelerator fails.
        """
        if os.getpid() != self._process:
            # A forked process lacks LiteRT's threads, so it compiles a model of its own. The old
            # one is kept, because deleting it could wait for these threads.
            self._of_parent = self._graphs
            self._lock, self._process = threading.Lock(), os.getpid()
            self._open([self._choice])
        for name, item in self.inputs(signature).items():
            if inputs[name].shape != (shape := tuple(item["shape_signature"].tolist())):
                raise UserError(
                    f"{self.path}: {name} must be {shape}. Received: {inputs[name].shape}"
                )
        with self._lock:
            try:
                return self._graphs[signature](inputs)
            except RuntimeError as error:
                reason = str(error).strip().partition("\n")[0][:200]
                raise UserError(
                    f"{self.path}: LiteRT failed on the {self.accelerator}: {reason}\n"
                    "Use the runtime litert, which runs on the processor."
                ) from error


def _destroy(graphs: dict[str, "_Graph"], process: int) -> None:
    """Destroys the graphs of this process in silence: LiteRT reports each accelerator."""
    if os.getpid() == process:
        with quiet_native_logs():
            graphs.clear()


@functools.cache
def _silence_exit() -> None:
    """Closes standard error after Python's own end, when LiteRT reports what it destroys."""
    with contextlib.suppress(AttributeError, OSError, TypeError):  # Windows has no such function.
        libc = ctypes.CDLL(None)
        libc.__cxa_atexit(libc.close, ctypes.c_void_p(2), None)


class _Graph:
    """A graph of a CompiledModel with its buffers; one call at a time.

    A picture is copied twice: into the input's buffer and out of the output's, which both stay
    where the accelerator wants them.
    """

    def __init__(self, model, name: str, described: Mapping[str, dict]):
        self._model, self._index = model, model.get_signature_index(name)
        if self._index < 0:
            raise RuntimeError(f"LiteRT finds no graph {name}")
        names = model.get_signature_list()[name]
        self._inputs = list(
            zip(names["inputs"], model.create_input_buffers(self._index), strict=True)
        )
        self._outputs = [
            (each, buffer, described["outputs"][each]["shape_signature"].tolist())
            for each, buffer in zip(
                names["outputs"], model.create_output_buffers(self._index), strict=True
            )
        ]

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        for name, buffer in self._inputs:
            buffer.write(np.asarray(inputs[name], np.float32))
        given = [buffer for _, buffer in self._inputs]
        made = [buffer for _, buffer, _ in self._outputs]
        self._model.run_by_index(self._index, given, made)
        return {
            name: buffer.read(int(np.prod(shape)), np.float32).reshape(shape)
            for name, buffer, shape in self._outputs
        }
