"""Runs .tflite files with LiteRT and writes their outputs; runs natively and under ARM64.

    python arm64_process.py FOLDER

FOLDER contains *.tflite and inputs.npz with `images` (1, H, W, C) for whole pictures, `window`
(1, S, S, C) for tiles and `crop` (1, 80, 80, C) for the attention vectors. Needs only NumPy and
LiteRT.
"""

import json
import platform
import sys
import time
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter


def run_file(path: Path, given: dict[str, np.ndarray], threads: int) -> dict[str, np.ndarray]:
    """Returns the outputs of every signature of a file by name; `given` is inputs.npz."""
    interpreter = Interpreter(model_path=str(path), num_threads=threads)
    signatures = interpreter.get_signature_list()
    denoise = interpreter.get_signature_runner("serving_default")
    if "attention" not in signatures:
        return denoise(images=given["images"])
    vectors = interpreter.get_signature_runner("attention")(images=given["crop"])
    if len(signatures["serving_default"]["inputs"]) > 1:  # a fixed tile takes the vectors
        return {**vectors, **denoise(images=given["window"], **vectors)}
    tile = interpreter.get_signature_runner("tile")(images=given["window"], **vectors)
    parts = {f"tile_{name}": values for name, values in tile.items()}
    return {**vectors, **parts, **denoise(images=given["images"])}


def main() -> int:
    """Runs every file of the folder; returns the exit code."""
    folder = Path(sys.argv[1])
    with np.load(folder / "inputs.npz") as arrays:
        given = dict(arrays)
    seconds = {}
    for path in sorted(folder.glob("*.tflite")):
        start = time.perf_counter()
        outputs = run_file(path, given, threads=1)
        seconds[path.name] = time.perf_counter() - start
        np.savez(folder / f"{path.stem}.outputs.npz", **outputs)
    print(json.dumps({"machine": platform.machine(), "seconds": seconds}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
