"""What this process may use of the machine: processor cores and memory.

Containers and schedulers give a process less than the machine has. `os.cpu_count` and the size of
the memory describe the machine; control groups (versions 1 and 2) and the affinity of the process
hold its own limits.
"""

import contextlib
import math
import os
from collections.abc import Iterator
from pathlib import Path

#: Limits of this size or more mean that there is none.
_NO_LIMIT = 2**60
#: Bytes of memory where the system does not tell (Windows).
_ASSUMED = 4 * 10**9


def allowed_cores(root: str = "/") -> int:
    """Returns how many cores this process may use at once, at least 1.

    Args:
        root: the root of the file system, for tests.
    """
    try:
        cores = len(os.sched_getaffinity(0))
    except (AttributeError, OSError):  # not on this system
        cores = os.cpu_count() or 1
    for folder in _groups(root, "cpu"):
        quota, period = _quota(folder)
        if quota and period:
            cores = min(cores, math.ceil(quota / period))
    return max(1, cores)


def memory_limit(root: str = "/") -> int | None:
    """Returns the memory in bytes that this process may use, `None` if there is no limit.

    Args:
        root: the root of the file system, for tests.
    """
    found = [
        number
        for folder in _groups(root, "memory")
        for name in ("memory.max", "memory.high", "memory.limit_in_bytes")
        if (number := _number(folder / name)) is not None and 0 < number < _NO_LIMIT
    ]
    return min(found, default=None)


def available_memory() -> int:
    """Returns the memory in bytes that this process may use at most, 4 GB where nothing tells."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows
        total = _ASSUMED
    return min(total, memory_limit() or total)


def _groups(root: str, controller: str) -> Iterator[Path]:
    """Yields the folders of the control groups that this process is in, the outer ones last."""
    mount = Path(root, "sys/fs/cgroup")
    try:
        lines = Path(root, "proc/self/cgroup").read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return
    for line in lines:
        _, controllers, path = (line.split(":", 2) + ["", ""])[:3]
        if controllers and controller not in controllers.split(","):
            continue
        top = mount / controllers if controllers else mount
        if controllers and not top.is_dir():
            top = mount / controller
        group = top / path.lstrip("/")
        # Inside a container the path may be that of the host, which is not visible here.
        yield group
        for outer in group.parents:
            if outer == mount:
                break
            yield outer
        if top == mount:
            yield top


def _quota(folder: Path) -> tuple[int | None, int | None]:
    """Returns microseconds of processor time, and the period in which they may be used."""
    with contextlib.suppress(OSError, ValueError):
        quota, period = (folder / "cpu.max").read_text("utf-8").split()
        return (None if quota == "max" else int(quota)), int(period)
    quota = _number(folder / "cpu.cfs_quota_us")
    return (quota if quota and quota > 0 else None), _number(folder / "cpu.cfs_period_us")


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
