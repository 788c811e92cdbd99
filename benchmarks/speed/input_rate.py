r"""Measures how many training crops per second the input pipeline delivers by itself.

Example:
  python -m benchmarks.speed.input_rate --dataset=sample --batch_size=64 --crop_size=80 --workers=1

Each row is the median over the batches of one run after a warm-up, with images already decoded. The
tf.data rows are what a TensorFlow run uses. The last two rows read shards from --prepared_dir, by
default a temporary folder; the service's dispatcher and its one worker run on the same machine.

Below the table, the rate of the shards is compared with the training rate of --preset, measured in
a separate process (--train_steps=0 skips it). With --memory_batches, the memory of this process is
listed over so many batches, starting after the first hundred.
"""

import argparse
import contextlib
import dataclasses
import statistics
import subprocess
import sys
import tempfile
import time

from benchmarks.measuring import in_own_process, process_memory
from gradnet_tf.models.presets import PRECISIONS, get_preset
from gradnet_tf.utils.command import guarded
from gradnet_tf.utils.framework_start import quiet_native_logs

_WARM_UP = 5
_SETTLED = 100
_ROWS = 10


def _rate(batches, count: int, batch_size: int) -> float:
    """Returns crops per second: the median over groups of ten batches."""
    for _ in range(_WARM_UP):
        next(batches)
    rates = []
    for _ in range(max(count // 10, 1)):
        start = time.perf_counter()
        for _ in range(10):
            next(batches)
        rates.append(10 * batch_size / (time.perf_counter() - start))
    return statistics.median(rates)


def training_rate(arguments) -> float:
    """Returns patches per second of the preset's training, without its input."""
    names = ("preset", "precision", "batch_size", "crop_size")
    seconds = in_own_process(
        "benchmarks.speed.training_cell:measure",
        "tensorflow",
        arguments.train_steps,
        environment={"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"},
        **{name: getattr(arguments, name) for name in names},
    )["seconds"]
    return arguments.batch_size / statistics.median(seconds)


def memory_over(batches, count: int) -> list[tuple[int, float]]:
    """Takes `count` batches; returns rows of (batches so far, resident MB of 10⁶ bytes).

    Args:
        batches: an iterator.
        count: more than 100; the first row is after 100 batches.
    """
    marks = {_SETTLED + (count - _SETTLED) * row // _ROWS for row in range(_ROWS + 1)}
    held = []
    for number in range(1, count + 1):
        next(batches)
        if number in marks:
            held.append((number, process_memory() / 1e6))
    return held


@contextlib.contextmanager
def _service():
    """Yields the address of a dispatcher with one worker, each in a separate process."""
    command = [sys.executable, "-m", "datasets", "service", "--all_interfaces"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    with subprocess.Popen([*command, "--role=dispatcher"], **pipes) as dispatcher:
        address = dispatcher.stdout.readline().split()[-1]
        worker = [*command, "--role=worker", f"--dispatcher={address}"]
        with subprocess.Popen(worker, **pipes) as worker:
            worker.stdout.readline()
            try:
                yield address
            finally:
                worker.terminate()
                dispatcher.terminate()


def _measure(arguments, prepared_dir) -> None:
    from datasets.pipeline.batches import PipelineConfig, TrainingBatches
    from datasets.pipeline.tf_pipeline import training_dataset
    from datasets.sets.catalog import find_training_sets
    from datasets.shards.shard_writer import prepared_set
    from gradnet_tf.degradations.compose import parse_degradation

    def row(name, batches):
        rate = _rate(iter(batches), arguments.batches, arguments.batch_size)
        print(f"{name:30}{rate:12.0f}", flush=True)
        return rate

    def pipeline(images, workers):
        with quiet_native_logs():
            return training_dataset(images, dataclasses.replace(config, workers=workers))

    images, _ = find_training_sets(arguments.dataset, arguments.data_dir)
    noise = parse_degradation(arguments.degradation) if arguments.degradation else None
    config = PipelineConfig(
        arguments.batch_size, arguments.crop_size, 25.0, 25.0, degradation=noise
    )
    direct = TrainingBatches(images, config)
    print("input                     crops per second")
    row("NumPy, one thread", (direct.batch(step) for step in range(10**9)))
    counts = [int(workers) for workers in arguments.workers.split(",")]
    for workers in counts:
        row(f"tf.data, {workers:2d} worker(s)", pipeline(images, workers))
    prepared = prepared_set(images, prepared_dir)
    shards = pipeline(prepared, counts[-1])
    delivered = row(f"prepared shards, {counts[-1]:2d} worker(s)", shards)
    if not noise:  # the service has no degradations
        from datasets.pipeline.service_pipeline import Epochs, service_dataset

        with _service() as address:
            epochs = Epochs.of(prepared, config.crop_size)
            row("data service, 1 worker", service_dataset(epochs, config, address, "input_rate"))
    if arguments.train_steps:
        trained = training_rate(arguments)
        print(f"{'training ' + arguments.preset:30}{trained:12.1f}")
        ratio = delivered / trained
        print(f"prepared shards deliver {ratio:.1f} times the rate of {arguments.preset}")
    if arguments.memory_batches:
        held = memory_over(iter(shards), arguments.memory_batches)
        start, end = held[0][1], held[-1][1]
        print("\nbatches taken   MB held")
        print("\n".join(f"{number:13d} {size:9.0f}" for number, size in held))
        print(f"memory changed by {end - start:+.0f} MB ({100 * (end / start - 1):+.1f}%)")


def main() -> int:
    """Parses the command line and prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", default="sample", help="training set by name")
    parser.add_argument("--data_dir", help="folder that holds the data set")
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--crop_size", type=int, default=80)
    parser.add_argument("--batches", type=int, default=100, help="batches per row")
    parser.add_argument("--workers", default="1,2", help="numbers of tf.data workers")
    parser.add_argument("--prepared_dir", help="folder of prepared shards to use or create")
    parser.add_argument("--degradation", help="noise as train.py takes it, instead of sigma 25")
    parser.add_argument("--preset", default="gradnet_small", help="network to compare with")
    parser.add_argument("--precision", default="float32", choices=PRECISIONS[:2])
    parser.add_argument("--train_steps", type=int, default=5, help="timed training steps")
    parser.add_argument(
        "--memory_batches",
        type=int,
        default=0,
        help="measure the memory over so many batches",
    )
    arguments = parser.parse_args()
    get_preset(arguments.preset)
    if 0 < arguments.memory_batches <= _SETTLED:
        parser.error(f"--memory_batches: 0, or more than {_SETTLED}")
    with tempfile.TemporaryDirectory() as temporary:
        return guarded(lambda: _measure(arguments, arguments.prepared_dir or temporary))


if __name__ == "__main__":
    raise SystemExit(main())
