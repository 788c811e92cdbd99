r"""Time and memory of denoising large photographs: a row for each size, and a straight line.

Example:
  python -m benchmarks.memory.tiled_memory --sizes=1,4,12,24
A photograph of each size (in megapixels, 3:2) is generated, written as JPEG, and read, denoised
and written by a process of its own, which reports its peak resident memory. Start-up (imports,
weights, traces) is left out of the time and counted in the memory.
"""

import dataclasses
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from gradnet_tf.utils.command import run_script
from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.options import CommandLine, Given, option


@dataclasses.dataclass(frozen=True)
class Options:
    """The command's options.

    Attributes:
        sizes: megapixels.
        model: what denoises: a path or a name.
        tile: side of the tiles: auto, whole or a number of pixels.
        runtime: what runs it: auto, keras or litert.
        repeats: rounds over all sizes; the best time counts.
        max_memory: budget for --tile=auto, such as 1.5GB.
    """

    sizes: tuple[float, ...] = (1.0, 4.0, 12.0, 24.0)
    model: str = "gradnet_small"
    tile: str = "auto"
    runtime: str = "auto"
    repeats: int = option(3, least=1)
    max_memory: str | None = None


COMMAND_LINE = CommandLine(Options)


def generate(path: str, megapixels: float) -> None:
    """Writes a photograph-like picture with noise: details of all scales, as in nature."""
    import cv2
    import numpy as np

    from gradnet_tf.images.image_files import write_image

    width = round((1.5e6 * megapixels) ** 0.5)
    height = round(width / 1.5)
    draw = np.random.default_rng(0)
    picture = np.full((height, width, 3), 110, np.float32)
    for octave in range(1, 9):
        coarse = draw.normal(0, 30 / octave, (2**octave + 1, 2**octave + 1, 3)).astype(np.float32)
        picture += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    for row in picture:
        row += draw.normal(0, 15, row.shape)
    write_image(Path(path), np.clip(picture, 0, 255).astype(np.uint8))


def measure(
    source: str, target: str, model: str, tile: str, max_memory: str | None, runtime: str
) -> dict:
    """Denoises one file in this process; returns seconds and the process' peak memory in bytes."""
    import numpy as np

    from gradnet_tf.denoiser import load_denoiser
    from gradnet_tf.images.image_files import read_image, write_image
    from gradnet_tf.tiling.tile_config import TileConfig, parse_memory, parse_tile

    config = TileConfig(parse_tile(tile), max_memory and parse_memory(max_memory))
    denoiser = load_denoiser(model, runtime=runtime)
    for warm_up in (TileConfig("whole"), TileConfig(16)):
        denoiser(np.zeros((200, 200, 3), np.uint8), tiles=warm_up)
    begin = time.perf_counter()
    write_image(Path(target), denoiser(read_image(source), tiles=config))
    return {"seconds": time.perf_counter() - begin, "peak": peak_memory()}


def peak_memory() -> int:
    """Returns the most resident memory that this process has had, in bytes."""
    status = Path("/proc/self/status")
    if status.is_file():  # of this program alone; getrusage's begins with what started it
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def straight_line(sizes: Sequence[float], seconds: Sequence[float]) -> tuple[float, float, float]:
    """Fits seconds = a + b · size with equal relative weights.

    Returns:
        a, b and the largest relative deviation of a point from the line.
    """
    import numpy as np

    sizes, seconds = np.asarray(sizes, float), np.asarray(seconds, float)
    terms = np.stack([np.ones_like(sizes), sizes], axis=1) / seconds[:, None]
    (start, slope), *_ = np.linalg.lstsq(terms, np.ones_like(sizes), rcond=None)
    return start, slope, float(np.abs((start + slope * sizes) / seconds - 1).max())


def in_its_own_process(function: str, *arguments) -> str:
    """Calls a function of this module in a new process; returns the last line it prints."""
    code = f"""
import json, sys
from benchmarks.memory import tiled_memory
print(json.dumps(tiled_memory.{function}(*json.loads(sys.argv[1]))))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise UserError(f"{function}{arguments} failed:\n{done.stderr.splitlines()[-1]}")
    return done.stdout.splitlines()[-1]


def main(given: Given) -> None:
    """Measures, then prints the table."""
    options = given.make(Options)
    sizes = options.sizes
    how = (options.model, options.tile, options.max_memory, options.runtime)
    rows: dict[float, list[dict]] = {size: [] for size in sizes}
    with tempfile.TemporaryDirectory() as folder:
        target = f"{folder}/denoised.jpg"
        for size in sizes:
            in_its_own_process("generate", f"{folder}/{size}.jpg", size)
        # Round by round, so that what else the machine does meets all sizes alike.
        for _ in range(options.repeats):
            for size in sizes:
                source = f"{folder}/{size}.jpg"
                row = json.loads(in_its_own_process("measure", source, target, *how))
                rows[size].append(row)
                print(f"{size:g} megapixels: {row['seconds']:.2f} s", file=sys.stderr, flush=True)
    print(f"{options.model}, --tile={options.tile} --max_memory={options.max_memory}", end=" ")
    print(f"--runtime={options.runtime}")
    print("| megapixels | seconds | megapixels per second | peak memory, MB |")
    print("|---:|---:|---:|---:|")
    seconds = [min(row["seconds"] for row in rows[size]) for size in sizes]
    for size, best in zip(sizes, seconds, strict=True):
        peak = max(row["peak"] for row in rows[size]) / 1e6
        print(f"| {size:g} | {best:.2f} | {size / best:.2f} | {peak:.0f} |")
    if len(sizes) > 2:
        start, slope, far = straight_line(sizes, seconds)
        print(f"line: {start:.2f} s + {slope:.3f} s per megapixel, at most {far:.0%} off")


if __name__ == "__main__":
    run_script(main, __doc__, COMMAND_LINE)
