r"""Measures `gradnet denoise --jobs`: files per second for each number of jobs, in one run.

Example:
  python -m benchmarks.speed.denoise_jobs --jobs=1,2,4 --count=12 --megapixels=1 --suffix=png
Generated photographs are read, denoised and written as by the command, after a warm-up. The numbers
of jobs alternate, the best round of each counts, and ratios are relative to the first number. With
--model=none nothing is denoised, which measures reading and writing alone.
"""

import contextlib
import dataclasses
import io
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.measuring import write_photograph
from gradnet_tf.cli.denoise_files import denoise_files
from gradnet_tf.cli.denoise_plan import FileOptions, plan_jobs
from gradnet_tf.utils.command import run_script
from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.options import CommandLine, Given, option


@dataclasses.dataclass(frozen=True)
class Options:
    """The command's options.

    Attributes:
        jobs: numbers of jobs; ratios are relative to the first one.
        count: number of photographs.
        megapixels: size of each photograph.
        suffix: format of the photographs.
        model: path or name of the model, or none.
        rounds: runs of each number of jobs.
    """

    jobs: tuple[int, ...] = option((1, 2, 4), least=1)
    count: int = option(12, least=1)
    megapixels: float = option(1.0, least=0.001)
    suffix: str = option("jpg", choices=("jpg", "png", "webp", "tif"))
    model: str = "gradnet_small"
    rounds: int = option(3, least=1)


COMMAND_LINE = CommandLine(Options)


def seconds_of(folder: Path, jobs: int, denoise: Callable[[np.ndarray], np.ndarray]) -> float:
    """Denoises a folder of photographs into a temporary one; returns the seconds."""
    with tempfile.TemporaryDirectory() as output:
        plan = plan_jobs([str(folder)], f"{output}/out")
        start = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()):
            code = denoise_files(plan, lambda _: denoise, FileOptions(jobs=jobs))
        seconds = time.perf_counter() - start
    if code:
        raise UserError(f"not all photographs in {folder} were denoised")
    return seconds


def load(model: str) -> Callable[[np.ndarray], np.ndarray]:
    """Returns the denoiser of a name or path; the identity for "none"."""
    if model == "none":
        return np.copy
    from gradnet_tf.denoiser import load_denoiser

    return load_denoiser(model)


def main(given: Given) -> None:
    """Prints the table."""
    options = given.make(Options)
    numbers = options.jobs
    denoise = load(options.model)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        first = folder / f"0.{options.suffix}"
        write_photograph(str(first), options.megapixels)
        seconds_of(folder, 1, denoise)  # warm-up: excludes tracing from the measurement
        for number in range(1, options.count):
            shutil.copyfile(first, folder / f"{number}.{options.suffix}")
        best = dict.fromkeys(numbers, float("inf"))
        for _ in range(options.rounds):
            for jobs in numbers:
                best[jobs] = min(best[jobs], seconds_of(folder, jobs, denoise))
    size = f"{options.megapixels:g} megapixels"
    files = f"{options.count} {options.suffix} files of {size}"
    print(f"{options.model}, {files}, best of {options.rounds}")
    print(f"| jobs | files per second | ratio to --jobs={numbers[0]} |")
    print("|---:|---:|---:|")
    for jobs, seconds in best.items():
        print(f"| {jobs} | {options.count / seconds:.2f} | {best[numbers[0]] / seconds:.2f} |")


if __name__ == "__main__":
    run_script(main, __doc__, COMMAND_LINE)
