r"""Runs batch inference in several processes and compares every file with `gradnet denoise`.

Example:
  python -m benchmarks.robustness.batch_check --files=300 --broken=10 --processes=2

Small photographs of many formats are generated, some of them broken. `gradnet denoise` and
`python -m gradnet_tf.batch` (Apache Beam, DirectRunner) denoise them into separate folders; a
second batch run must do nothing. Prints a line per check; the exit code is 1 if one fails.
"""

import dataclasses
import hashlib
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from gradnet_tf.utils.command import run_script
from gradnet_tf.utils.errors import EXIT_OK, EXIT_SOME_FAILED, UserError
from gradnet_tf.utils.options import CommandLine, Given, option


@dataclasses.dataclass(frozen=True)
class Options:
    """The command's options.

    Attributes:
        files: number of files, including the broken ones.
        broken: number of broken files.
        processes: number of worker processes.
        model: path or name of the model, see `gradnet denoise --help`.
        seed: seed of the photographs.
        workdir: empty folder to keep all files in (default: a temporary folder).
    """

    files: int = option(300, least=1)
    broken: int = option(10, least=0)
    processes: int = option(2, least=1)
    model: str = "gradnet_tiny"
    seed: int = option(0, least=0)
    workdir: str | None = None


COMMAND_LINE = CommandLine(Options)


#: Suffixes of the files, used in turn.
KINDS = ("jpg", "png", "tif", "jpeg", "gray.png", "webp", "16.png", "gray.jpg", "16.tif", "a.png")
KINDS += ("float.tif", "gray16.png", "bmp")
_PILLOW = {"jpg": "JPEG", "jpeg": "JPEG", "png": "PNG", "tif": "TIFF", "webp": "WEBP", "bmp": "BMP"}


def make_photo(kind: str, random: np.random.Generator) -> bytes:
    """Returns a picture of soft shapes and noise, about 64×48, encoded by its suffix."""
    import tifffile
    from PIL import Image

    height, width = 48 + int(random.integers(-8, 9)), 64 + int(random.integers(-8, 9))
    rows, columns = np.mgrid[:height, :width]
    phase = random.uniform(0, 6, 3)
    clean = 0.5 + 0.3 * np.sin(rows[..., None] / 9 + phase) + 0.15 * (columns[..., None] > 30)
    picture = np.clip(clean + random.normal(0, 0.08, clean.shape), 0, 1).astype(np.float32)
    if "gray" in kind:
        picture = picture[..., 0]
    eight, sixteen = (
        np.rint(picture * top).astype(f"u{top.bit_length() // 8}") for top in (255, 65535)
    )
    target = io.BytesIO()
    if kind.endswith("16.png"):
        return cv2.imencode(".png", sixteen)[1].tobytes()
    if kind in ("16.tif", "float.tif"):
        tifffile.imwrite(target, sixteen if kind == "16.tif" else picture, photometric="rgb")
        return target.getvalue()
    if kind == "a.png":
        eight = np.dstack([eight, eight[..., 0]])
    exif = Image.Exif()
    exif[274], exif[271] = 6, "Maker"
    options = {} if kind == "bmp" else {"exif": exif}
    Image.fromarray(eight).save(target, _PILLOW[kind.split(".")[-1]], **options)
    return target.getvalue()


