"""Clusters from fake environments, and the wait for workers over real sockets."""

import json
import socket
import threading
import time

import pytest
from multiworker_case import free_addresses

from gradnet_tf.training.workers.cluster import (
    Cluster,
    cluster_for,
    expand_hosts,
    read_cluster,
    wait_for_workers,
)
from gradnet_tf.utils.errors import Interrupted, UserError


def tf_config(cluster, kind="worker", index=0):
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})}


def test_tf_config_is_read_and_written_back():
    cluster = read_cluster(tf_config({"worker": ["a:1", "b:2"]}, index=1))
    assert cluster.workers == ("a:1", "b:2") and cluster.index == 1 and cluster.size == 2
    assert not cluster.chief
    assert read_cluster({"TF_CONFIG": cluster.tf_config()}) == cluster


def test_a_chief_of_its_own_comes_first():
    jobs = {"chief": ["c:1"], "worker": ["a:1", "b:1"]}
    assert read_cluster(tf_config(jobs, "chief")).chief
    second = read_cluster(tf_config(jobs, "worker", 1))
    assert second.workers == ("c:1", "a:1", "b:1") and second.index == 2


KUBERNETES = {
    "JOB_COMPLETION_INDEX": "2",
    "GRADNET_WORKERS": "3",
    "GRADNET_HOST": "train-{index}.train",
}


def test_an_indexed_job_is_read():
    cluster = read_cluster(KUBERNETES)
    assert cluster.workers == ("train-0.train:2222", "train-1.train:2222", "train-2.train:2222")
    assert cluster.index == 2
    assert read_cluster({**KUBERNETES, "GRADNET_PORT": "99"}).workers[0] == "train-0.train:99"


def test_slurm_is_read_with_several_tasks_on_a_node():
    cluster = read_cluster(
        {
            "SLURM_PROCID": "3",
            "SLURM_NTASKS": "5",
            "SLURM_STEP_NODELIST": "gpu[08-10]",
            "SLURM_STEP_TASKS_PER_NODE": "2(x2),1",
        }
    )
    assert cluster.workers == tuple(
        "gpu08:2222 gpu08:2223 gpu09:2222 gpu09:2223 gpu10:2222".split()
    )
    assert cluster.index == 3


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("node7", ["node7"]),
        ("a,b.c,d-1", ["a", "b.c", "d-1"]),
        ("gpu[01-03,7],login", ["gpu01", "gpu02", "gpu03", "gpu7", "login"]),
        ("x,r[9-11]-ib,y[1,3]", ["x", "r9-ib", "r10-ib", "r11-ib", "y1", "y3"]),
    ],
)
def test_lists_of_nodes_expand(text, hosts):
    assert expand_hosts(text) == hosts


def test_tf_config_goes_first_and_other_strategies_read_nothing(monkeypatch):
    assert read_cluster({**KUBERNETES, **tf_config({"worker": ["a:1"]})}).source == "TF_CONFIG"
    monkeypatch.setenv("TF_CONFIG", "nonsense")
    assert cluster_for("mirrored") == Cluster()
    with pytest.raises(UserError, match="nonsense"):
        cluster_for("multiworker")


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({}, "found no cluster"),
        ({"TF_CONFIG": "{"}, "TF_CONFIG must be JSON such as"),
        ({"TF_CONFIG": "[]"}, "TF_CONFIG must be JSON such as"),
        (tf_config({"worker": ["a:1"], "ps": ["b:1"]}), "only the jobs chief and worker"),
        (tf_config({"worker": ["a:1"]}, "evaluator"), "task type 'evaluator'"),
        (tf_config({"worker": ["a:1", "b:1"]}, index=2), "from 0 to 1. Received: 2"),
        (tf_config({"worker": ["a:1", "a:1"]}), "a different address. Received: a:1, a:1"),
        (tf_config({"worker": ["a"]}), "must be host:port. Received: 'a'"),
        (tf_config({"worker": ["a:70000"]}), "must be host:port"),
        (KUBERNETES | {"GRADNET_WORKERS": "many"}, "`GRADNET_WORKERS` must be a whole number"),
        (KUBERNETES | {"GRADNET_HOST": "train"}, "with {index} in it"),
        (KUBERNETES | {"GRADNET_PORT": "x"}, "`GRADNET_PORT` must be a whole number"),
        (KUBERNETES | {"JOB_COMPLETION_INDEX": "3"}, "from 0 to 2. Received: 3"),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "2", "SLURM_NODELIST": "a"}, "2 tasks do not fit"),
        ({"SLURM_PROCID": "0", "SLURM_NODELIST": "a[x-y]"}, "list of nodes cannot be read"),
    ],
)
def test_mistakes_are_explained(environment, words):
    with pytest.raises(UserError) as error:
        read_cluster(environment)
    assert words in str(error.value)
    assert len(str(error.value).splitlines()) <= 3


def test_workers_wait_for_each_other_and_hand_over_their_ports():
    addresses = tuple(free_addresses(3))
    ended, finished = threading.Event(), []

    def work(index):
        wait_for_workers(Cluster(addresses, index), 20.0)
        # TensorFlow's server follows at the same port.
        port = int(addresses[index].rpartition(":")[2])
        with socket.create_server(("", port)):
            finished.append(index)
            ended.wait(20)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(3)]
    for thread in threads[:2]:
        thread.start()
    time.sleep(0.3)
    assert finished == []
    threads[2].start()
    until = time.monotonic() + 20
    while len(finished) < 3 and time.monotonic() < until:
        time.sleep(0.01)
    ended.set()
    for thread in threads:
        thread.join(20)
    assert sorted(finished) == [0, 1, 2]


def test_a_missing_worker_and_a_taken_port_are_named():
    here, away = free_addresses(2)
    with pytest.raises(Interrupted, match=rf"worker 0 of 2 waited 0 s for worker 1 \({away}\)"):
        wait_for_workers(Cluster((here, away), 0), 0.3)
    port = int(here.rpartition(":")[2])
    with socket.create_server(("", port)), pytest.raises(UserError, match=f"port {port}"):
        wait_for_workers(Cluster((here, away), 0, "TF_CONFIG"), 0.3)
