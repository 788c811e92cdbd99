r"""Measures the peak memory of an evaluation and a submission of generated SIDD blocks.

Example:
  python -m benchmarks.memory.sidd_memory --model=gradnet_tiny

Files of the published shape are made from a seed in a folder that is removed: photographs with
much detail they are not, but as many and as large. Each command is a process of its own, and its
peak resident memory is what the system counted for it (Linux only). The noisy and the clean array
take 240 MiB each as uint8 and are what an evaluation has to hold.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from gradnet_tf.utils.command import guarded
from gradnet_tf.utils.errors import UserError

_SECONDS_BETWEEN_LOOKS = 0.2


def write_blocks(folder: Path, shape: tuple[int, ...], sigma: float = 20.0, seed: int = 0) -> None:
    """Writes clean, noisy and benchmark blocks as MATLAB files of version 5.

    Args:
        folder: where.
        shape: (scenes, blocks, height, width, 3).
        sigma: noise level, 0-255 scale; it grows with the brightness.
        seed: of everything.
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
        UserError: when it fails; its last line is in the message.
    """
    start, peak = time.monotonic(), 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        # A pipe that nobody reads would stop it; the progress lines are few.
        while process.poll() is None:
            # What `wait` reports counts this process too, from before the command began.
            for line in _status(process.pid):
                if line.startswith("VmHWM:"):
                    peak = max(peak, int(line.split()[1]))
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        told = process.stderr.read().decode(errors="replace").strip()
    if process.returncode:
        last = told.splitlines()[-1] if told else "it said nothing"
        raise UserError(f"{' '.join(command)} ended with {process.returncode}: {last}")
    return peak / 1024, time.monotonic() - start


def _status(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return []


def _read_back(path: Path) -> list[str]:
    """Returns name, shape and class of each variable of a submission."""
    import scipy.io

    return [f"{name:22}{kind:>11} {shape}" for name, shape, kind in scipy.io.whosmat(str(path))]


def _measure(options) -> None:
    shape = (options.scenes, options.blocks, options.size, options.size, 3)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_blocks(folder, shape)
        size = int(np.prod(shape)) / 2**20
        print(f"{shape[0]} × {shape[1]} blocks of {shape[2]}×{shape[3]}, {size:.0f} MiB an array")
        print("command                  peak MiB     seconds", flush=True)
        given = [f"--model={options.model}", f"--data_dir={folder}"]
        # One block: the program, its model and both arrays; all blocks must not take much more.
        few = ["--max_images=1"]
        evaluate = [sys.executable, "evaluate.py", "--dataset=sidd", *given]
        submit = [sys.executable, "-m", "datasets", "submit", "sidd", *given]
        for title, command in (
            ("evaluate, 1 block", [*evaluate, *few, f"--output={folder / 'one'}"]),
            ("evaluate, all", [*evaluate, f"--output={folder / 'all'}"]),
            ("submit", [*submit, f"--output={folder / 'submission'}"]),
        ):
            peak, seconds = peak_of(command)
            print(f"{title:22}{peak:11.0f}{seconds:12.0f}", flush=True)
        for variable in _read_back(folder / "submission/SubmitSrgb.mat"):
            print(variable)


def main() -> int:
    """Parses the command line and prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="gradnet_tiny", help="what denoises")
    parser.add_argument("--scenes", type=int, default=40)
    parser.add_argument("--blocks", type=int, default=32, help="blocks of a scene")
    parser.add_argument("--size", type=int, default=256, help="side of a block in pixels")
    options = parser.parse_args()
    return guarded(lambda: _measure(options))


if __name__ == "__main__":
    raise SystemExit(main())