def break_photo(data: bytes, number: int) -> bytes:
    """Returns a file that is broken in one of five ways."""
    ways = (b"", data[: len(data) // 3], b"this is text", b"GIF89a" + data, bytes(len(data)))
    return ways[number % len(ways)]


def make_photos(folder: Path, files: int, broken: int, seed: int = 0) -> set[str]:
    """Writes photographs to a folder and two below it; returns the names of the broken ones."""
    bad = set(np.linspace(0, files - 1, broken).astype(int).tolist())
    names = set()
    for number in range(files):
        kind = KINDS[number % len(KINDS)]
        data = make_photo(kind, np.random.default_rng((seed, number)))
        name = f"{('', 'summer/', 'summer/sea/')[number % 3]}{number:04d}.{kind}"
        if number in bad:
            data = break_photo(data, len(names))
            names.add(name)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return names


def contents(folder: Path) -> dict[str, str]:
    """Returns the sha256 of every file below a folder, except the batch's own log."""
    return {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in _names(folder)
    }


def stamps(folder: Path) -> dict[str, tuple[int, int]]:
    """Returns inode and time of every file, which change when it is rewritten with equal bytes."""
    found = {name: (folder / name).stat() for name in _names(folder)}
    return {name: (status.st_ino, status.st_mtime_ns) for name, status in found.items()}


def _names(folder: Path) -> list[str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    # `gradnet denoise` records its settings in a hidden file.
    names = (path.relative_to(folder) for path in files if not path.name.startswith("."))
    return sorted(name.as_posix() for name in names if name.parts[0] != "_batch")


def main(given: Given) -> int:
    """Runs the checks in --workdir or a temporary folder; returns the exit code."""
    options = given.make(Options)
    if options.workdir is None:
        with tempfile.TemporaryDirectory() as folder:
            return check(Path(folder), options)
    folder = Path(options.workdir)
    if folder.exists() and any(folder.iterdir()):
        raise UserError(f"--workdir must be an empty or new folder. Received: {folder}")
    return check(folder.absolute(), options)


def check(folder: Path, options: Options) -> int:
    """Runs the commands in `folder`; returns the exit code."""
    broken = make_photos(folder / "in", options.files, options.broken, options.seed)
    good = options.files - len(broken)
    single = [sys.executable, "-m", "gradnet_tf", "denoise", str(folder / "in")]
    _run("gradnet denoise", [*single, f"--output={folder / 'single'}", f"--model={options.model}"])
    batch = [sys.executable, "-m", "gradnet_tf.batch", f"--input={folder}/in/**/*.*"]
    batch += [f"--output={folder / 'batch'}", f"--model={options.model}"]
    batch += [f"--direct_num_workers={options.processes}", "--direct_running_mode=multi_processing"]
    batch += ["--default_sdk_harness_log_level=INFO"]
    first, log = _run("batch", batch)
    loaded = log.count(f"{options.model} loaded in")
    wanted, found = contents(folder / "single"), contents(folder / "batch")
    before = stamps(folder / "batch")
    second, log = _run("batch, again", batch)
    loaded_again = log.count(f"{options.model} loaded in")
    code = 1 if broken else 0
    differ = [name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name)]
    failures = (folder / "batch/_batch/failures.jsonl").read_text(encoding="utf-8").splitlines()
    failed = [json.loads(line) for line in failures]
    named = sorted(os.path.relpath(failure["path"], folder / "in") for failure in failed)
    checks = {
        f"{len(found)} results, {good} expected": len(found) == good,
        f"{len(differ)} differ from gradnet denoise {sorted(differ)[:3] or ''}": not differ,
        f"{len(named)} failures, {len(broken)} expected, each named once, with a reason": (
            named == sorted(broken) and all(failure["reason"] for failure in failed)
        ),
        f"first run: {first[1]}": first == (code, _summary(good, 0, len(broken))),
        f"second run: {second[1]}": second == (code, _summary(0, good, len(broken))),
        f"{loaded} processes loaded the model, {options.processes} expected": (
            loaded == options.processes
        ),
        f"second run: {loaded_again} loaded the model, 0 expected": not loaded_again,
        "second run: no result was rewritten": stamps(folder / "batch") == before,
    }
    for text, passed in checks.items():
        print(f"{'ok  ' if passed else 'FAIL'}  {text}")
    return EXIT_OK if all(checks.values()) else EXIT_SOME_FAILED


def _summary(written: int, skipped: int, failed: int) -> str:
    return f"{written} written, {skipped} skipped, {failed} failed"


def _run(name: str, command: list[str]) -> tuple[tuple[int, str], str]:
    """Runs a command; returns (its exit code, the last line of its output) and its log."""
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    print(f"{name}: exit code {done.returncode}, {time.perf_counter() - start:.1f} s", flush=True)
    lines = done.stdout.splitlines()
    if done.returncode not in (EXIT_OK, EXIT_SOME_FAILED) or not lines:
        raise UserError(f"{name} failed:\n{done.stderr[-2000:]}")
    return (done.returncode, lines[-1]), done.stderr


if __name__ == "__main__":
    run_script(main, __doc__, COMMAND_LINE)
