r"""Prints a table of training patches per second, by network, precision and engine.

Example:
  python -m benchmarks.speed.train_throughput --presets=gradnet,gradnet_small \
      --precisions=float32,mixed_bfloat16 --batch_size=64 --crop_size=80 --steps=10
A cell is the median of --steps steps after two warm-up steps, in a separate process. The batch is
already on the device, except for jax_with_input, which also chooses, crops and flips images and
adds noise. Cells that could not be measured are blank; the reason is below the table.
"""

import dataclasses
import importlib.util
import statistics
import subprocess
import sys

from benchmarks.measuring import in_own_process
from gradnet_tf.models.presets import PRECISIONS, get_preset
from gradnet_tf.utils.command import run_script
from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.files import write_json
from gradnet_tf.utils.options import CommandLine, Given, option
from gradnet_tf.utils.ownership import is_json_with, require_replaceable
from gradnet_tf.utils.versions import installed_versions

# Column → the package that it needs.
ENGINES = {
    "tensorflow": "tensorflow",
    "jax": "jax",
    "jax_with_input": "jax",
    "torch": "torch",
    "torch_compile": "torch",
}


@dataclasses.dataclass(frozen=True)
class Options:
    """The command's options.

    Attributes:
        presets: networks by preset.
        precisions: dtype policies.
        engines: columns of the table.
        batch_size: patches per step.
        crop_size: side of a patch in pixels; even.
        steps: timed steps.
        timeout: seconds after which a cell is abandoned.
        output: JSON file for the cells, with the seconds of every step.
    """

    presets: tuple[str, ...] = ("gradnet", "gradnet_small")
    precisions: tuple[str, ...] = option(("float32", "mixed_bfloat16"), choices=PRECISIONS[:2])
    engines: tuple[str, ...] = option(tuple(ENGINES), choices=tuple(ENGINES))
    batch_size: int = option(64, least=1)
    crop_size: int = option(80, least=2)
    steps: int = option(10, least=1)
    timeout: int = option(900, least=1)
    output: str | None = None


COMMAND_LINE = CommandLine(Options)


def measure_cell(engine: str, preset: str, precision: str, options: Options) -> dict:
    """Measures one cell; returns its fields with `seconds` and `device`, or with `reason`."""
    cell = {"engine": engine, "preset": preset, "precision": precision}
    if importlib.util.find_spec(ENGINES[engine]) is None:
        return {**cell, "reason": f"{ENGINES[engine]} is not installed"}
    sizes = {name: getattr(options, name) for name in ("batch_size", "crop_size", "steps")}
    backend = {} if engine.startswith("torch") else {"KERAS_BACKEND": ENGINES[engine]}
    try:
        result = in_own_process(
            "benchmarks.speed.training_cell:measure",
            environment={"TF_CPP_MIN_LOG_LEVEL": "3", **backend},
            timeout=options.timeout,
            **cell,
            **sizes,
        )
    except subprocess.TimeoutExpired:
        return {**cell, "reason": f"took more than {options.timeout} s"}
    except UserError as error:
        return {**cell, "reason": str(error).partition(" failed: ")[2]}
    speed = options.batch_size / statistics.median(result["seconds"])
    return {**cell, **result, "patches_per_second": speed}


def table(cells: list[dict], options: Options) -> str:
    """Returns the cells as Markdown: a row for each network and precision, then the reasons."""
    lines = [
        "| network | precision | " + " | ".join(options.engines) + " |",
        "|---|---|" + "---:|" * len(options.engines),
    ]
    rows: dict[tuple[str, str], list[str]] = {}
    for cell in cells:
        speed = cell.get("patches_per_second")
        text = "" if speed is None else f"{speed:.4g}"
        rows.setdefault((cell["preset"], cell["precision"]), []).append(text)
    lines += ["| " + " | ".join([*key, *texts]) + " |" for key, texts in rows.items()]
    devices = {f"{cell['engine']} on {cell['device']}" for cell in cells if "device" in cell}
    lines.append(
        f"\nTraining patches per second, {options.crop_size}×{options.crop_size}, batch "
        f"{options.batch_size}; {', '.join(sorted(devices)) or 'nothing measured'}."
    )
    # A reason that several cells share is listed once.
    reasons = dict.fromkeys(f"{c['engine']}: {c['reason']}" for c in cells if "reason" in c)
    lines += [f"Blank: {reason}." for reason in reasons]
    return "\n".join(lines)


def main(given: Given) -> None:
    """Measures all cells one after another and prints the table."""
    options = given.make(Options)
    for preset in options.presets:
        get_preset(preset)
    if options.output:
        _require_own(options.output)
    cells = []
    for preset in options.presets:
        for precision in options.precisions:
            for engine in options.engines:
                print(f"measuring {preset} {precision} {engine}", file=sys.stderr)
                cells.append(measure_cell(engine, preset, precision, options))
    print(table(cells, options))
    if options.output:
        _require_own(options.output)
        write_json(options.output, {"cells": cells, "versions": installed_versions()})


def _require_own(output: str) -> None:
    require_replaceable(
        output, f"--output={output}", lambda path: is_json_with(path, "cells", "versions")
    )


if __name__ == "__main__":
    run_script(main, __doc__, COMMAND_LINE)
