"""Training examples in TensorFlow operations, which other machines can execute.

`datasets.pipeline.tf_pipeline` calls Python and cannot leave its process. This pipeline can: it
reads the shards of `datasets.shards.shard_files`, and a tf.data service assigns each pair (epoch,
shard) to one of its workers. Crop, orientation, σ and noise of an image are determined by (seed,
epoch, image number), so the examples of an epoch are the same for any number of workers; only
their order differs. They are not those of `datasets.pipeline.batches`, which NumPy draws.
"""

import dataclasses
import math

import tensorflow as tf

from datasets.pipeline.leak_guard import LeakGuard, usable_images
from datasets.pipeline.pipeline_config import PipelineConfig
from datasets.shards.shard_files import HEADER, PreparedSet
from gradnet_tf.degradations import add_gaussian_noise

_ENDLESS = 2**62
# Shuffling: images of this many shards are interleaved, and this many crops are buffered.
_SHARDS_MIXED = 4
_CROPS_MIXED = 256
# Random streams that must not overlap for one seed.
_ORDER, _CROP, _SIGMA, _NOISE = range(4)


@dataclasses.dataclass(frozen=True)
class Epochs:
    """The source of the examples.

    Attributes:
        files: the shards, with paths that are valid on the workers.
        images: number of images in an epoch, those at least as large as the crop.
    """

    files: tuple[str, ...]
    images: int

    @classmethod
    def of(cls, prepared: PreparedSet, crop_size: int, guard: LeakGuard | None = None) -> "Epochs":
        """Counts the images; raises as `usable_images` does."""
        images = sum(1 for _ in usable_images(prepared, crop_size, guard))
        return cls(tuple(str(path) for path in prepared.files), images)

    def first(self, config: PipelineConfig) -> int:
        """Returns the epoch of the first example of batch `start_step`."""
        return config.start_step * config.batch_size // self.images


def _key(seed: int, stream: int, epoch, number=0):
    """Returns the key of a random stream: int64 [2]."""
    key = tf.constant([seed, stream], tf.int64)
    # Explicit, because the default algorithm depends on the device.
    key = tf.random.fold_in(key, tf.cast(epoch, tf.int64), alg="philox")
    return tf.random.fold_in(key, tf.cast(number, tf.int64), alg="philox")


def _whole_number(key, least, end):
    return tf.random.stateless_uniform([], key, least, end, tf.int32, alg="philox")


