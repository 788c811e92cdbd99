"""Whole programs on one photograph, ours and others': read, denoise, write.

`python -m benchmarks.speed.programs NAME SOURCE TARGET` runs one of `PEERS`, written as somebody
would who has OpenCV or PyTorch and a published network. The networks' weights are random: only
the time matters here, docs/results.md has the quality.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.measuring import ROOT, in_own_process
from gradnet_tf import weights
from gradnet_tf.runtimes.choose_runtime import COMPUTES, is_installed
from gradnet_tf.utils.console import note
from gradnet_tf.utils.errors import UserError

_TILE = 1024


def non_local_means(picture: np.ndarray) -> np.ndarray:
    """OpenCV's non-local means for color, uint8 (H, W, 3)."""
    import cv2

    return cv2.fastNlMeansDenoisingColored(picture, None, 10, 10)


def block_matching(picture: np.ndarray) -> np.ndarray:
    """BM3D for color by its authors' package (`pip install bm3d`), uint8 (H, W, 3)."""
    import bm3d

    found = bm3d.bm3d_rgb(picture / 255.0, 15 / 255)
    return np.clip(found * 255 + 0.5, 0, 255).astype(np.uint8)


def dncnn(picture: np.ndarray) -> np.ndarray:
    """The network of DnCNN for color in PyTorch: 20 convolutions of 64 channels."""
    from torch import nn

    layers = [nn.Conv2d(3, 64, 3, padding=1), nn.ReLU()]
    for _ in range(18):
        layers += [nn.Conv2d(64, 64, 3, padding=1), nn.ReLU()]
    return _in_torch(nn.Sequential(*layers, nn.Conv2d(64, 3, 3, padding=1)), picture)


def ffdnet(picture: np.ndarray) -> np.ndarray:
    """The network of FFDNet for color in PyTorch: 12 convolutions of 96 channels at half size."""
    from torch import nn

    layers = [nn.PixelUnshuffle(2), nn.ZeroPad3d((0, 0, 0, 0, 0, 3))]  # The map of the level.
    layers += [nn.Conv2d(15, 96, 3, padding=1), nn.ReLU()]
    for _ in range(10):
        layers += [nn.Conv2d(96, 96, 3, padding=1), nn.ReLU()]
    layers += [nn.Conv2d(96, 12, 3, padding=1), nn.PixelShuffle(2)]
    return _in_torch(nn.Sequential(*layers), picture)


def _in_torch(network, picture: np.ndarray) -> np.ndarray:
    """Runs a network in tiles without overlap, float32, channels last."""
    import torch

    network = network.eval().to(memory_format=torch.channels_last)
    result = np.empty_like(picture)
    with torch.inference_mode():
        for top in range(0, picture.shape[0], _TILE):
            for left in range(0, picture.shape[1], _TILE):
                part = picture[top : top + _TILE, left : left + _TILE]
                height, width = (length // 2 * 2 for length in part.shape[:2])
                placed = torch.from_numpy(part[:height, :width]).permute(2, 0, 1)[None]
                found = (placed.float() / 255 - network(placed.float() / 255)).clip(0, 1)
                found = (found * 255 + 0.5).to(torch.uint8)[0].permute(1, 2, 0).numpy()
                result[top : top + height, left : left + width] = found
    return result


#: Name → the denoiser, and the package it needs.
PEERS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], str]] = {
    "OpenCV non-local means": (non_local_means, "cv2"),
    "BM3D": (block_matching, "bm3d"),
    "DnCNN in PyTorch": (dncnn, "torch"),
    "FFDNet in PyTorch": (ffdnet, "torch"),
}


def commands(model: str | None, source: Path, target: Path) -> dict[str, list[str]]:
    """Returns the arguments of every program that is installed, by name; ours first.

    Args:
        model: name of shipped weights; `None` for the choice of `gradnet denoise`, which takes the
            camera weights for the photograph of `time_programs`.
        source: the photograph.
        target: folder of the results.
    """
    denoise = ["-m", "gradnet_tf", "denoise", str(source), f"--output={target}"]
    first = [*denoise, f"--model={model}"] if model else denoise
    named = [*denoise, f"--model={model or weights.CAMERA}"]
    found = {"gradnet denoise": first}
    if is_installed("litert"):
        found["gradnet denoise, LiteRT alone"] = [*first, "--runtime=litert"]
    for runtime in ("litert", "openvino", "keras"):
        for precision in COMPUTES[runtime]:
            if is_installed(runtime) and not precision.startswith("mixed"):
                choice = [f"--runtime={runtime}", f"--precision={precision}"]
                found[f"… {runtime} {precision}"] = [*named, *choice]
    for name, (_, package) in PEERS.items():
        if importlib.util.find_spec(package):
            found[name] = ["-m", "benchmarks.speed.programs", name, str(source), str(target)]
    return found


def time_programs(
    model: str | None, megapixels: float, rounds: int, seconds: float
) -> dict[str, dict]:
    """Times whole programs in turn on a generated JPEG, each run in a process of its own.

    Args:
        model: see `commands`.
        megapixels: size of the photograph.
        rounds: times that each is timed, after a first run that is not.
        seconds: time after which no further round begins.

    Returns:
        {name: {"ours", "seconds", "processor", "memory"}}; the memory is the peak in bytes.
    """
    cases: dict[str, dict] = {}
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "noisy.jpg"), Path(folder, "results", "noisy.jpg")
        in_own_process("benchmarks.measuring:write_photograph", str(source), megapixels)
        left, end = commands(model, source, target.parent), None
        for number in range(rounds + 1):
            end = end or (time.perf_counter() + seconds if number else None)
            if number > 1 and time.perf_counter() > end:
                break
            for name, arguments in list(left.items()):
                try:
                    measured = _run(arguments, target)
                except UserError as error:
                    note(f"without {name}: {error}")
                    del left[name]
                    continue
                if number:
                    ours = name.startswith(("gradnet", "…"))
                    case = cases.setdefault(
                        name, {"ours": ours, "seconds": [], "processor": [], "memory": []}
                    )
                    for key, value in measured.items():
                        case[key].append(value)
    return cases


def _run(arguments: list[str], target: Path) -> dict[str, float]:
    """Runs a program once; returns its seconds, processor time and peak memory."""
    target.parent.mkdir(exist_ok=True)
    begin = time.perf_counter()
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [sys.executable, *arguments], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=errors
        )
        _, status, usage = os.wait4(process.pid, 0)
        ended = time.perf_counter()
        process.returncode = os.waitstatus_to_exitcode(status)
        errors.seek(0)
        lines = errors.read().strip().splitlines() or [f"exit code {process.returncode}"]
    if process.returncode or not target.is_file():
        raise UserError(lines[-1][:100])
    shutil.rmtree(target.parent)
    return {
        "seconds": ended - begin,
        "processor": usage.ru_utime + usage.ru_stime,
        "memory": 1024 * usage.ru_maxrss,
    }


def main() -> None:
    """Reads, denoises and writes one picture with one of `PEERS`."""
    import cv2

    name, source, target = sys.argv[1:]
    picture = cv2.imread(source)
    denoised = PEERS[name][0](picture)
    cv2.imwrite(str(Path(target, Path(source).name)), denoised)


if __name__ == "__main__":
    main()
