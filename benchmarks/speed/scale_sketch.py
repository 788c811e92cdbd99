r"""Estimates images per second per device against the number of devices, up to 1,000.

Example:
  python -m benchmarks.speed.scale_sketch --step_seconds=0.2 --images_per_device=64 \
      --parameters=6.1e6 --bandwidth_gbps=100 --devices_per_host=8 --input_per_host=4000

The step time comes from a run on one device: batch size / `examples_per_second`, both in its
log.jsonl. The rest is arithmetic, see `step_time`.
"""

import argparse
import dataclasses
import sys

from gradnet_tf.training.config import require
from gradnet_tf.utils.command import guarded

DEVICES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000)
_BAR_WIDTH = 30


@dataclasses.dataclass(frozen=True)
class Scale:
    """The inputs of the estimate.

    Attributes:
        step_seconds: measured seconds of a step on one device.
        images_per_device: images of that step; the global batch grows with the devices.
        parameters: trainable parameters.
        bytes_per_parameter: 4 for float32 gradients, which this project reduces.
        bandwidth_gbps: slowest link of the ring, in gigabits per second and direction.
        latency_us: one hop of the ring, in microseconds.
        devices_per_host: devices that share a host's input.
        input_per_host: images per second of a host's input pipeline; 0 ignores the input.
        overlap: fraction of the all-reduce that overlaps with the backward pass, in [0, 1]; 0 in
            this project, because clipping waits for all gradients.
    """

    step_seconds: float
    images_per_device: int
    parameters: float
    bytes_per_parameter: float = 4.0
    bandwidth_gbps: float = 10.0
    latency_us: float = 20.0
    devices_per_host: int = 1
    input_per_host: float = 0.0
    overlap: float = 0.0

    def __post_init__(self):
        positive = "step_seconds images_per_device parameters bytes_per_parameter bandwidth_gbps"
        for name in [*positive.split(), "devices_per_host"]:
            require(getattr(self, name) > 0, name, getattr(self, name), "greater than 0")
        for name in ("latency_us", "input_per_host"):
            require(getattr(self, name) >= 0, name, getattr(self, name), "at least 0")
        require(0 <= self.overlap <= 1, "overlap", self.overlap, "in [0, 1]")


def all_reduce_seconds(scale: Scale, devices: int) -> float:
    """Returns the time of a ring all-reduce: 2 (n − 1) messages of 1/n of the gradients each."""
    if devices == 1:
        return 0.0
    size = scale.parameters * scale.bytes_per_parameter
    transfer = 2 * (devices - 1) / devices * size / (scale.bandwidth_gbps * 1e9 / 8)
    return transfer + 2 * (devices - 1) * scale.latency_us * 1e-6


def input_seconds(scale: Scale, devices: int) -> float:
    """Returns the time that a host's input pipeline takes for one step of its devices."""
    if not scale.input_per_host:
        return 0.0
    return min(devices, scale.devices_per_host) * scale.images_per_device / scale.input_per_host


def step_time(scale: Scale, devices: int) -> tuple[float, str]:
    """Returns the seconds of a step and what limits it.

    The input pipeline runs while the device computes, so the longer of the two counts; the part of
    the all-reduce that does not overlap is added.

    Returns:
        (seconds, "compute", "all-reduce" or "input"): all-reduce if it adds more than a tenth of
        the computation.
    """
    reduce = all_reduce_seconds(scale, devices) * (1 - scale.overlap)
    step = scale.step_seconds + reduce
    fed = input_seconds(scale, devices)
    if fed > step:
        return fed, "input"
    return step, "all-reduce" if reduce > 0.1 * scale.step_seconds else "compute"


def table(scale: Scale) -> str:
    """Returns the estimate as a Markdown table with a bar of the efficiency."""
    alone = scale.images_per_device / step_time(scale, 1)[0]
    lines = [
        "| devices | step, ms | all-reduce, ms | images/s per device | images/s | efficiency "
        "| limit | |",
        "|---:|---:|---:|---:|---:|---:|---|---|",
    ]
    for devices in DEVICES:
        seconds, limit = step_time(scale, devices)
        rate = scale.images_per_device / seconds
        lines.append(
            f"| {devices:,} | {1e3 * seconds:.1f} | {1e3 * all_reduce_seconds(scale, devices):.2f} "
            f"| {rate:,.1f} | {rate * devices:,.0f} | {rate / alone:.0%} | {limit} "
            f"| {'█' * round(_BAR_WIDTH * rate / alone)} |"
        )
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> None:
    """Prints the table of the given figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for field in dataclasses.fields(Scale):
        required = field.default is dataclasses.MISSING
        default = None if required else field.default
        parser.add_argument(f"--{field.name}", type=field.type, required=required, default=default)
    print(table(Scale(**vars(parser.parse_args(argv)))))


if __name__ == "__main__":
    sys.exit(guarded(main))