def _normal_draws(shape, key):
    """Draws N(0, 1) by Box-Muller, as `pipeline.batches.normal_draws`: faster than TensorFlow's."""
    count = math.prod(shape)
    uniform = tf.random.stateless_uniform((2, (count + 1) // 2), key, alg="philox")
    # 1 − u lies in (0, 1], where the logarithm is finite.
    radius = tf.sqrt(-2.0 * tf.math.log(1.0 - uniform[0]))
    angle = 2 * math.pi * uniform[1]
    draws = tf.concat([radius * tf.cos(angle), radius * tf.sin(angle)], axis=0)
    return tf.reshape(draws[:count], shape)


def _shard_of(seed: int, epoch, position, shards: int):
    """Returns the shard at `position` of an epoch; every epoch has its own order."""
    return tf.random.experimental.index_shuffle(
        position, _key(seed, _ORDER, epoch), tf.constant(shards - 1, tf.int64)
    )


def _orient(crop, orientation):
    """Same as `gradnet_tf.degradations.sampling.orient`, for a uint8 tensor [S, S, C]."""
    flips = ((1, lambda x: x[:, ::-1]), (2, lambda x: x[::-1]))
    turns = ((4, lambda x: tf.transpose(x, (1, 0, 2))),)
    for bit, change in flips + turns:
        chosen = tf.not_equal(tf.bitwise.bitwise_and(orientation, bit), 0)
        crop = tf.cond(chosen, lambda c=crop, f=change: f(c), lambda c=crop: c)
    return crop


def _to_float(pixels):
    return tf.cast(pixels, tf.float32) / 255.0


def example_dataset(epochs: Epochs, config: PipelineConfig, first: int, count: int | None = None):
    """Builds the stream of single examples, `count` epochs from `first` on (`None`: endless).

    Returns:
        A `tf.data.Dataset` of (noisy float32, clean uint8), both [crop, crop, C], epoch (int64)
        and image number in the whole set (int32). Consecutive epochs overlap slightly.
    """
    files, size, shards = epochs.files, config.crop_size, len(epochs.files)

    def records(unit):
        epoch = unit // shards
        shard = _shard_of(config.seed, epoch, unit % shards, shards)
        file = tf.gather(tf.constant(files), shard)
        return tf.data.TFRecordDataset(file, buffer_size=2**20).map(lambda r: (epoch, r))

    def parse(epoch, record):
        content = tf.io.decode_raw(record, tf.uint8)
        header = tf.bitcast(tf.reshape(content[: HEADER.size], (4, 4)), tf.int32)
        return epoch, header, content

    def fits(epoch, header, content):
        return tf.reduce_min(header[1:3]) >= size

    def crop(epoch, header, content):
        number, height, width = header[0], header[1], header[2]
        keys = tf.random.split(_key(config.seed, _CROP, epoch, number), 3, alg="philox")
        top = _whole_number(keys[0], 0, height - size + 1)
        left = _whole_number(keys[1], 0, width - size + 1)
        row = width * config.channels
        # Only the crop's rows: copying the whole image would dominate the cost.
        start = HEADER.size + top * row
        rows = tf.reshape(content[start : start + size * row], (size, width, config.channels))
        cut = _orient(rows[:, left : left + size], _whole_number(keys[2], 0, 8))
        return tf.ensure_shape(cut, (size, size, config.channels)), epoch, number

    def degrade(clean, epoch, number):
        draw = tf.random.stateless_uniform(
            [], _key(config.seed, _SIGMA, epoch, number), alg="philox"
        )
        sigma = config.sigma_min + (config.sigma_max - config.sigma_min) * draw
        noise = _normal_draws(clean.shape, _key(config.seed, _NOISE, epoch, number))
        return add_gaussian_noise(_to_float(clean), noise, sigma), clean, epoch, number

    stop = _ENDLESS if count is None else (first + count) * shards
    dataset = tf.data.Dataset.range(first * shards, stop)
    # One thread: parallel reading would open shards of future epochs and buffer their images.
    dataset = dataset.interleave(records, cycle_length=min(_SHARDS_MIXED, shards))
    dataset = dataset.map(parse, num_parallel_calls=tf.data.AUTOTUNE).filter(fits)
    dataset = dataset.map(crop, num_parallel_calls=tf.data.AUTOTUNE)
    # Shuffles crops, not images, to limit memory.
    dataset = dataset.shuffle(min(_CROPS_MIXED, epochs.images), seed=config.seed)
    return dataset.map(degrade, num_parallel_calls=tf.data.AUTOTUNE)


def from_service(dataset, address: str, job_name: str):
    """Lets a tf.data service compute the elements of `dataset`, each of them once.

    Args:
        dataset: must not call Python.
        address: the dispatcher, "grpc://host:port".
        job_name: consumers with the same name share the elements.
    """
    service = tf.data.experimental.service
    options = tf.data.Options()
    options.deterministic = False  # The service decides the order anyway.
    # Registered by name, so that all processes refer to the same data set. Noise does not compress.
    dataset_id = service.register_dataset(
        address, dataset.with_options(options), compression=None, dataset_id=job_name
    )
    return service.from_dataset_id(
        service.ShardingPolicy.DYNAMIC, address, dataset_id, dataset.element_spec, job_name
    )


def service_dataset(epochs: Epochs, config: PipelineConfig, address: str, job_name: str):
    """Builds the stream of training batches computed by a tf.data service.

    It begins at the first example of the epoch that contains batch `config.start_step`.

    Args:
        epochs: the shards.
        config: see `PipelineConfig`; each of its `parts` gets an equal share of the examples.
        address: the dispatcher, "grpc://host:port".
        job_name: the same in all processes of a run; new for each start.

    Returns:
        A `tf.data.Dataset` of (noisy, clean), float32 [B / parts, crop, crop, C] with static
        shapes; clean is in [0, 1] and noisy is not clipped.
    """
    dataset = example_dataset(epochs, config, epochs.first(config))
    dataset = dataset.map(lambda noisy, clean, epoch, number: (noisy, clean))
    dataset = dataset.batch(config.batch_size // config.parts, drop_remainder=True).prefetch(2)
    dataset = from_service(dataset, address, job_name)
    # Clean crops are sent as uint8.
    dataset = dataset.map(lambda noisy, clean: (noisy, _to_float(clean)), num_parallel_calls=2)
    if config.steps is not None:
        dataset = dataset.take(config.steps - config.start_step)
    options = tf.data.Options()
    # The service distributes the examples; TensorFlow must not do it again.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return dataset.prefetch(2).with_options(options)
