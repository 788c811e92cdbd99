"""A small Debian for ARM64 in a folder, in which Python and LiteRT's aarch64 wheel run emulated.

Nothing is mounted and nothing of the system outside the folder changes: debootstrap fetches the
packages, they are unpacked (no package's scripts run), and QEMU runs Python in the folder.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from gradnet_tf.utils.errors import UserError

QEMU = "qemu-aarch64-static"
#: Debian's release, and the version of Python that it has.
RELEASE, PYTHON_VERSION = "bookworm", "3.11"
WHEELS = ("ai-edge-litert", "numpy")
#: Oldest first: what the C library of the release is good for.
PLATFORMS = ("manylinux2014", "manylinux_2_17", "manylinux_2_27", "manylinux_2_28")
#: Written last: what the folder was made of.
DONE = "gradnet_done.txt"
CORES = 2
_OLD = "fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid"
#: Processors of phones: the part number and the features that Linux would tell. The first has
#: dot products and half precision, the second neither. QEMU's own "max" is none of them: the SVE
#: of QEMU 7.2 computes int8 convolutions wrongly (QEMU 10 does not).
PROCESSORS = {
    "cortex-a76": ("0xd0b", f"{_OLD} atomics fphp asimdhp asimdrdm lrcpc dcpop asimddp"),
    "cortex-a53": ("0xd03", _OLD),
}
_REQUIREMENTS = Path(__file__).resolve().parent.parent / "requirements.txt"


def pinned_wheels() -> list[str]:
    """Returns NAME==VERSION of the wheels, as requirements.txt has them."""
    text = _REQUIREMENTS.read_text(encoding="utf-8")
    return [re.search(rf"(?m)^{name}==\S+", text)[0] for name in WHEELS]


def require_tools() -> None:
    """Checks that the folder can be made and used.

    Raises:
        UserError: not on Linux, not root, or a program is missing.
    """
    missing = [name for name in (QEMU, "debootstrap", "dpkg-deb") if shutil.which(name) is None]
    if missing:
        raise UserError(
            f"missing: {', '.join(missing)}. On Debian or Ubuntu: make arm64-setup (as root)."
        )
    if os.geteuid() != 0:
        raise UserError(
            "debootstrap and chroot need root. Run make arm64-check as root, in a container say."
        )


def make_root(root: Path) -> None:
    """Makes the folder, unless it is there and of the same parts.

    Args:
        root: the folder; a half-made one is made anew.

    Raises:
        UserError: debootstrap or pip fails, with the last line of what it said.
    """
    parts = f"{RELEASE}\n" + "\n".join(pinned_wheels()) + "\n"
    if (root / DONE).is_file() and (root / DONE).read_text(encoding="utf-8") == parts:
        return
    print(f"making {root}: about 110 packages of Debian {RELEASE} for ARM64, some minutes")
    if root.exists():
        shutil.rmtree(root)
    root.parent.mkdir(parents=True, exist_ok=True)
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
    """Runs a script that lies in the folder with its Python, emulated.

    Args:
        root: the folder.
        processor: a key of `PROCESSORS`.
        script: path seen from inside, such as "/check/run.py".
        arguments: of the script.
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
    """Writes the files from which XNNPACK learns what cores there are; QEMU has none."""
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
        said = (done.stderr.strip() or done.stdout.strip() or "nothing").splitlines()[-1]
        raise UserError(f"{command[0]} ended with {done.returncode}: {said[:300]}")
