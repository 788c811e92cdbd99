r"""Prints the quality and the speed of each .tflite file of an export relative to float32.

Example:
  python -m export --model=gradnet_small_color_blind --output=out/lite --data_dir=DATA \
      --dataset=cbsd68 \
      --calibration=bsds500 \
      --formats=tflite_float32,tflite_float16,tflite_dynamic,tflite_int8,tflite_float32_tile256,\
tflite_float16_tile256,tflite_dynamic_tile256,tflite_int8_tile256
  python -m benchmarks.speed.tflite_speed --folder=out/lite
Quality comes from the cards. The files of one size are timed in turn, round after round, so that
other work on the machine affects all alike; the best round counts. Files without a fixed size get
an image of 256×256, files of tiles a whole window.
"""

import dataclasses
import functools
import json
from collections.abc import Callable
from pathlib import Path

from benchmarks.measuring import best_times
from gradnet_tf.utils.command import run_script
from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.options import CommandLine, Given, option


@dataclasses.dataclass(frozen=True)
class Options:
    """The command's options.

    Attributes:
        folder: output folder of an export.
        rounds: number of runs of each file.
        threads: threads of the interpreter.
    """

    folder: str
    rounds: int = option(20, least=1)
    threads: tuple[int, ...] = option((1, 2), least=1)


COMMAND_LINE = CommandLine(Options)


_SIDE = 256


def find_cards(folder: Path) -> list[dict]:
    """Returns the cards of a folder's .tflite files, untiled files first and float32 first."""
    cards = [json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.json"))]
    cards = [card for card in cards if card.get("format", "").startswith("tflite_")]
    if not cards:
        raise UserError(
            f"--folder={folder}: no cards of .tflite files. Run python -m export first."
        )
    order = ["float32", "float16", "dynamic", "int8"]
    return sorted(cards, key=lambda card: (card["tile"] or 0, order.index(precision(card))))


def precision(card: dict) -> str:
    """Returns the precision of a file from its card."""
    return card["format"].split("_")[1]


def load_runs(paths: list[Path], threads: int) -> list[Callable[[], object]]:
    """Returns a function for each file that runs its `serving_default` on a picture of noise."""
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    from gradnet_tf.utils.framework_start import quiet_native_logs

    calls = []
    with quiet_native_logs():
        for path in paths:
            interpreter = Interpreter(model_path=str(path), num_threads=threads)
            run = interpreter.get_signature_runner("serving_default")
            draw, inputs = np.random.default_rng(0), {}
            for name, details in run.get_input_details().items():
                shape = [side if side > 0 else _SIDE for side in details["shape_signature"]]
                inputs[name] = draw.random(shape, np.float32)
            calls.append(functools.partial(run, **inputs))
            calls[-1]()
    return calls


def main(given: Given) -> None:
    """Prints the table."""
    options = given.make(Options)
    folder = Path(options.folder)
    threads = options.threads
    cards = find_cards(folder)
    quality = cards[0]["quality"]
    print(f"{cards[0]['name']}, {quality['dataset']} at sigma {quality['sigma']:g}, ", end="")
    print(f"Keras {quality['psnr_keras']:.3f} dB\n")
    heads = [f"ms, {count} thread{'s' * (count > 1)} (speed)" for count in threads]
    print("| file | MB | PSNR, dB | loss, dB | agreement, dB | " + " | ".join(heads) + " |")
    print("|---|---:|---:|---:|---:|" + "---:|" * len(threads))
    times: dict[tuple, float] = {}
    for tile in dict.fromkeys(card["tile"] for card in cards):
        group = [card for card in cards if card["tile"] == tile]
        for count in threads:
            calls = load_runs([folder / card["file"] for card in group], count)
            found = best_times(calls, options.rounds)
            times |= {(card["file"], count): t for card, t in zip(group, found, strict=True)}
    for card in cards:
        first = next(other for other in cards if other["tile"] == card["tile"])
        cells = []
        for count in threads:
            own, base = times[card["file"], count], times[first["file"], count]
            cells.append(f"{own * 1e3:.1f} ({base / own:.2f}×)")
        quality = card["quality"]
        what = precision(card) + (f", tile {card['tile']}" if card["tile"] else "")
        print(
            f"| {what} | {card['bytes'] / 1e6:.2f} | {quality['psnr']:.3f} | "
            f"{quality['drop_db'] + 0.0:.3f} | {quality['agreement_db']:.1f} | "
            + " | ".join(cells)
            + " |"
        )


if __name__ == "__main__":
    run_script(main, __doc__, COMMAND_LINE)
