"""Runs a model file in OpenVINO, in a process of its own.

    python -m tools.openvino_process MODEL INPUTS.npz OUTPUTS.npz [--precision=f32]

Needs NumPy and OpenVINO alone, so that it runs in an environment without TensorFlow; see
`tools.checks_openvino` for the other side. Prints one line of JSON: `version`, `inputs` and
`outputs` by name, `seconds` of the last run of each input.
"""

import argparse
import json
import sys
import time

import numpy as np

PRECISIONS = ("f32", "bf16")


def run(model: str, inputs: str, outputs: str, precision: str, repeats: int) -> dict:
    """Feeds every array of `inputs` to the one input of `model` and writes what comes out.

    Args:
        model: SavedModel folder (its `serving_default`) or .tflite file.
        inputs: npz with one array, or more, of the input's rank.
        outputs: npz to write: the first output, under the names of `inputs`.
        precision: what OpenVINO computes in. Left alone it takes bfloat16 where the CPU has it.
        repeats: runs of each input; the last is timed.

    Returns:
        What is printed.
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
