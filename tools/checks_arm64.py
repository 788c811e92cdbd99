"""Runs .tflite files under emulated ARM64 and compares them with this machine.

    python -m tools.checks_arm64 FILE.tflite ... [--root=out/arm64/root]

Needs root, debootstrap and QEMU's user mode (`make arm64-setup`). The first run creates the folder
of ARM64 programs and later runs reuse it; --remove deletes it at the end. The times say nothing
about phones: emulation takes seconds for an image of 64×64.

The folder contains a small Debian in which QEMU runs Python and LiteRT's aarch64 wheel. Nothing is
mounted and nothing outside the folder changes: debootstrap downloads the packages, which are
unpacked without running their scripts.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from export.verify.checks import CheckFailed, probe_image
from gradnet_tf.utils.command import guarded
from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.options import ArgumentParser
from tools import arm64_process

QEMU = "qemu-aarch64-static"
#: The Debian release and its version of Python.
RELEASE, PYTHON_VERSION = "bookworm", "3.11"
WHEELS = ("ai-edge-litert", "numpy")
#: Wheel platforms that the C library of the release supports, oldest first.
PLATFORMS = ("manylinux2014", "manylinux_2_17", "manylinux_2_27", "manylinux_2_28")
#: Written last, with the components of the folder.
DONE = "gradnet_done.txt"
#: Written first; a folder with one of these files was made here and may be deleted.
BEGUN = "gradnet_begun.txt"
CORES = 2
_OLD = "fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid"
#: Processors of phones: the part number and the features that Linux reports. The first has dot
#: products and half precision, the second neither. QEMU's "max" is not used because the SVE of
#: QEMU 7.2 computes wrong int8 convolutions (QEMU 10 does not).
PROCESSORS = {
    "cortex-a76": ("0xd0b", f"{_OLD} atomics fphp asimdhp asimdrdm lrcpc dcpop asimddp"),
    "cortex-a53": ("0xd03", _OLD),
}
_REQUIREMENTS = Path(__file__).resolve().parent.parent / "requirements.txt"


def pinned_wheels() -> list[str]:
    """Returns NAME==VERSION of the wheels from requirements.txt."""
    text = _REQUIREMENTS.read_text(encoding="utf-8")
    return [re.search(rf"(?m)^{name}==\S+", text)[0] for name in WHEELS]


def require_tools() -> None:
    """Raises a `UserError` if a program is missing, or the user is not root."""
    missing = [name for name in (QEMU, "debootstrap", "dpkg-deb") if shutil.which(name) is None]
    if missing:
        raise UserError(
            f"missing: {', '.join(missing)}. On Debian or Ubuntu: make arm64-setup (as root)."
        )
    if os.geteuid() != 0:
        raise UserError(
            "debootstrap and chroot need root. Run make arm64-check as root, e.g. in a container."
        )


def require_own_root(root: Path) -> None:
    """Raises a `UserError` unless a folder is missing, empty or was made by this command."""
    own = any((root / name).is_file() and not (root / name).is_symlink() for name in (DONE, BEGUN))
    if root.is_symlink() or (root.exists() and not root.is_dir()):
        raise UserError(f"--root={root}: expected a folder. Received: a file or a link.")
    if root.is_dir() and not own and any(root.iterdir()):
        raise UserError(
            f"--root={root}: contains other files and was not made by this command, which would "
            "delete it.\nUse a new folder, or delete it yourself."
        )


def remove_root(root: Path) -> None:
    """Deletes the folder if it exists; raises as `require_own_root` does."""
    require_own_root(root)
    if root.exists():
        shutil.rmtree(root)


def make_root(root: Path) -> None:
    """Creates the folder unless it is complete and up to date; replaces an incomplete one.

    Raises:
        UserError: the folder contains something else; or debootstrap or pip fails, with the last
            line of its output.
    """
    require_own_root(root)
    parts = f"{RELEASE}\n" + "\n".join(pinned_wheels()) + "\n"
    if (root / DONE).is_file() and (root / DONE).read_text(encoding="utf-8") == parts:
        return
    print(f"creating {root}: about 110 packages of Debian {RELEASE} for ARM64, some minutes")
    remove_root(root)
    root.mkdir(parents=True)
    (root / BEGUN).touch()
    _run(
        ["debootstrap", "--foreign", "--arch=arm64", "--variant=minbase", "--include=python3"]
        + [RELEASE, str(root)]
    )
    packages = sorted((root / "var/cache/apt/archives").glob("*.deb"))
    for package in packages:
        _run(["dpkg-deb", "--extract", str(package), str(root)])
        package.unlink()
    _install_wheels(root)
    shutil.copy(shutil.which(QEMU), root / "usr/bin" / QEMU)
    (root / DONE).write_text(parts, encoding="utf-8")


def run_python(
    root: Path, processor: str, script: str, *arguments: str
) -> subprocess.CompletedProcess:
    """Runs a script in the emulated Python of the folder.

    Args:
        root: the folder.
        processor: a key of `PROCESSORS`.
        script: path inside the folder, such as "/check/run.py".
        arguments: arguments of the script.
    """
    _describe_processor(root, *PROCESSORS[processor])
    command = ["chroot", str(root), f"/usr/bin/{QEMU}", "-cpu", processor, "/usr/bin/python3"]
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONPATH": "/opt/wheels"}
    return subprocess.run(
        [*command, script, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def _install_wheels(root: Path) -> None:
    target = root / "opt/wheels"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    command += ["--only-binary=:all:", "--implementation=cp", f"--python-version={PYTHON_VERSION}"]
    command += [f"--platform={platform}_aarch64" for platform in PLATFORMS]
    _run([*command, f"--target={target}", *pinned_wheels()])


def _describe_processor(root: Path, part: str, features: str) -> None:
    """Writes the files from which XNNPACK detects the cores, which QEMU does not provide."""
    core = f"""BogoMIPS\t: 48.00
