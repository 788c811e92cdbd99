"""`gradnet bench`: times every runtime and precision on this machine, and keeps the fastest."""

import dataclasses
import time
from typing import Any

import numpy as np

from gradnet_tf import weights
from gradnet_tf.runtimes.choose_runtime import (
    COMPUTES,
    POLICIES,
    choice_path,
    file_for,
    is_allowed,
    is_installed,
    machine_key,
)
from gradnet_tf.tiling.machine import allowed_cores
from gradnet_tf.utils.console import note
from gradnet_tf.utils.errors import EXIT_OK, UserError, install_command
from gradnet_tf.utils.files import write_json

#: Seconds after which no further round begins.
_SECONDS = 40.0
#: What takes longer to start is kept if it needs at most this part of the time afterwards.
_GAIN = 0.9


@dataclasses.dataclass
class Timed:
    """A runtime in one precision, and what was measured.

    Attributes:
        runtime: "keras", "litert" or "openvino".
        precision: what it computes in.
        denoiser: the loaded model.
        first: seconds from loading to the first result.
        psnr: of that result to the first runtime's float32, in dB.
        seconds: of each round.
    """

    runtime: str
    precision: str
    denoiser: Any
    first: float
    psnr: float
    seconds: list[float] = dataclasses.field(default_factory=list)


def bench(model: str, side: int, rounds: int, keep: bool) -> int:
    """Times all runtimes and precisions, prints a table, and returns the exit code.

    Args:
        model: a name of shipped weights.
        side: height and width of the picture in pixels.
        rounds: times that each is timed; the best one counts.
        keep: keeps the fastest as this machine's choice.

    Raises:
        UserError: there are no such weights, or nothing that runs them.
    """
    for flag, value, most in (("side", side, 8192), ("rounds", rounds, 100)):
        if not 1 <= value <= most:
            raise UserError(f"--{flag}: expected a number from 1 to {most}. Received: {value}.")
    card = weights.find_card(model)
    file = card and weights.tflite_path(card)
    if file is None:
        raise UserError(
            f"--model={model}: no shipped weights with a .tflite file.\n"
            f"Expected one of {weights.shipped_names()}."
        )
    picture = _picture(side, card["channels"])
    timed = _loaded(card["name"], file, picture)
    if not timed:
        raise UserError(
            f"no runtime is installed. Install one: {install_command('ai_edge_litert')}"
        )
    _time(timed, picture, rounds)
    fastest = _fastest([each for each in timed if is_allowed(each.runtime, each.precision, file)])
    print(f"{card['name']}, {side}×{side} pixels, {allowed_cores()} threads")
    print(_table(timed, file, fastest))
    if not keep:
        return EXIT_OK
    try:
        choice_path().parent.mkdir(parents=True, exist_ok=True)
        kept = {"runtime": fastest.runtime, "precision": fastest.precision, "key": machine_key()}
        write_json(choice_path(), kept)
        print(f"kept for this machine: {fastest.runtime} {fastest.precision} ({choice_path()})")
    except OSError as error:
        note(f"{choice_path()} cannot be written: {error.strerror or error}")
    return EXIT_OK


def _picture(side: int, channels: int) -> np.ndarray:
    """Returns a smooth scene with noise of σ = 25."""
    draw = np.random.default_rng(0)
    rows, columns = np.mgrid[:side, :side] / 40.0
    scene = np.stack([np.sin(rows + k) * np.cos(columns - k) for k in range(channels)], axis=-1)
    return (0.5 + 0.3 * scene + draw.normal(0, 25 / 255, scene.shape)).astype(np.float32)[None]


def _loaded(name: str, file, picture: np.ndarray) -> list[Timed]:
    """Loads and runs each runtime and precision once; those that fail are named and left out."""
    from gradnet_tf.denoiser import load_denoiser

    found: list[Timed] = []
    exact = None
    runtimes = ("litert", "openvino", "keras")
    for runtime, precision in ((each, kind) for each in runtimes for kind in COMPUTES[each]):
        missing = runtime != "keras" and file_for(precision, file) is None
        if precision in POLICIES or missing or not is_installed(runtime):
            continue
        start = time.perf_counter()
        try:
            denoiser = load_denoiser(name, precision, runtime=runtime)
            result = denoiser.denoise(picture)
        except UserError as error:
            note(f"{runtime} {precision}: {str(error).splitlines()[0]}")
            continue
        exact = result if exact is None else exact
        error = max(float(np.mean((result - exact) ** 2, dtype=np.float64)), 1e-12)
        first = time.perf_counter() - start
        found.append(Timed(runtime, precision, denoiser, first, -10 * np.log10(error)))
    return found


def _time(timed: list[Timed], picture: np.ndarray, rounds: int) -> None:
    """Times all in turn, so that other work on the machine falls on each alike."""
    end = time.perf_counter() + _SECONDS
    for number in range(rounds):
        if number and time.perf_counter() > end:
            note(f"{number} rounds of {rounds}: the machine is slow")
            break
        for each in timed:
            start = time.perf_counter()
            each.denoiser.denoise(picture)
            each.seconds.append(time.perf_counter() - start)


def _fastest(allowed: list[Timed]) -> Timed:
    """Returns the fastest; one that starts later must be clearly faster than what starts first."""
    first = min(allowed, key=lambda each: each.first)
    fastest = min(allowed, key=lambda each: min(each.seconds))
    return fastest if min(fastest.seconds) < _GAIN * min(first.seconds) else first


def _table(timed: list[Timed], file, fastest: Timed) -> str:
    rows = [("runtime", "precision", "ms", "speed", "first, s", "dB to float32", "auto")]
    base = next((each for each in timed if each.precision == "float32"), timed[0])
    for each in sorted(timed, key=lambda each: min(each.seconds)):
        allowed = is_allowed(each.runtime, each.precision, file)
        use = "fastest" if each is fastest else "possible" if allowed else "only if asked for"
        speed = min(base.seconds) / min(each.seconds)
        psnr = "-" if each is base else f"{each.psnr:.0f}"
        rows.append(
            (
                *(each.runtime, each.precision, f"{1e3 * min(each.seconds):.0f}"),
                *(f"{speed:.2f}", f"{each.first:.1f}", psnr, use),
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
    return "\n".join(lines)
