"""The manifest of docs/scale.md describes a cluster; docs/scale_costs.md has the printed tables."""

import re
import shlex
from pathlib import Path

from benchmarks.speed.scale_sketch import main
from gradnet_tf.training.config import TrainConfig
from gradnet_tf.training.workers.cluster import read_cluster

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs/scale.md").read_text(encoding="utf-8")
COSTS = (ROOT / "docs/scale_costs.md").read_text(encoding="utf-8")
MANIFEST = re.search(r"```yaml\n(.*?)```", TEXT, re.S)[1]


def value(pattern):
    """Returns the one thing that `pattern` finds in the manifest."""
    (found,) = set(re.findall(pattern, MANIFEST))
    return found


def test_the_manifest_describes_a_cluster_of_its_pods():
    environment = dict(re.findall(r'name: (GRADNET_\w+), value: "([^"]+)"', MANIFEST))
    count = int(value(r"completions: (\d+)"))
    assert count == int(value(r"parallelism: (\d+)"))
    service, job = re.findall(r"^  name: (\w+)", MANIFEST, re.M)
    port = value(r"containerPort: (\d+)")
    assert value(r"subdomain: (\w+)") == service
    assert value(r"job-name: (\w+)") == job
    for index in range(count):
        cluster = read_cluster({**environment, "JOB_COMPLETION_INDEX": str(index)})
        assert cluster.size == count and cluster.index == index
        # Kubernetes names pod i of a job <job>-<i>, below the subdomain's Service.
        assert cluster.workers[index] == f"{job}-{index}.{service}:{port}"


def test_the_manifests_command_is_valid():
    command = re.search(r"command: \[(.*?)\]", MANIFEST, re.S)[1]
    flags = dict(re.findall(r"--(\w+)=([^,\s]+)", command))
    config = TrainConfig(
        preset=flags["preset"],
        strategy=flags["strategy"],
        precision=flags["precision"],
        batch_size=int(flags["batch_size"]),
    )
    replicas = int(value(r"completions: (\d+)")) * int(value(r"nvidia.com/gpu: (\d+)"))
    assert config.batch_size % replicas == 0


def test_the_tables_are_what_the_command_prints(capsys):
    examples = re.findall(
        r"```\n(python -m benchmarks.speed.scale_sketch.*?)```\n\n(\|.*?)\n\n", COSTS, re.S
    )
    assert len(examples) == 2
    for command, table in examples:
        main(shlex.split(command.replace("\\\n", " "))[3:])
        assert capsys.readouterr().out.strip() == table.strip()
