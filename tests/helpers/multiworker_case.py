"""Starts the workers of a run as processes of this machine."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def free_addresses(count):
    """Returns addresses of ports that are free now, no two alike."""
    sockets = [socket.create_server(("localhost", 0)) for _ in range(count)]
    addresses = [f"localhost:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    return addresses


def start_worker(addresses, index, flags):
    """Starts train.py as worker number `index`; its output goes to pipes."""
    task = {"type": "worker", "index": index}
    environment = {
        **os.environ,
        "TF_CONFIG": json.dumps({"cluster": {"worker": addresses}, "task": task}),
        "CUDA_VISIBLE_DEVICES": "",
    }
    return subprocess.Popen(
        [sys.executable, "train.py", "--strategy=multiworker", *flags],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def start_workers(count, workdir, flags):
    """Starts `count` workers; each has a folder of its own, as on machines without a shared one."""
    addresses = free_addresses(count)
    return [
        start_worker(addresses, index, [*flags, f"--workdir={workdir / str(index)}"])
        for index in range(count)
    ]


def end(processes, timeout=300):
    """Waits for all; returns (exit code, standard error) of each, and leaves none behind."""
    try:
        results = [process.communicate(timeout=timeout) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(process.returncode, err) for process, (_, err) in zip(processes, results, strict=True)]
