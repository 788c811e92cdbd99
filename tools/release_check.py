r"""Builds the wheel and the sdist, and tries them as somebody would who has nothing but these.

Example:
  python -m tools.release_check --extras=none,litert,tensorflow
The two files are built from the files that git tracks, checked by `twine check --strict`, and the
wheel is installed into a bare environment for each extra: the command line, a denoised picture,
`import gradnet_tf`. The sdist must build the same wheel. `make release-check` starts it with
`build` and `twine` installed in an environment of its own.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
#: The extras that must denoise a picture in an environment without anything else.
DENOISES = ("litert", "tensorflow", "jax", "openvino", "app")
#: What an extra must bring.
IMPORTS = {
    "tiff": "imagecodecs",
    "plot": "matplotlib",
    "mat": "scipy",
    "hub": "huggingface_hub, kagglehub",
    "safetensors": "safetensors",
    "app": "gradio",
    "openvino": "openvino",
    "raw": "rawpy",
    "bm3d": "bm3d",
    "batch": "apache_beam",
}
_PICTURE = """
import numpy as np
from gradnet_tf import Photo, write_photo
from gradnet_tf.images.image_files import write_image
write_image("noisy.png", np.random.default_rng(0).integers(90, 160, (40, 50, 3), np.uint8))
"""


def run(*command: str | os.PathLike, where: Path, **more) -> str:
    """Runs a command in a folder and returns its standard output.

    Raises:
        SystemExit: it failed; its output is printed.
    """
    words = [os.fspath(word) for word in command]
    # The checkout must not be importable: what is tried is the installed package.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        words, cwd=where, env={**env, **more}, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        print(done.stdout + done.stderr, file=sys.stderr)
        sys.exit(f"error: {' '.join(words)[:200]} ended with code {done.returncode}")
    return done.stdout


def copy_tracked(folder: Path) -> None:
    """Copies the files that git tracks, as a fresh clone has them."""
    listing = run("git", "ls-files", "-z", where=ROOT)
    for name in filter(None, listing.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


def build(source: Path, output: Path) -> tuple[Path, Path]:
    """Builds the sdist and, from it, the wheel; returns both after checking their metadata."""
    run(sys.executable, "-m", "build", "--outdir", output, source, where=output)
    (wheel,), (sdist,) = output.glob("*.whl"), output.glob("*.tar.gz")
    run(sys.executable, "-m", "twine", "check", "--strict", wheel, sdist, where=output)
    held = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in held}
    if {top.split("-")[0] for top in tops} != {"gradnet_tf"}:
        sys.exit(f"error: the wheel holds {sorted(tops)}, expected gradnet_tf alone")
    if "gradnet_tf/py.typed" not in held:
        sys.exit("error: the wheel lacks py.typed")
    contents = run("tar", "-tzf", sdist, where=output).splitlines()
    if any("/tests/" in name for name in contents):
        sys.exit("error: the sdist holds tests, whose data and scripts it lacks")
    return wheel, sdist


def try_extra(wheel: Path, extra: str, folder: Path) -> None:
    """Installs the wheel with one extra into a bare environment and uses it."""
    place = folder / extra
    place.mkdir()
    begin = time.perf_counter()
    run(sys.executable, "-m", "venv", place / "venv", where=place)
    python, command = place / "venv/bin/python", place / "venv/bin/gradnet"
    wanted = str(wheel) if extra == "none" else f"{wheel}[{extra}]"
    run(python, "-m", "pip", "install", "--quiet", wanted, where=place)
    version = run(command, "--version", where=place)
    models = run(command, "models", where=place)
    run(python, "-c", "from gradnet_tf import *", where=place) if extra == "tensorflow" else None
    if extra in IMPORTS:
        run(python, "-c", f"import {IMPORTS[extra]}", where=place)
    done = f"{version.strip()}, {len(models.splitlines())} lines of models"
    if extra in DENOISES:
        run(python, "-c", _PICTURE, where=place)
        backend = {"KERAS_BACKEND": "jax"} if extra == "jax" else {}
        model = "--model=gradnet_tiny"
        run(command, "denoise", "noisy.png", "--output=out", model, where=place, **backend)
        if not (place / "out/noisy.png").is_file():
            sys.exit(f"error: [{extra}] wrote no picture")
        done += ", a picture denoised"
    print(f"[{extra}] {done}, {time.perf_counter() - begin:.0f} s from nothing", flush=True)
    shutil.rmtree(place)


def main() -> None:
    """Runs the check; ends with a message and code 1 at the first failure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--extras", default="none,litert,tensorflow", help="extras to install")
    parser.add_argument(
        "--output", default=None, help="keep the wheel and the sdist in this folder"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gradnet_release_") as name:
        folder = Path(name)
        for part in ("source", "dist"):
            (folder / part).mkdir()
        copy_tracked(folder / "source")
        wheel, sdist = build(folder / "source", folder / "dist")
        for path in (wheel, sdist):
            print(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB, metadata checked", flush=True)
        for extra in filter(None, options.extras.split(",")):
            try_extra(wheel, extra, folder)
        if options.output:
            Path(options.output).mkdir(parents=True, exist_ok=True)
            for path in (wheel, sdist):
                shutil.copy2(path, options.output)


if __name__ == "__main__":
    main()
