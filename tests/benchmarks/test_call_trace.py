"""A photograph passes through few files of the program, so that a reader can follow it."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]

#: Project files that `gradnet denoise` may enter for one photograph, and the calls from one file
#: into another. A change that needs more should merge steps, not raise the limits.
MOST_FILES, MOST_SWITCHES = 30, 62


def test_denoising_one_photograph_enters_few_files(tmp_path):
    pytest.importorskip("ai_edge_litert")
    noisy = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "photo.png"), noisy)
    # In a process of its own, because the trace covers what the first call imports. Where the
    # processor allows another precision, a line about it takes two switches more.
    same = ["--runtime=litert", "--precision=float32"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.call_trace", "photo.png", "out", *same],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "photo.png").is_file()
    words = done.stdout.splitlines()[-1].split()
    files, switches = int(words[0]), int(words[2])
    assert files <= MOST_FILES and switches <= MOST_SWITCHES, done.stdout
