"""Runs a model file in OpenVINO, in a separate process.

    python -m tools.openvino_process MODEL INPUTS.npz OUTPUTS.npz [--precision=f32]

Needs only NumPy and OpenVINO, so that it runs in environments without TensorFlow;
`tools.checks_openvino` starts it. Prints one line of JSON: `version`, the names of `inputs` and
`outputs`, and `seconds` of the last run of each input.
"""

import argparse
import json
import sys
import time

import numpy as np

PRECISIONS = ("f32", "bf16")


def run(model: str, inputs: str, outputs: str, precision: str, repeats: int) -> dict:
    """Runs `model` on every array of the npz `inputs` and writes its first output to `outputs`.

    Args:
        model: SavedModel folder (its `serving_default`) or .tflite file with one input.
        inputs: npz of input arrays.
        outputs: npz to write, with the names of `inputs`.
        precision: explicit, because OpenVINO's default is bfloat16 if the CPU supports it.
        repeats: runs of each input; the last is timed.

    Returns:
        The report to print.
    """
    import openvino

    core = openvino.Core()
    read = core.read_model(model)
    compiled = core.compile_model(read, "CPU", {"INFERENCE_PRECISION_HINT": precision})
    found, seconds = {}, {}
    with np.load(inputs) as arrays:
        for name, array in arrays.items():
            for _ in range(repeats):
                start = time.perf_counter()
                result = compiled([array])
                seconds[name] = time.perf_counter() - start
            found[name] = np.array(result[0])
    np.savez(outputs, **found)
    return {
        "version": openvino.__version__,
        "inputs": [port.get_any_name() for port in read.inputs],
        "outputs": [port.get_any_name() for port in read.outputs],
        "seconds": seconds,
    }


def main() -> int:
    """Parses the command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="SavedModel folder or .tflite file")
    parser.add_argument("inputs", help="npz of input arrays")
    parser.add_argument("outputs", help="npz to write")
    parser.add_argument("--precision", choices=PRECISIONS, default="f32")
    parser.add_argument("--repeats", type=int, default=1, help="runs of each; the last is timed")
    options = parser.parse_args()
    print(json.dumps(run(**vars(options))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
