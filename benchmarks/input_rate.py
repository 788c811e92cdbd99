r"""Measures how many training crops a second the input makes, by itself.

Example:
  python -m benchmarks.input_rate --dataset=sample --batch_size=64 --crop_size=80 --workers=1,2

Each row is the median over the batches of one run after a warm-up; images are
decoded before. The tf.data row of w workers is what a TensorFlow run gets.
"""

import argparse
import dataclasses
import statistics
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


def _measure(arguments) -> None:
    from datasets.batches import PipelineConfig, TrainingBatches
    from datasets.pipeline import training_dataset
    from datasets.resolve import find_training_sets

    images, _ = find_training_sets(arguments.dataset, arguments.data_dir)
    config = PipelineConfig(arguments.batch_size, arguments.crop_size, 25.0, 25.0)
    direct = TrainingBatches(images, config)
    print("input                     crops per second")
    numpy_batches = (direct.batch(step) for step in range(10**9))
    rate = _rate(numpy_batches, arguments.batches, arguments.batch_size)
    print(f"NumPy, one thread         {rate:16.0f}", flush=True)
    for workers in arguments.workers.split(","):
        with quiet_native_logs():
            dataset = training_dataset(images, dataclasses.replace(config, workers=int(workers)))
        rate = _rate(iter(dataset), arguments.batches, arguments.batch_size)
        print(f"tf.data, {int(workers):2d} worker(s)     {rate:16.0f}", flush=True)


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
    arguments = parser.parse_args()
    return guarded(lambda: _measure(arguments))


if __name__ == "__main__":
    raise SystemExit(main())
