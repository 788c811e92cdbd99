"""Cores and memory of containers, from control groups in a made-up file system."""

import os

import pytest

from gradnet_tf.tiling import machine


def root(tmp_path, groups, files):
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(groups)
    for name, text in files.items():
        path = tmp_path / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(tmp_path)


V1 = "4:memory:/box\n3:cpu,cpuacct:/box\n"
CASES = {
    "version 2": ("0::/box\n", {"box/memory.max": "1000\n", "box/cpu.max": "250000 100000\n"}),
    "an outer group": ("0::/box/in\n", {"box/memory.max": "1000", "box/cpu.max": "250000 100000"}),
    "the container's own view": (
        "0::/host/path\n",
        {"memory.max": "1000\n", "cpu.max": "250000 100000\n"},
    ),
    "version 1": (
        V1,
        {
            "memory/box/memory.limit_in_bytes": "1000\n",
            "cpu,cpuacct/box/cpu.cfs_quota_us": "250000\n",
            "cpu,cpuacct/box/cpu.cfs_period_us": "100000\n",
        },
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_limits_of_a_container_are_read(tmp_path, monkeypatch, name):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    found = root(tmp_path, *CASES[name])
    assert machine.memory_limit(found) == 1000
    assert machine.allowed_cores(found) == 3


@pytest.mark.parametrize(
    "files",
    [{}, {"box/memory.max": "max\n", "box/cpu.max": "max 100000\n"}, {"box/memory.max": "\xff"}],
)
def test_without_a_limit_the_affinity_counts(tmp_path, monkeypatch, files):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5}, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    found = root(tmp_path, "0::/box\n", files)
    assert machine.memory_limit(found) is None
    assert machine.allowed_cores(found) == 2


def test_the_smaller_of_machine_and_container_is_available(monkeypatch):
    whole = machine.available_memory()
    monkeypatch.setattr(machine, "memory_limit", lambda: 1000)
    assert machine.available_memory() == 1000 < whole
    monkeypatch.setattr(machine, "memory_limit", lambda: 2**70)
    assert machine.available_memory() >= whole
