"""Runs a SavedModel with TensorFlow's C++ loader, which is also that of TF Serving.

`tf.saved_model.load` accepts faulty models that a server rejects. The C++ loader runs in a separate
process, so that a crash is only an error here, and because its runtime conflicts with that of
TensorFlow's Python package.
"""

import dataclasses
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np


class LoaderError(RuntimeError):
    """The C++ loader rejected the SavedModel, or crashed."""


@dataclasses.dataclass(frozen=True)
class LoaderResult:
    """The results of a run in the C++ loader.

    Attributes:
        outputs: per request, arrays by output name; `None` for failed ones.
        errors: {request: (gRPC code, message)} of failed requests.
        seconds: duration of each repetition.
        signatures: {signature: {"inputs" and "outputs": {name: tensor name}}}.
        resident_bytes: memory of the process after each request (`None` except on Linux).
        peak_bytes: its maximum (likewise).
    """

    outputs: list[dict[str, np.ndarray] | None]
    errors: dict[int, tuple[int, str]]
    seconds: list[float]
    signatures: dict[str, dict[str, dict[str, str]]]
    resident_bytes: list[int | None]
    peak_bytes: int | None


def run_saved_model(
    folder: str | os.PathLike,
    requests: Sequence[Mapping[str, np.ndarray]],
    signature: str | Sequence[str] = "serving_default",
    threads: int = 0,
    repeats: int = 0,
    keep_going: bool = False,
) -> LoaderResult:
    """Loads a SavedModel in C++ and runs a signature on each request.

    Args:
        folder: the folder of saved_model.pb.
        requests: arrays (float32, uint8, int32, int64, or objects that are bytes) by input name.
        signature: the signature to run, or one for each request.
        threads: threads within an operation; 0 for TensorFlow's default.
        repeats: repetitions of each request, for `seconds`.
        keep_going: report failed requests in `errors` and run the next ones.

    Raises:
        LoaderError: the model does not load, or fails without `keep_going`.
    """
    tensorflow = importlib.util.find_spec("tensorflow")
    if tensorflow is None:
        raise LoaderError("TensorFlow is not installed")
    library_dir = next(iter(tensorflow.submodule_search_locations))
    signatures = [signature] if isinstance(signature, str) else signature
    with tempfile.TemporaryDirectory(prefix="gradnet_cpp_") as work:
        for index, request in enumerate(requests):
            np.savez(Path(work) / f"in_{index:04d}.npz", **request)
        script = str(Path(__file__).with_name("cpp_session.py"))
        # -P keeps this folder off the child's import path.
        command = [sys.executable, "-P", script, library_dir, os.fspath(folder)]
        options = [str(threads), str(repeats), str(int(keep_going))]
        done = subprocess.run(
            [*command, ",".join(signatures), work, *options],
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines() or ["no message"]
            raise LoaderError(f"C++ loader, exit code {done.returncode}: {lines[-1]}")
        info = json.loads((Path(work) / "info.json").read_text())
        errors = {int(index): (code, text) for index, (code, text) in info["errors"].items()}
        outputs = []
        for index in range(len(requests)):
            if index in errors:
                outputs.append(None)
                continue
            with np.load(Path(work) / f"out_{index:04d}.npz", allow_pickle=True) as file:
                outputs.append(dict(file))
    memory = info["resident_bytes"], info["peak_bytes"]
    return LoaderResult(outputs, errors, info["seconds"], info["signatures"], *memory)
