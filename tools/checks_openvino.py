"""Verifies artifacts with OpenVINO, an independent runtime.

    python -m tools.checks_openvino FOLDER

compares the artifacts of `python -m export --output=FOLDER` with their Keras model. OpenVINO is
optional: `pip install -e '.[openvino]'`, or set GRADNET_OPENVINO_PYTHON to the Python of another
environment that has it.
"""

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from export.verify.checks import SIZES, probe_image
from gradnet_tf.utils.command import guarded
from gradnet_tf.utils.errors import EXIT_OK, EXIT_SOME_FAILED, UserError
from gradnet_tf.utils.options import ArgumentParser

ROOT = Path(__file__).resolve().parent.parent
#: Environment variable with the Python that has OpenVINO, if it is another one.
VARIABLE = "GRADNET_OPENVINO_PYTHON"
#: Least agreement with Keras in dB. 8 bits lose some; wrong results are far below.
FLOAT_LEAST = 90.0
LEAST = {"int8": 35.0, "dynamic": 35.0, "bfloat16": 45.0}


def openvino_python() -> str | None:
    """Returns the Python that has OpenVINO: the variable's, or this one; otherwise `None`."""
    if named := os.environ.get(VARIABLE):
        # Not resolved, because a virtual environment is identified by the path of its link.
        return str(Path(named).absolute())
    return sys.executable if importlib.util.find_spec("openvino") else None


def run_openvino(
    model: str | os.PathLike,
    images: Sequence[np.ndarray],
    precision: str = "f32",
    repeats: int = 1,
) -> tuple[list[np.ndarray], dict]:
    """Runs images through a model in OpenVINO.

    Args:
        model: SavedModel folder or .tflite file with one input and one output.
        images: inputs, such as float32 (1, H, W, C).
        precision: "f32" or "bf16".
        repeats: runs of each image; the last is timed.

    Returns:
        The outputs, and the report that `tools.openvino_process` printed.

    Raises:
        UserError: OpenVINO is missing, or rejects the file.
    """
    python = openvino_python()
    if python is None:
        raise UserError(
            "OpenVINO is not installed. Run make openvino-check, or pip install -e '.[openvino]'."
        )
    with tempfile.TemporaryDirectory(prefix="gradnet_openvino_") as folder:
        inputs, outputs = Path(folder, "inputs.npz"), Path(folder, "outputs.npz")
        np.savez(inputs, **{f"{n:04}": image for n, image in enumerate(images)})
        command = [python, "-m", "tools.openvino_process", str(Path(model).resolve())]
        command += [str(inputs), str(outputs), f"--precision={precision}", f"--repeats={repeats}"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            reason = (done.stderr.strip().splitlines() or ["no message"])[-1][:300]
            raise UserError(f"{model}: OpenVINO fails: {reason}")
        with np.load(outputs) as arrays:
            found = [arrays[name] for name in sorted(arrays)]
    return found, json.loads(done.stdout.splitlines()[-1])


def agreement(found: np.ndarray, expected: np.ndarray) -> tuple[float, float]:
    """Returns the largest difference and the agreement in dB (peak 1.0) of two pictures."""
    difference = found.astype(np.float64) - expected
    power = np.mean(difference**2)
    return float(np.abs(difference).max()), float(-10 * np.log10(power)) if power else np.inf


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints a line for each artifact; returns the exit code."""
    parser = ArgumentParser(prog="python -m tools.checks_openvino", description=__doc__)
    parser.add_argument("folder", type=Path, help="output folder of `python -m export`")
    parser.add_argument("--repeats", type=int, default=1, help="the last run is timed")
    options = parser.parse_args(arguments)
    cards = [json.loads(path.read_text("utf-8")) for path in sorted(options.folder.glob("*.json"))]
    # OpenVINO reads one signature of a .tflite file; with tiles, that of the attention.
    cards = [card for card in cards if card.get("file") and not card.get("tile")]
    if not cards:
        raise UserError(f"{options.folder}: contains no artifact of any size with its card.")
    from gradnet_tf.denoiser import load_denoiser

    expected, code = {}, EXIT_OK
    print(f"{'file':<44}{'largest difference':>20}{'agreement':>12}{'f32':>10}{'bf16':>10}")
    for card in cards:
        channels = next(iter(card["inputs"]["serving_default"].values()))["shape"][-1]
        images = [probe_image(*size, channels) for size in SIZES]
        if card["name"] not in expected:
            # A run's artifacts have the name of its preset, those of a file that of the file.
            model = card.get("run") or card.get("model") or card["name"]
            keras = load_denoiser(model, runtime="keras")
            if keras.source["sha256"] != card.get("weights_sha256", keras.source["sha256"]):
                raise UserError(
                    f"{card['file']}: was exported from weights with sha256 "
                    f"{card['weights_sha256']}, and {keras.source['path']} has other ones.\n"
                    "Export it again."
                )
            expected[card["name"]] = [keras.denoise(image) for image in images]
        model = options.folder / card["file"]
        found, report = run_openvino(model, images, "f32", options.repeats)
        half = run_openvino(model, images, "bf16", options.repeats)[1]
        wanted = expected[card["name"]]
        if [output.shape for output in found] != [output.shape for output in wanted]:
            # OpenVINO uses the first subgraph of a .tflite file for any signature.
            print(f"{card['file']:<44}{'reads another signature than serving_default':>42}")
            code = EXIT_SOME_FAILED
            continue
        pairs = [agreement(*pair) for pair in zip(found, wanted, strict=True)]
        # NaN of any picture stays, and fails.
        worst, decibels = np.max([pair[0] for pair in pairs]), np.min([pair[1] for pair in pairs])
        least = next((LEAST[kind] for kind in LEAST if f"_{kind}" in card["file"]), FLOAT_LEAST)
        if not decibels >= least:
            code = EXIT_SOME_FAILED
        last = sorted(report["seconds"])[-1]
        times = [1e3 * one["seconds"][last] for one in (report, half)]
        print(
            f"{card['file']:<44}{worst:>20.1e}{decibels:>9.1f} dB"
            + "".join(f"{time:>7.1f} ms" for time in times)
            + ("" if decibels >= least else f"  at least {least:.0f} dB expected")
        )
    print(
        f"OpenVINO {report['version']}; ms at {SIZES[-1][0]}×{SIZES[-1][1]}, run {options.repeats}"
    )
    return code


if __name__ == "__main__":
    sys.exit(guarded(main))
