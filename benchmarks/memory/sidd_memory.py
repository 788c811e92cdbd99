r"""Measures the peak memory of evaluating and of submitting generated SIDD blocks.

Example:
  python -m benchmarks.memory.sidd_memory --model=gradnet_tiny

Files of the published shape and number are generated in a temporary folder. Each command runs as
a separate process, whose peak resident memory is read from /proc (Linux only). The noisy and the
clean array take 240 MiB each as uint8, and an evaluation has to hold both.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.measuring import process_memory
from gradnet_tf.utils.command import guarded
from gradnet_tf.utils.errors import UserError

_POLL_SECONDS = 0.2


def write_blocks(folder: Path, shape: tuple[int, ...], sigma: float = 20.0, seed: int = 0) -> None:
    """Writes clean, noisy and benchmark blocks as MATLAB files of version 5.

    Args:
        folder: existing folder.
        shape: (scenes, blocks, height, width, 3).
        sigma: noise level at medium brightness, 0-255 scale; it grows with the brightness.
        seed: seed of images and noise.
    """
    import scipy.io

    generator = np.random.default_rng(seed)
    clean, noisy = np.empty(shape, np.uint8), np.empty(shape, np.uint8)
    rows, columns = (np.linspace(0, 2 * np.pi, size, dtype=np.float32) for size in shape[2:4])
    for place in np.ndindex(*shape[:2]):
        waves = generator.uniform(0.5, 12, (2, 3)).astype(np.float32)
        level = np.sin(rows[:, None, None] * waves[0] + columns[None, :, None] * waves[1])
        level = 128 + 100 * level
        noise = generator.standard_normal(level.shape, np.float32) * sigma * np.sqrt(level / 128)
        clean[place] = np.rint(level)
        noisy[place] = np.rint(np.clip(level + noise, 0, 255))
    for name, array in (
        ("ValidationGtBlocksSrgb", clean),
        ("ValidationNoisyBlocksSrgb", noisy),
        ("BenchmarkNoisyBlocksSrgb", noisy),
    ):
        scipy.io.savemat(folder / f"{name}.mat", {name: array})


def peak_of(command: list[str]) -> tuple[float, float]:
    """Runs a command; returns its peak resident memory in MiB and its seconds.

    Raises:
        UserError: the command failed; the message has its last line.
    """
    start, peak = time.monotonic(), 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        # The few progress lines fit into the pipe's buffer until the process has ended.
        while process.poll() is None:
            peak = max(peak, process_memory(process.pid, peak=True))
            time.sleep(_POLL_SECONDS)
        errors = process.stderr.read().decode(errors="replace").strip()
    if process.returncode:
        last = errors.splitlines()[-1] if errors else "no error message"
        raise UserError(f"{' '.join(command)} failed with exit code {process.returncode}: {last}")
    return peak / 2**20, time.monotonic() - start


def _measure(options) -> None:
    import scipy.io

    shape = (options.scenes, options.blocks, options.size, options.size, 3)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_blocks(folder, shape)
        size = int(np.prod(shape)) / 2**20
        print(f"{shape[0]} × {shape[1]} blocks of {shape[2]}×{shape[3]}, {size:.0f} MiB an array")
        print("command                  peak MiB     seconds", flush=True)
        flags = [f"--model={options.model}", f"--data_dir={folder}"]
        # Scoring all blocks must not need much more memory than loading them and scoring one.
        evaluate = [sys.executable, "evaluate.py", "--dataset=sidd", *flags]
        submit = [sys.executable, "-m", "datasets", "submit", "sidd", *flags]
        for title, command in (
            ("evaluate, 1 block", [*evaluate, "--max_images=1", f"--output={folder / 'one'}"]),
            ("evaluate, all", [*evaluate, f"--output={folder / 'all'}"]),
            ("submit", [*submit, f"--output={folder / 'submission'}"]),
        ):
            peak, seconds = peak_of(command)
            print(f"{title:22}{peak:11.0f}{seconds:12.0f}", flush=True)
        for name, shape, kind in scipy.io.whosmat(str(folder / "submission/SubmitSrgb.mat")):
            print(f"{name:22}{kind:>11} {shape}")


def main() -> int:
    """Parses the command line and prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="gradnet_tiny", help="model to run")
    parser.add_argument("--scenes", type=int, default=40)
    parser.add_argument("--blocks", type=int, default=32, help="blocks per scene")
    parser.add_argument("--size", type=int, default=256, help="side of a block in pixels")
    options = parser.parse_args()
    return guarded(lambda: _measure(options))


if __name__ == "__main__":
    raise SystemExit(main())
