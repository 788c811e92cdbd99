r"""What `gradnet denoise --jobs` is worth: files per second for each number of jobs, in one run.

Example:
  python -m benchmarks.speed.denoise_jobs --jobs=1,2,4 --count=12 --megapixels=1 --suffix=png
Photographs are generated, and denoised after a warm-up as the command does it: read, denoised and
written. The numbers of jobs take turns, the best of the rounds counts, and the ratio is to the
first of them. With --model=none nothing is denoised: what threads make of reading and writing.
"""

import contextlib
import io
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from absl import flags

from gradnet_tf.cli.denoise_files import denoise_files
from gradnet_tf.cli.denoise_plan import FileOptions, plan_jobs
from gradnet_tf.images.image_files import write_image
from gradnet_tf.utils.command import run_script
from gradnet_tf.utils.errors import UserError

FLAGS = flags.FLAGS

flags.DEFINE_list("jobs", ["1", "2", "4"], "numbers of jobs; the first one is the measure")
flags.DEFINE_integer("count", 12, "photographs", lower_bound=1)
flags.DEFINE_float("megapixels", 1.0, "of each photograph", lower_bound=1e-3)
flags.DEFINE_enum("suffix", "jpg", ["jpg", "png", "webp", "tif"], "format of the photographs")
flags.DEFINE_string("model", "gradnet_small", "what denoises: a path, a name, or none")
flags.DEFINE_integer("rounds", 3, "turns of each number of jobs", lower_bound=1)


def generate(path: Path, megapixels: float) -> None:
    """Writes a picture of coarse shapes and noise, 3:2."""
    width = max(2, round((1.5e6 * megapixels) ** 0.5))
    draw = np.random.default_rng(0)
    coarse = draw.uniform(60, 190, (9, 13, 3)).astype(np.float32)
    picture = cv2.resize(coarse, (width, max(1, round(width / 1.5))))
    picture += draw.normal(0, 15, picture.shape)
    write_image(path, np.clip(picture, 0, 255).astype(np.uint8))


def seconds_of(folder: Path, jobs: int, denoise: Callable[[np.ndarray], np.ndarray]) -> float:
    """Returns the seconds for a folder of photographs, which are denoised into another."""
    with tempfile.TemporaryDirectory() as output:
        plan = plan_jobs([str(folder)], f"{output}/out")
        start = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()):
            code = denoise_files(plan, lambda: denoise, FileOptions(jobs=jobs))
        seconds = time.perf_counter() - start
    if code:
        raise UserError(f"the photographs in {folder} were not all denoised")
    return seconds


def load(model: str) -> Callable[[np.ndarray], np.ndarray]:
    """Returns the denoiser of a name or path; the identity for "none"."""
    if model == "none":
        return np.copy
    from gradnet_tf.denoiser import load_denoiser

    return load_denoiser(model)


def main() -> None:
    """Prints the table."""
    try:
        numbers = [int(jobs) for jobs in FLAGS.jobs]
    except ValueError as error:
        raise UserError(f"`jobs` must be whole numbers. Received: {FLAGS.jobs}") from error
    if min(numbers, default=0) < 1:
        raise UserError(f"`jobs` must be at least 1. Received: {FLAGS.jobs}")
    denoise = load(FLAGS.model)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        first = folder / f"0.{FLAGS.suffix}"
        generate(first, FLAGS.megapixels)
        seconds_of(folder, 1, denoise)  # Tracing is no part of it.
        for number in range(1, FLAGS.count):
            shutil.copyfile(first, folder / f"{number}.{FLAGS.suffix}")
        best = dict.fromkeys(numbers, float("inf"))
        for _ in range(FLAGS.rounds):
            for jobs in numbers:
                best[jobs] = min(best[jobs], seconds_of(folder, jobs, denoise))
    size = f"{FLAGS.megapixels:g} megapixels"
    print(f"{FLAGS.model}, {FLAGS.count} {FLAGS.suffix} files of {size}, best of {FLAGS.rounds}")
    print(f"| jobs | files per second | ratio to --jobs={numbers[0]} |")
    print("|---:|---:|---:|")
    for jobs, seconds in best.items():
        print(f"| {jobs} | {FLAGS.count / seconds:.2f} | {best[numbers[0]] / seconds:.2f} |")


if __name__ == "__main__":
    run_script(main, __doc__)
