"""Reads the cluster of a multi-worker run, and this process' place in it, from the environment.

Three descriptions are supported, in this order:

- `TF_CONFIG`: TensorFlow's own JSON, {"cluster": {"worker": ["host:port", …]},
  "task": {"type": "worker", "index": 0}}.
- Kubernetes, Indexed Job or JobSet: `JOB_COMPLETION_INDEX` (set by Kubernetes), with
  `GRADNET_WORKERS` (a number) and `GRADNET_HOST` (a pattern such as "train-{index}.train").
- SLURM: the variables of `srun`, one task per worker.

The port of the last two is `GRADNET_PORT`, 2222 by default. No framework is imported here.
"""

import contextlib
import dataclasses
import json
import os
import re
import socket
import time
from collections.abc import Mapping

from gradnet_tf.utils.errors import Interrupted, UserError

DEFAULT_PORT = 2222
_POLL_SECONDS = 0.2


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The processes of a run and this process' place among them.

    Attributes:
        workers: "host:port" of every worker; the first one is the chief.
        index: index of this worker, from 0.
        source: the environment description, for messages.
    """

    workers: tuple[str, ...] = ("localhost:0",)
    index: int = 0
    source: str = "none"

    def __post_init__(self):
        for address in self.workers:
            match = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^\s:]+):(\d{1,5})", address)
            if not match or int(match[2]) > 65535:
                raise UserError(
                    f"{self.source}: a worker's address must be host:port. Received: {address!r}"
                )
        if len(set(self.workers)) != len(self.workers):
            raise UserError(
                f"{self.source}: every worker needs a different address. "
                f"Received: {', '.join(self.workers)}"
            )
        if not 0 <= self.index < len(self.workers):
            raise UserError(
                f"{self.source}: the index of this worker must be from 0 to "
                f"{len(self.workers) - 1}. Received: {self.index}"
            )

    @property
    def size(self) -> int:
        """The number of workers."""
        return len(self.workers)

    @property
    def chief(self) -> bool:
        """Whether this worker writes the run's folder."""
        return self.index == 0

    def tf_config(self) -> str:
        """Returns the cluster as the value of `TF_CONFIG`."""
        task = {"type": "worker", "index": self.index}
        return json.dumps({"cluster": {"worker": list(self.workers)}, "task": task})


def _number(source: str, name: str, text: str | None, least: int = 0) -> int:
    if text is None or not text.strip().isdecimal() or int(text) < least:
        raise UserError(
            f"{source}: `{name}` must be a whole number of at least {least}. Received: {text!r}"
        )
    return int(text)


def _from_tf_config(text: str) -> Cluster:
    shape = '{"cluster": {"worker": ["host:port", …]}, "task": {"type": "worker", "index": 0}}'
    try:
        value = json.loads(text)
        jobs = value["cluster"]
        kind, index = value["task"]["type"], value["task"]["index"]
        others = sorted(set(jobs) - {"chief", "worker"})
        chief, workers = list(jobs.get("chief", [])), list(jobs.get("worker", []))
        index = int(index) + (len(chief) if kind == "worker" else 0)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"TF_CONFIG must be JSON such as {shape}. Received: {text!r}") from None
    if others or kind not in jobs or not all(isinstance(item, str) for item in chief + workers):
        raise UserError(
            f"TF_CONFIG must list only the jobs chief and worker, including that of this task.\n"
            f"Received: cluster {sorted(jobs)}, task type {kind!r}"
        )
    return Cluster(tuple(chief + workers), index, "TF_CONFIG")


def _from_kubernetes(environment: Mapping[str, str], port: int) -> Cluster:
    size = _number("Kubernetes", "GRADNET_WORKERS", environment.get("GRADNET_WORKERS"), 1)
    pattern = environment.get("GRADNET_HOST", "")
    if "{index}" not in pattern:
        raise UserError(
            "Kubernetes: `GRADNET_HOST` must be a host name with {index} in it, such as "
            f'"train-{{index}}.train". Received: {pattern!r}'
        )
    hosts = [pattern.replace("{index}", str(index)) for index in range(size)]
    index = _number("Kubernetes", "JOB_COMPLETION_INDEX", environment["JOB_COMPLETION_INDEX"])
    return Cluster(tuple(f"{host}:{port}" for host in hosts), index, "Kubernetes")


