r"""Measures time and memory of denoising large photographs, and fits a straight line.

Example:
  python -m benchmarks.memory.tiled_memory --sizes=1,4,12,24
A photograph of each size (in megapixels, 3:2) is generated and written as JPEG. A separate process
reads, denoises and writes it, and reports its peak resident memory (Linux only). Start-up (imports,
weights, tracing) is excluded from the time and included in the memory.
"""

import dataclasses
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measuring import in_own_process, process_memory
from gradnet_tf.utils.command import run_script
from gradnet_tf.utils.options import CommandLine, Given, option


@dataclasses.dataclass(frozen=True)
class Options:
    """The command's options.

    Attributes:
        sizes: sizes of the photographs in megapixels.
        model: path or name of the model.
        tile: side of the tiles: auto, whole or a number of pixels.
        runtime: auto, keras or litert.
        repeats: rounds over all sizes; the best time of each counts.
        max_memory: budget for --tile=auto, such as 1.5GB.
    """

    sizes: tuple[float, ...] = (1.0, 4.0, 12.0, 24.0)
    model: str = "gradnet_small"
    tile: str = "auto"
    runtime: str = "auto"
    repeats: int = option(3, least=1)
    max_memory: str | None = None


COMMAND_LINE = CommandLine(Options)
_MODULE = "benchmarks.memory.tiled_memory"


def measure(
    source: str, target: str, model: str, tile: str, max_memory: str | None, runtime: str
) -> dict:
    """Denoises one file; returns `seconds` and `peak`, this process' peak memory in bytes."""
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
    return {"seconds": time.perf_counter() - begin, "peak": process_memory(peak=True)}


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


def main(given: Given) -> None:
    """Measures, then prints the table."""
    options = given.make(Options)
    sizes = options.sizes
    settings = (options.model, options.tile, options.max_memory, options.runtime)
    rows: dict[float, list[dict]] = {size: [] for size in sizes}
    with tempfile.TemporaryDirectory() as folder:
        target = f"{folder}/denoised.jpg"
        for size in sizes:
            in_own_process("benchmarks.measuring:write_photograph", f"{folder}/{size}.jpg", size)
        # Round by round, so that other work on the machine affects all sizes alike.
        for _ in range(options.repeats):
            for size in sizes:
                source = f"{folder}/{size}.jpg"
                row = in_own_process(f"{_MODULE}:measure", source, target, *settings)
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
