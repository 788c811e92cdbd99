r"""Measures how many training crops a second the input makes, by itself.

Example:
  python -m benchmarks.speed.input_rate --dataset=sample --batch_size=64 --crop_size=80 --workers=1

Each row is the median over the batches of one run after a warm-up; images are
decoded before. The tf.data row of w workers is what a TensorFlow run gets. The
last two read shards from --prepared_dir, by default a folder that is removed;
the service's dispatcher and its one worker run on the same machine.

Then follow how many times faster the shards are than --preset trains here, in a
process of its own (--train_steps=0 leaves it out), and how much memory this
process holds while --memory_batches batches pass; what it held after the first
hundred counts as the start.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from gradnet_tf.models.presets import PRECISIONS, get_preset
from gradnet_tf.utils.command import guarded
from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.quiet import quiet_native_logs

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
    """Returns patches per second of the preset's training, its batch lying ready."""
    fields = {name: getattr(arguments, name) for name in ("preset", "precision", "batch_size")}
    cell = {"engine": "tensorflow", "steps": arguments.train_steps, **fields}
    cell["crop_size"] = arguments.crop_size
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.speed.training_cell", json.dumps(cell)],
        cwd=Path(__file__).resolve().parents[2],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise UserError(f"training could not be measured: {done.stderr.strip().splitlines()[-1]}")
    seconds = json.loads(done.stdout.splitlines()[-1])["seconds"]
    return arguments.batch_size / statistics.median(seconds)


def resident_megabytes() -> float:
    """Returns the memory that this process holds now, in MB (10⁶ bytes); Linux only."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def memory_over(batches, count: int) -> list[tuple[int, float]]:
    """Takes `count` batches; returns (batches so far, MB held) at the start and on the way.

    Args:
        batches: an iterator.
        count: more than the hundred after which the first value is taken.
    """
    marks = {_SETTLED + (count - _SETTLED) * row // _ROWS for row in range(_ROWS + 1)}
    held = []
    for number in range(1, count + 1):
        next(batches)
        if number in marks:
            held.append((number, resident_megabytes()))
    return held


@contextlib.contextmanager
def _service():
    """Yields the address of a dispatcher with one worker, each a process."""
    command = [sys.executable, "-m", "datasets", "service"]
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
    if not noise:  # which the service does not make
        from datasets.pipeline.service_pipeline import Epochs, service_dataset

        with _service() as address:
            epochs = Epochs.of(prepared, config.crop_size)
            row("data service, 1 worker", service_dataset(epochs, config, address, "input_rate"))
    if arguments.train_steps:
        trained = training_rate(arguments)
        print(f"{'training ' + arguments.preset:30}{trained:12.1f}")
        print(
            f"prepared shards deliver {delivered / trained:.1f} times what {arguments.preset} takes"
        )
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
    parser.add_argument("--prepared_dir", help="folder of prepared shards to use or make")
    parser.add_argument("--degradation", help="noise as train.py takes it, instead of sigma 25")
    parser.add_argument("--preset", default="gradnet_small", help="network to compare with")
    parser.add_argument("--precision", default="float32", choices=PRECISIONS[:2])
    parser.add_argument("--train_steps", type=int, default=5, help="training steps that are timed")
    parser.add_argument(
        "--memory_batches", type=int, default=0, help="batches to watch the memory over, as 10000"
    )
    arguments = parser.parse_args()
    get_preset(arguments.preset)
    if 0 < arguments.memory_batches <= _SETTLED:
        parser.error(f"--memory_batches: 0, or more than {_SETTLED}")
    with tempfile.TemporaryDirectory() as temporary:
        return guarded(lambda: _measure(arguments, arguments.prepared_dir or temporary))


if __name__ == "__main__":
    raise SystemExit(main())