def expand_hosts(text: str) -> list[str]:
    """Expands SLURM's list of nodes: "gpu[01-03,7],login" → gpu01, gpu02, gpu03, gpu7, login."""
    hosts = []
    # A comma inside brackets belongs to the ranges.
    for part in re.findall(r"[^,\[]+(?:\[[^\]]*\][^,\[]*)?", text):
        match = re.fullmatch(r"([^\[]*)\[([^\]]*)\](.*)", part)
        if not match:
            hosts.append(part)
            continue
        for piece in match[2].split(","):
            low, _, high = piece.partition("-")
            if not low.isdecimal() or not (high or low).isdecimal():
                raise UserError(f"SLURM: the list of nodes cannot be read. Received: {text!r}")
            numbers = range(int(low), int(high or low) + 1)
            hosts += [f"{match[1]}{number:0{len(low)}d}{match[3]}" for number in numbers]
    return hosts


def _from_slurm(environment: Mapping[str, str], port: int) -> Cluster:
    def first(*names):
        return next((environment[name] for name in names if name in environment), "")

    hosts = expand_hosts(first("SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST", "SLURM_NODELIST"))
    # "2(x3),1" stands for 2, 2, 2 and 1 tasks on the nodes in order.
    counts: list[int] = []
    for item in first("SLURM_STEP_TASKS_PER_NODE", "SLURM_TASKS_PER_NODE").split(","):
        match = re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", item)
        counts += [int(match[1])] * int(match[2] or 1) if match else []
    tasks = _number("SLURM", "SLURM_NTASKS", first("SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"), 1)
    if len(counts) != len(hosts) or sum(counts) != tasks:
        raise UserError(
            f"SLURM: {tasks} tasks do not fit {counts} tasks on the nodes {hosts}.\n"
            "Start with srun, its default block distribution and one task per worker."
        )
    addresses = [
        f"{host}:{port + local}"
        for host, count in zip(hosts, counts, strict=True)
        for local in range(count)
    ]
    index = _number("SLURM", "SLURM_PROCID", environment["SLURM_PROCID"])
    return Cluster(tuple(addresses), index, "SLURM")


def read_cluster(environment: Mapping[str, str] | None = None) -> Cluster:
    """Reads the cluster from environment variables.

    Args:
        environment: `os.environ` by default.

    Raises:
        UserError: there is no description, or it is invalid.
    """
    environment = os.environ if environment is None else environment
    if environment.get("TF_CONFIG", "").strip():
        return _from_tf_config(environment["TF_CONFIG"])
    port = _number("GRADNET_PORT", "GRADNET_PORT", environment.get("GRADNET_PORT", "2222"), 1)
    if "JOB_COMPLETION_INDEX" in environment:
        return _from_kubernetes(environment, port)
    if "SLURM_PROCID" in environment:
        return _from_slurm(environment, port)
    raise UserError(
        "--strategy=multiworker found no cluster in the environment.\n"
        "Set TF_CONFIG, or GRADNET_WORKERS and GRADNET_HOST in a Kubernetes Indexed Job, or start "
        "with SLURM's srun; docs/scale.md shows each."
    )


def cluster_for(strategy: str) -> Cluster:
    """Returns the environment's cluster for "multiworker", and a cluster of one otherwise."""
    return read_cluster() if strategy == "multiworker" else Cluster()


def wait_for_workers(cluster: Cluster, timeout: float) -> None:
    """Waits until every other worker answers at its address.

    TensorFlow waits for an hour and does not name the missing workers. Here each worker listens at
    its port; one that has reached all others continues and leaves the port to TensorFlow's server,
    which answers late workers.

    Raises:
        Interrupted: some do not answer within `timeout` seconds.
        UserError: this worker's port is in use.
    """
    port = int(cluster.workers[cluster.index].rpartition(":")[2])
    missing = {number: address for number, address in enumerate(cluster.workers)}
    del missing[cluster.index]
    until = time.monotonic() + timeout
    try:
        listener = socket.create_server(("", port), backlog=max(cluster.size, 16))
    except OSError as error:
        raise UserError(
            f"{cluster.source}: port {port} of this worker cannot be used: {error.strerror}."
        ) from error
    with listener:
        while missing:
            for number, address in list(missing.items()):
                host, _, peer_port = address.rpartition(":")
                with contextlib.suppress(OSError):
                    socket.create_connection((host.strip("[]"), int(peer_port)), 1.0).close()
                    del missing[number]
            if missing and time.monotonic() > until:
                names = ", ".join(f"{number} ({address})" for number, address in missing.items())
                raise Interrupted(
                    f"worker {cluster.index} of {cluster.size} waited {timeout:.0f} s for worker "
                    f"{names}.\nStart the same command on every worker; see --worker_timeout."
                )
            time.sleep(_POLL_SECONDS if missing else 0)
