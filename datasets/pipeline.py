"""The tf.data pipeline: `datasets.batches` made ahead of time in TensorFlow's threads.

TensorFlow is imported when a pipeline is built, not with this module.
"""

from datasets.batches import (
    PipelineConfig,
    TrainingBatches,
    normal_draws,
    validation_pairs,
)
from datasets.image_set import ImageSet

__all__ = ["PipelineConfig", "normal_draws", "training_dataset", "validation_pairs"]

_ENDLESS = 2**62
_BATCHES_AHEAD = 2


def training_dataset(image_set: ImageSet, config: PipelineConfig):
    """Builds the stream of training batches.

    Element i is batch `start_step + i`, whatever the number of workers. All
    values come from NumPy (see `datasets.batches`), so that they do not depend
    on TensorFlow's kernels or devices either. Under a strategy, pass the
    dataset to `experimental_distribute_dataset`: each global batch is cut into
    the replicas' parts in order.

    Args:
        image_set: clean images; all are decoded once before this returns.
        config: what the batches are.

    Returns:
        A `tf.data.Dataset` of (noisy, clean), float32 [B, crop, crop, C] with
        static shapes; clean is in [0, 1] and noisy is not clipped.

    Raises:
        UserError: as `TrainingBatches` does.
    """
    import tensorflow as tf

    batches = TrainingBatches(image_set, config)

    def make(step):
        noisy, clean = tf.numpy_function(batches.batch, [step], (tf.float32, tf.float32))
        noisy.set_shape(batches.shape)
        clean.set_shape(batches.shape)
        return noisy, clean

    stop = _ENDLESS if config.steps is None else config.steps
    dataset = tf.data.Dataset.range(config.start_step, stop)
    dataset = dataset.map(make, num_parallel_calls=config.workers, deterministic=True)
    options = tf.data.Options()
    options.deterministic = True
    # Every worker process makes the same batches and keeps its part of each.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    options.threading.private_threadpool_size = config.workers
    return dataset.prefetch(_BATCHES_AHEAD).with_options(options)
