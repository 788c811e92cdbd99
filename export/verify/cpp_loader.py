"""Judges a SavedModel with TensorFlow's C++ loader, the one that TF Serving has.

`tf.saved_model.load` forgives faults that a server does not, so it is no
judge. The C++ loader runs in a process of its own: a crash there is a verdict
here, and its runtime does not meet TensorFlow's Python runtime.
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
    """The C++ loader refused the SavedModel, or crashed."""


@dataclasses.dataclass(frozen=True)
class LoaderResult:
    """What the C++ loader gave.

    Attributes:
        outputs: per request, arrays by output name; `None` for one that failed.
        errors: {request: (code, message)} of those that failed; the codes are gRPC's.
        seconds: duration of each repetition.
        signatures: {signature: {"inputs" and "outputs": {name: tensor name}}}.
        resident_bytes: memory that the process held after each request (Linux, else `None`).
        peak_bytes: the most it ever held (the same).
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
    go_on: bool = False,
) -> LoaderResult:
    """Loads a SavedModel in C++ and runs a signature on each request.

    Args:
        folder: holds saved_model.pb.
        requests: arrays (float32, uint8, int32, int64, or objects that are bytes) by input name.
        signature: which signature to run, or one for each request.
        threads: threads within an operation; 0 leaves the choice to TensorFlow.
        repeats: times to run each request again, for `seconds`.
        go_on: a request that fails is reported in `errors`, and the next one is run.

    Raises:
        LoaderError: the model does not load, or run unless `go_on`; the message is the
            loader's.
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
        options = [str(threads), str(repeats), str(int(go_on))]
        done = subprocess.run(
            [*command, ",".join(signatures), work, *options],
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            said = done.stderr.strip().splitlines() or ["no message"]
            raise LoaderError(f"C++ loader, exit code {done.returncode}: {said[-1]}")
        facts = json.loads((Path(work) / "facts.json").read_text())
        errors = {int(index): (code, text) for index, (code, text) in facts["errors"].items()}
        outputs = []
        for index in range(len(requests)):
            if index in errors:
                outputs.append(None)
                continue
            with np.load(Path(work) / f"out_{index:04d}.npz", allow_pickle=True) as file:
                outputs.append(dict(file))
    memory = facts["resident_bytes"], facts["peak_bytes"]
    return LoaderResult(outputs, errors, facts["seconds"], facts["signatures"], *memory)