Features\t: {features}
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x1
CPU part\t: {part}
CPU revision\t: 0
"""
    cores = "\n".join(f"processor\t: {number}\n{core}" for number in range(CORES))
    (root / "proc").mkdir(exist_ok=True)
    (root / "proc/cpuinfo").write_text(cores, encoding="utf-8")
    folder = root / "sys/devices/system/cpu"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("possible", "present", "online"):
        (folder / name).write_text(f"0-{CORES - 1}\n", encoding="utf-8")


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()[-1]
        raise UserError(f"{command[0]} failed with exit code {done.returncode}: {reason[:300]}")


SIDE = 64
#: Least agreement with the native result in dB for each kind of file: floats differ in the last
#: digit, integers where that changes a rounding.
LEAST = {"float32": 110.0, "float16": 100.0, "int8": 55.0, "dynamic": 50.0}
ROOT = Path("out/arm64/root")


def kind_of(name: str) -> str:
    """Returns the key of `LEAST` in a file's name, by default float32."""
    return next((kind for kind in LEAST if f"_{kind}" in name), "float32")


def decibels(found: np.ndarray, expected: np.ndarray) -> float:
    """Returns the PSNR of two arrays with peak 1.0; infinite if they are equal."""
    power = np.mean((found.astype(np.float64) - expected) ** 2)
    return float(-10 * np.log10(power)) if power else float("inf")


def inputs_for(path: Path) -> dict[str, np.ndarray]:
    """Returns the inputs of `arm64_process` for a file."""
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(model_path=str(path)).get_signature_runner("serving_default")
    shape = runner.get_input_details()["images"]["shape_signature"]
    window = int(shape[1]) if shape[1] > 0 else SIDE
    channels = int(shape[-1])
    return {
        "images": probe_image(SIDE, SIDE, channels),
        "window": probe_image(window, window, channels),
        "crop": probe_image(80, 80, channels),
    }


def check(paths: Sequence[Path], root: Path, processors: Sequence[str]) -> list[str]:
    """Runs the files natively and on each processor; returns a line for each comparison.

    Raises:
        CheckFailed: a file agrees less than `LEAST`, or does not run.
    """
    lines, failed = [], []
    guest = root / "check"
    try:
        for path in paths:
            shutil.rmtree(guest, ignore_errors=True)
            guest.mkdir()
            shutil.copy(path, guest)
            shutil.copy(arm64_process.__file__, guest / "process.py")
            given = inputs_for(path)
            np.savez(guest / "inputs.npz", **given)
            expected = arm64_process.run_file(path, given, threads=1)
            for processor in processors:
                done = run_python(root, processor, "/check/process.py", "/check")
                if done.returncode != 0:
                    reason = (done.stderr.strip().splitlines() or ["no output"])[-1]
                    raise CheckFailed(f"{path.name} fails on {processor}: {reason[:300]}")
                report = json.loads(done.stdout.splitlines()[-1])
                with np.load(guest / f"{path.stem}.outputs.npz") as found:
                    line, fault = _compare(path.name, expected, dict(found), report)
                lines.append(f"{path.name:<52}{processor:<12}{line}")
                failed += [f"{path.name} on {processor}: {fault}"] if fault else []
    finally:
        shutil.rmtree(guest, ignore_errors=True)
    if failed:
        raise CheckFailed("\n".join([*lines, *failed]))
    return lines


def _compare(name: str, expected: dict, found: dict, report: dict) -> tuple[str, str | None]:
    """Returns the figures of a file, and the reason if it fails."""
    # NumPy's extremes are NaN where one value is, which fails below; Python's are not.
    worst = np.min([decibels(found[key], expected[key]) for key in expected])
    largest = np.max([np.abs(found[key] - expected[key]).max() for key in expected])
    line = f"{worst:>7.1f} dB  largest difference {largest:.1e}  {report['seconds'][name]:5.1f} s"
    least = LEAST[kind_of(name)]
    if report["machine"] != "aarch64":
        return line, f"ran on {report['machine']}, not on aarch64"
    return line, None if worst >= least else f"{worst:.1f} dB, at least {least:.0f} expected"


def main(arguments: Sequence[str] | None = None) -> int:
    """Parses the command line and prints a line for each file; returns the exit code."""
    parser = ArgumentParser(prog="python -m tools.checks_arm64", description=__doc__)
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE.tflite")
    parser.add_argument("--root", type=Path, default=ROOT, help=f"the folder (default: {ROOT})")
    parser.add_argument(
        "--processors",
        nargs="+",
        choices=PROCESSORS,
        default=list(PROCESSORS),
        help="processors to emulate (default: both)",
    )
    parser.add_argument("--remove", action="store_true", help="delete the folder at the end")
    options = parser.parse_args(arguments)
    for path in options.files:
        if not path.is_file():
            raise UserError(f"{path}: no such file. `python -m export` writes .tflite files.")
    require_own_root(options.root)
    require_tools()
    try:
        make_root(options.root)
        print("\n".join(check(options.files, options.root, options.processors)))
    except CheckFailed as error:
        raise UserError(str(error)) from error
    finally:
        if options.remove:
            remove_root(options.root)
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
