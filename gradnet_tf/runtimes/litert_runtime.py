"""Runs a .tflite file through LiteRT; TensorFlow and Keras are not needed."""

import functools
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gradnet_tf.runtimes import SIGMA
from gradnet_tf.runtimes.choose_runtime import EXPECTED_TILE_FILE, is_installed
from gradnet_tf.tiling.machine import allowed_cores
from gradnet_tf.tiling.tiler import (
    CROP_SIDE,
    TiledNetwork,
    TiledRunner,
    TileInfo,
    info_from_card,
)
from gradnet_tf.utils.containers import read_json
from gradnet_tf.utils.errors import UserError

#: Sides of the pictures, and seconds, with which `require_no_crash` tries a file.
_TRIED_SIDES, _MOST_SECONDS = (64, 80), 120
#: Largest card that is read; a whole one has 2 kB.
_MOST_CARD = 2**20
_SIGNATURE, _TILE, _ATTENTION = "serving_default", "tile", "attention"


class LiteRTFile:
    """A .tflite file in LiteRT's interpreter; several threads may call.

    Args:
        path: the file.
        num_threads: threads of the interpreter; all cores that the process may use by default.

    Attributes:
        has_signatures: whether the file names its graphs; the only graph of another file is called
            "serving_default" here.

    Raises:
        UserError: the file does not load.
    """

    def __init__(self, path: Path, num_threads: int | None = None):
        self.path = path
        self._num_threads = num_threads or allowed_cores()
        self._lock = threading.Lock()  # the interpreter can run one computation at a time
        self._process = os.getpid()
        self._open()

    def _open(self) -> None:
        from ai_edge_litert.interpreter import Interpreter

        try:
            interpreter = Interpreter(**_source(self.path), num_threads=self._num_threads)
            interpreter.allocate_tensors()  # prints messages, which the caller may suppress
            self._graphs = {
                name: interpreter.get_signature_runner(name)
                for name in interpreter.get_signature_list()
            }
            self.has_signatures = bool(self._graphs)
            if not self._graphs:
                self._graphs = {_SIGNATURE: _PlainGraph(interpreter)}
        except (ValueError, RuntimeError) as error:
            reason = str(error).splitlines()[0][:200]
            raise UserError(f"{self.path}: the file does not load: {reason}") from error

    @property
    def signatures(self) -> list[str]:
        """Names of the graphs."""
        return list(self._graphs)

    def inputs(self, signature: str) -> dict:
        """Returns LiteRT's details of each input, by name."""
        return self._graphs[signature].get_input_details()

    def outputs(self, signature: str) -> dict:
        """Returns LiteRT's details of each output, by name."""
        return self._graphs[signature].get_output_details()

    def call(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs a graph.

        Args:
            signature: its name.
            inputs: arrays by name, with a dtype and a shape that the graph takes.

        Raises:
            MemoryError: there is not enough memory.
        """
        if os.getpid() != self._process:
            # A forked process lacks the interpreter's threads, so it needs a new interpreter. The
            # old one is kept, because deleting it would wait for these threads.
            self._of_parent = self._graphs
            self._lock, self._process = threading.Lock(), os.getpid()
            self._open()
        with self._lock:
            try:
                return self._graphs[signature](**inputs)
            except RuntimeError as error:
                # Another call of this interpreter would crash the process.
                self._open()
                shapes = ", ".join(str(array.shape) for array in inputs.values())
                # LiteRT gives no reason; other possible causes have been checked before.
                raise MemoryError(
                    f"LiteRT could not run {shapes}, most likely for lack of memory {error}".strip()
                ) from error


class _PlainGraph:
    """The graph of a file without signatures, with the interface of LiteRT's signature runners."""

    def __init__(self, interpreter):
        self._interpreter = interpreter

    def get_input_details(self) -> dict[str, dict]:
        return {item["name"]: item for item in self._interpreter.get_input_details()}

    def get_output_details(self) -> dict[str, dict]:
        return {item["name"]: item for item in self._interpreter.get_output_details()}

    def __call__(self, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        for name, item in self.get_input_details().items():
            self._interpreter.set_tensor(item["index"], inputs[name])
        self._interpreter.invoke()
        outputs = self.get_output_details()
        return {name: self._interpreter.get_tensor(i["index"]) for name, i in outputs.items()}


def require_no_crash(path: Path, runtime: str = "litert") -> None:
    """Runs a file of unknown origin on small pictures in another process.

    LiteRT trusts the indices in a file: one changed byte can make it write outside its memory,
    which would end this process without a message.

    Args:
        path: the file.
        runtime: "litert" or "compiled".

    Raises:
        UserError: it crashes, or does not end.
    """
    code = f"from {__name__} import run_small; import sys; run_small(*sys.argv[1:])"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    # With -P, Python files beside a downloaded model are not taken for packages.
    command = [sys.executable, "-P", "-c", code, os.fspath(path), runtime]
    quiet = {
        "stdin": subprocess.DEVNULL,
        "stdout": subprocess.DEVNULL,
        "stderr": subprocess.DEVNULL,
    }
    try:
        ended = subprocess.run(command, env=environment, timeout=_MOST_SECONDS, **quiet).returncode
    except subprocess.TimeoutExpired:
        why = f"does not end within {_MOST_SECONDS} seconds on a small picture"
    else:
        if ended >= 0:  # this process reports other errors better
            return
        why = f"crashes LiteRT (signal {signal.Signals(-ended).name})"
    raise UserError(f"{path}: the file {why}.\nIt is damaged: copy, download or export it again.")


def run_small(path: str, runtime: str = "litert") -> None:
    """Runs all graphs of a file on small arrays of zeros."""
    file = _open(Path(path), 1, runtime, "float32")
    for side in _TRIED_SIDES:
        for name in file.signatures:
            inputs = {}
            for key, item in file.inputs(name).items():
                full = [
                    1 if index == 0 and n < 0 else side if n < 0 else n
                    for index, n in enumerate(item["shape_signature"])
                ]
                inputs[key] = np.zeros(full, item["dtype"])
            file.call(name, inputs)


def _source(path: Path) -> dict[str, Any]:
    """Returns the interpreter's argument for a file; it takes paths in UTF-8 only."""
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        return {"model_content": path.read_bytes()}
    return {"model_path": str(path)}


def _open(path: Path, num_threads: int | None, runtime: str, precision: str):
    if runtime == "litert":
        return LiteRTFile(path, num_threads)
    if runtime == "compiled":
        from gradnet_tf.runtimes.compiled_runtime import CompiledFile

        return CompiledFile(path, num_threads)
    from gradnet_tf.runtimes.openvino_runtime import OpenVINOFile

    # Graphs are compiled only when they are needed, which is too late to report that it is missing.
    if not is_installed("openvino"):
        raise ModuleNotFoundError("No module named 'openvino'", name="openvino")
    return OpenVINOFile(path, num_threads, precision)


class TFLiteRunner(TiledRunner):
    """A .tflite file as a function from arrays to arrays; processes one image at a time.

    LiteRT (its interpreter or its CompiledModel) or OpenVINO runs it.

    A file of one size runs a picture in tiles, with attention vectors from crops of 80×80 pixels.
    Parts smaller than a window are padded by mirroring, as is the last row or column of an
    incomplete block; near such borders the result differs slightly from that of a file that takes
    any size.

    Args:
        path: the .tflite file, or the open file.
        num_threads: threads of the interpreter; all cores that the process may use by default.
        card: the export's card, with the margin of tiles; by default it is read from the .json
            file of the same name. Required for a file of one size; without it, other files only
            run whole pictures.
        runtime: "litert", "openvino" or, for files of one size with a card, "compiled".
        precision: what OpenVINO computes in, "float32" or "bfloat16". LiteRT computes as the file
            is.

    Attributes:
        accelerator: what the runtime "compiled" runs on, such as "GPU"; `None` for others.

    Raises:
        UserError: the file does not load, has unexpected inputs or outputs, is a file of one size
            without a card, or is not what "compiled" takes.
    """

    model = None
    parameters = None

    def __init__(
        self,
        path: Path | LiteRTFile,
        num_threads: int | None = None,
        card: Mapping[str, Any] | None = None,
        runtime: str = "litert",
        precision: str = "float32",
    ):
        is_open = isinstance(path, LiteRTFile)
        self._file = path if is_open else _open(path, num_threads, runtime, precision)
        self.path, self.runtime = self._file.path, runtime
        self.accelerator = getattr(self._file, "accelerator", None)
        self._vector_names, shape = self._checked_signature()
        self.needs_sigma = SIGMA in self._file.inputs(_SIGNATURE)
        self.channels = shape[-1]
        self.fixed_size = tuple(side for side in shape[1:3] if side > 0)
        info = self._info(_read_card(self.path) if card is None else card)
        self._is_fixed = isinstance(info, TileInfo) and info.side is not None
        if runtime == "compiled" and not self._is_fixed:
            raise UserError(
                f"{self.path}: {_card_name(self.path)} is missing or does not hold `tile` and "
                f"`halo`.\n{EXPECTED_TILE_FILE}"
            )
        given = _SIGNATURE if self._is_fixed else _TILE
        self._tiled = TiledNetwork(
            info,
            functools.partial(self._batch, _SIGNATURE),
            functools.partial(self._batch, given),
            self._vectors,
            CROP_SIDE**2 if self._is_fixed else None,
        )
        self.averages_picture = self._tiled.averages_picture

    def run(self, images: np.ndarray, sigma: np.ndarray | None = None) -> np.ndarray:
        """Returns the denoised images, float32, shaped like `images`."""
        if self._is_fixed:
            levels = [None] * len(images) if sigma is None else np.reshape(sigma, (-1, 1))
            pairs = zip(images, levels, strict=True)
            return np.stack([self.run_picture(image, level) for image, level in pairs])
        return self._batch(_SIGNATURE, images, *(() if sigma is None else (sigma,)))

    def naive(self, images: np.ndarray, sigma: np.ndarray | None = None) -> None:
        """A .tflite file does not expose its naive estimate."""
        return None

    def _checked_signature(self) -> tuple[list[str], tuple[int, ...]]:
        """Returns the names of the attention vectors that tiles take, and the images' shape."""
        if _SIGNATURE not in self._file.signatures or not self._file.has_signatures:
            names = self._file.signatures if self._file.has_signatures else []
            shapes = [
                f"{name}: {getattr(item['dtype'], '__name__', 'other than float32')} "
                f"{item['shape_signature'].tolist()}"
                for graph in self._file.signatures
                for name, item in self._file.inputs(graph).items()
            ]
            raise UserError(
                f"{self.path}: has no signature {_SIGNATURE}, and is no file of tiles: (1, S, S, C)"
                f" or (1, C, S, S) in and out, float32 or uint8, S at least 16, C 1 or 3. Received "
                f"signatures: {', '.join(names) or 'none'}; inputs: {'; '.join(shapes)[:150]}."
            )
        graph = _TILE if _TILE in self._file.signatures else _SIGNATURE
        details, outputs = dict(self._file.inputs(graph)), self._file.outputs(graph)
        level = details.pop(SIGMA, None) if len(details) > 1 else None
        vectors = sorted((name for name in details if name != "images"), key=_number)
        images = [details[name] for name in details if name not in vectors or len(details) == 1]
        shape = images[0]["shape_signature"].tolist() if len(images) == 1 else []
        known = all(name.startswith("attention_") for name in vectors) or len(details) == 1
        known &= level is None or level["shape_signature"].tolist() == [1]
        if len(shape) != 4 or images[0]["dtype"] != np.float32 or len(outputs) != 1 or not known:
            shapes = [item["shape_signature"].tolist() for item in details.values()]
            raise UserError(
                f"{self.path}: expected one float32 input (1, H, W, C), the noise level (1,) and "
                f"attention vectors of a tile if any, and one output. Received: inputs {shapes}, "
                f"{len(outputs)} outputs."
            )
        return vectors if len(details) > 1 else [], tuple(shape)

    def _info(self, card: Mapping[str, Any]) -> TileInfo | str:
        info = info_from_card(card, bool(self._vector_names))
        fixed_to_tiles = bool(self.fixed_size and self._vector_names)
        if fixed_to_tiles and (info is None or info.side is None):
            raise UserError(
                f"{self.path}: takes tiles of one size; {_card_name(self.path)}, which holds their "
                "margin, is missing or incomplete.\nCopy both files of the export."
            )
        if info is None:
            return f"{_card_name(self.path)}, which holds the margin of tiles, is missing"
        if info.side is not None and self.fixed_size != (info.side + 2 * info.halo,) * 2:
            raise UserError(
                f"{self.path}: takes images of {self.fixed_size}, and its card says tiles of "
                f"{info.side} with margins of {info.halo}.\nCopy both files of one export."
            )
        return info

    def _batch(self, graph: str, images: np.ndarray, *more: np.ndarray) -> np.ndarray:
        """Runs images one by one; `more` are their noise levels, if taken, and the vectors."""
        levels, vectors = more[: self.needs_sigma], more[self.needs_sigma :]
        given = dict(zip(self._vector_names, vectors, strict=False))
        found = [
            self._call(graph, image[None], given | level)
            for image, level in zip(images, self._levels(images, levels), strict=True)
        ]
        return np.concatenate(found)

    def _levels(self, images: np.ndarray, levels: tuple) -> list[dict[str, np.ndarray]]:
        """Returns the further input of each image: its noise level, if the file takes one."""
        if not levels:
            return [{}] * len(images)
        return [{SIGMA: np.float32([level])} for level in levels[0]]

    def _call(self, graph: str, image: np.ndarray, given: dict) -> np.ndarray:
        """Runs one image; pads it by mirroring if it is smaller than a file of one size takes."""
        height, width = image.shape[1:3]
        if self._is_fixed:
            image = _completed(image, *self.fixed_size)
        elif self.fixed_size and self.fixed_size != (height, width):
            raise UserError(
                f"{self.path}: takes images of {self.fixed_size[0]}×{self.fixed_size[1]} "
                f"pixels only. Received: {height}×{width}.\nFor others it needs the card of its "
                f"export, {_card_name(self.path)}, with its margin."
            )
        name = next(name for name in self._file.inputs(graph) if name not in given)
        outputs = self._file.call(graph, {name: np.ascontiguousarray(image), **given})
        output = next(iter(outputs.values()))
        # An output of an unexpected shape is returned as it is; the caller reports the error.
        completed = self._is_fixed and output.shape[1:3] == self.fixed_size
        return output[:, :height, :width] if completed else output

    def _vectors(self, images: np.ndarray, *levels: np.ndarray) -> list[np.ndarray]:
        if self._is_fixed:
            images = _completed(images, CROP_SIDE, CROP_SIDE)
        found = [
            self._file.call(_ATTENTION, {"images": image[None], **level})
            for image, level in zip(images, self._levels(images, levels), strict=True)
        ]
        return [np.concatenate([vectors[name] for vectors in found]) for name in self._vector_names]


def _card_name(path: Path) -> str:
    return path.with_suffix(".json").name


def _read_card(path: Path) -> dict[str, Any]:
    card = path.with_suffix(".json")
    try:
        content = read_json(card, _MOST_CARD) if card.is_file() else {}
    except (OSError, ValueError) as error:
        raise UserError(f"{card}: not readable as JSON: {error}") from error
    return content if isinstance(content, dict) else {}


def _number(name: str) -> tuple[int, str]:
    digits = name.rpartition("_")[2]
    return (int(digits) if digits.isdecimal() else 0), name


def _completed(images: np.ndarray, height: int, width: int) -> np.ndarray:
    """Pads images at the bottom and on the right by mirroring."""
    more = [(0, 0), (0, height - images.shape[1]), (0, width - images.shape[2]), (0, 0)]
    return np.pad(images, more, mode="symmetric") if any(sum(more, ())) else images
