r"""Measures how many training crops a second the input makes, by itself.

Example:
  python -m benchmarks.input_rate --dataset=sample --batch_size=64 --crop_size=80 --workers=1,2

Each row is the median over the batches of one run after a warm-up; images are
decoded before. The tf.data row of w workers is what a TensorFlow run gets. The
last two read shards from --prepared_dir, by default a folder that is removed;
the service's dispatcher and its one worker run on the same machine.
"""

import argparse
import contextlib
import dataclasses
import statistics
import subprocess
import sys
import tempfile
import time

from gradnet_tf.command import guarded
from gradnet_tf.quiet import quiet_native_logs

_WARM_UP = 5


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


@contextlib.contextmanager
def _service():
    """Yields the address of a dispatcher with one worker, each a process."""
    command = [sys.executable, "-m", "datasets.service"]
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
    from datasets.batches import PipelineConfig, TrainingBatches
    from datasets.pipeline import training_dataset
    from datasets.resolve import find_training_sets
    from datasets.shard_writer import prepared_set

    def row(name, batches):
        rate = _rate(iter(batches), arguments.batches, arguments.batch_size)
        print(f"{name:30}{rate:12.0f}", flush=True)

    def pipeline(images, workers):
        with quiet_native_logs():
            return training_dataset(images, dataclasses.replace(config, workers=workers))

    images, _ = find_training_sets(arguments.dataset, arguments.data_dir)
    config = PipelineConfig(arguments.batch_size, arguments.crop_size, 25.0, 25.0)
    direct = TrainingBatches(images, config)
    print("input                     crops per second")
    row("NumPy, one thread", (direct.batch(step) for step in range(10**9)))
    counts = [int(workers) for workers in arguments.workers.split(",")]
    for workers in counts:
        row(f"tf.data, {workers:2d} worker(s)", pipeline(images, workers))
    prepared = prepared_set(images, prepared_dir)
    row(f"prepared shards, {counts[-1]:2d} worker(s)", pipeline(prepared, counts[-1]))
    from datasets.service_pipeline import Epochs, service_dataset

    with _service() as address:
        epochs = Epochs.of(prepared, config.crop_size)
        row("data service, 1 worker", service_dataset(epochs, config, address, "input_rate"))


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
    parser.add_argument("--prepared_dir", help="folder of prepared shards to use or make")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        return guarded(lambda: _measure(arguments, arguments.prepared_dir or temporary))


if __name__ == "__main__":
    raise SystemExit(main())
