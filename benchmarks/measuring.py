"""Helpers of several benchmarks: photographs, memory of a process, child processes, times."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gradnet_tf.utils.errors import UserError

ROOT = Path(__file__).resolve().parents[1]

_CALL = """
import json, pkgutil, sys
name, arguments, options = json.loads(sys.argv[1])
print(json.dumps(pkgutil.resolve_name(name)(*arguments, **options)))
"""


def in_own_process(
    name: str,
    *arguments,
    environment: Mapping[str, str] | None = None,
    timeout: float | None = None,
    **options,
) -> Any:
    """Calls a function in a new process.

    Args:
        name: the function as "package.module:function".
        *arguments: its arguments, JSON values.
        environment: environment variables in addition to this process' own.
        timeout: seconds after which the process is killed; `None` for no limit.
        **options: keyword arguments of the function, JSON values.

    Returns:
        What the function returns, a JSON value.

    Raises:
        UserError: the function failed; the message has the last line that names an exception.
        subprocess.TimeoutExpired: it took too long.
    """
    done = subprocess.run(
        [sys.executable, "-c", _CALL, json.dumps([name, arguments, options])],
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        # Frameworks add advice after the exception.
        errors = [line for line in lines if re.match(r"[\w.]*Error\b", line)]
        raise UserError(f"{name} failed: {(errors or lines)[-1][:200]}")
    return json.loads(done.stdout.splitlines()[-1])


def processor_kind() -> str:
    """Returns the instructions that decide how fast this processor multiplies, such as "avx2"."""
    from gradnet_tf.runtimes.choose_runtime import processor_flags

    kinds = ("amx_bf16", "avx512_bf16", "avx512_vnni", "avx2")
    return next((kind for kind in kinds if kind in processor_flags()), "other")


def best_times(calls: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """Returns the best time of each call in seconds; all take turns, round after round."""
    best = [float("inf")] * len(calls)
    for _ in range(rounds):
        for index, call in enumerate(calls):
            start = time.perf_counter()
            call()
            best[index] = min(best[index], time.perf_counter() - start)
    return best


def process_memory(pid: int | str = "self", peak: bool = False) -> int:
    """Returns the resident memory of a process in bytes; 0 if it has ended or outside Linux.

    Args:
        pid: process id; this process by default.
        peak: the largest value so far instead of the current one. Unlike `getrusage`, it excludes
            the memory of the parent that the process was forked from.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(rf"^{'VmHWM' if peak else 'VmRSS'}:\s+(\d+) kB", status, re.MULTILINE)
    return 1024 * int(found[1]) if found else 0


#: A dark scene at ISO 204,800 as a camera stores it; white noise is rare in photographs.
_CAMERA = (
    "photograph(iso=204800,push=2,row=0.1,bits=14,bilinear=0,balance=1,matrix=1,gamma=2.2,"
    "contrast=0.2,size=1,smoothing=0.6,reach=1.5,chroma=0.8,sharpen=0.3,quality=95)"
)


def write_photograph(path: str, megapixels: float) -> None:
    """Writes a generated 3:2 picture with details of all scales and a camera's noise."""
    import cv2
    import numpy as np

    from gradnet_tf.degradations.compose import parse_degradation
    from gradnet_tf.degradations.draws import Draws
    from gradnet_tf.images.image_files import write_image

    width = max(2, round((1.5e6 * megapixels) ** 0.5))
    height = max(1, round(width / 1.5))
    draw = np.random.default_rng(0)
    picture = np.full((height, width, 3), 0.43, np.float32)
    for octave in range(1, 9):
        coarse = draw.normal(0, 0.12 / octave, (2**octave + 1,) * 2 + (3,)).astype(np.float32)
        picture += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    noisy = parse_degradation(_CAMERA).apply(picture, Draws((0, 0), fast=True))
    write_image(Path(path), np.rint(noisy * 255).astype(np.uint8))
