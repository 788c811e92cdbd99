"""The tf.data pipeline, which makes `datasets.pipeline.batches` in TensorFlow's threads.

TensorFlow is imported when a pipeline is built, not with this module.
"""

import atexit
import contextlib
import threading
import time
import weakref
from collections.abc import Iterator

from datasets.pipeline.batches import TrainingBatches
from datasets.pipeline.leak_guard import LeakGuard
from datasets.pipeline.pipeline_config import PipelineConfig
from datasets.sets.image_set import ImageSet

_ENDLESS = 2**62
_BATCHES_AHEAD = 2

# At exit: longest wait for a running batch, and wait for calls that are about to begin.
_STOP_SECONDS = 10.0
_SETTLE_SECONDS = 0.05


class _Calls:
    """Makes batches in TensorFlow's threads until Python shuts down.

    A thread that re-enters Python during shutdown never returns, and TensorFlow would wait forever
    for its batch while it destroys the iterator. An exit hook, which runs before the shutdown,
    therefore waits for running calls and rejects new ones.
    """

    def __init__(self, batches: TrainingBatches):
        self._batches = batches
        self._changed = threading.Condition()
        self._running = 0
        self._stopped = False
        #: The exception of a call, which TensorFlow passes on as a text.
        self.error: Exception | None = None
        _all_calls[id(batches)] = self

    def __call__(self, step):
        with self._changed:
            if self._stopped:
                raise StopIteration  # TensorFlow's "out of range": the stream ends.
            self._running += 1
        try:
            return self._batches.batch(int(step))
        except Exception as error:
            self.error = self.error or error
            raise
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    def stop(self) -> None:
        """Rejects new calls and waits for running ones."""
        with self._changed:
            self._stopped = True
            self._changed.wait_for(lambda: self._running == 0, timeout=_STOP_SECONDS)


# By the `id` of the batches, which live as long as their entry.
_all_calls: "weakref.WeakValueDictionary[int, _Calls]" = weakref.WeakValueDictionary()


@atexit.register
def _stop_all_calls() -> None:
    calls = list(_all_calls.values())
    for each in calls:
        each.stop()
    if calls:
        # A thread may be between TensorFlow and `__call__`, where it is not counted yet.
        time.sleep(_SETTLE_SECONDS)


@contextlib.contextmanager
def input_errors() -> Iterator[None]:
    """Raises what went wrong in making a batch, where TensorFlow reports that an operation failed.

    Raises:
        UserError: an image cannot be read, or a shard is damaged; and whatever else was raised.
    """
    try:
        yield
    except Exception as error:
        causes = [calls.error for calls in _all_calls.values() if calls.error is not None]
        if causes and not isinstance(error, type(causes[0])):
            raise causes[0] from error
        raise


def training_dataset(image_set: ImageSet, config: PipelineConfig, guard: LeakGuard | None = None):
    """Builds the stream of training batches; all images are decoded once before this returns.

    Raises:
        UserError: as `TrainingBatches` does.
    """
    return dataset_of(TrainingBatches(image_set, config, guard), config.start_step)


def dataset_of(batches: TrainingBatches, start_step: int):
    """Builds a stream of training batches of decoded images.

    Element i is batch `start_step + i` for any number of workers. All values come from NumPy, so
    they do not depend on TensorFlow's kernels or devices. On one machine, pass the dataset to
    `experimental_distribute_dataset`, which splits each global batch among the replicas in order.
    With several processes, each makes its own `config.part` of every batch.

    Returns:
        A `tf.data.Dataset` of (noisy, clean), float32 [B / parts, crop, crop, C] with static
        shapes; clean is in [0, 1] and noisy is not clipped.
    """
    import tensorflow as tf

    # One function for all streams: TensorFlow forgets none, nor the images that it holds.
    config, calls = batches.config, _all_calls.get(id(batches)) or _Calls(batches)

    def make(step):
        noisy, clean = tf.numpy_function(calls, [step], (tf.float32, tf.float32))
        noisy.set_shape(batches.noisy_shape)
        clean.set_shape(batches.shape)
        return noisy, clean

    stop = _ENDLESS if config.steps is None else config.steps
    dataset = tf.data.Dataset.range(start_step, stop)
    dataset = dataset.map(make, num_parallel_calls=config.workers, deterministic=True)
    options = tf.data.Options()
    options.deterministic = True
    # Every worker process makes the same batches and keeps its part of each.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    options.threading.private_threadpool_size = config.workers
    return dataset.prefetch(_BATCHES_AHEAD).with_options(options)
