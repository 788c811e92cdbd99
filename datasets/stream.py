"""The stream of training batches for the Keras backend in use."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from datasets.batches import PipelineConfig, TrainingBatches
from datasets.image_set import ImageSet


def training_stream(image_set: ImageSet, config: PipelineConfig):
    """Returns what the backend's engine takes as `batches(dataset)`.

    On TensorFlow that is a `tf.data.Dataset`; on JAX the images go to the
    device and the batches are made there, unless a classical denoiser has a
    part in them. All make the same choices.

    Args:
        image_set: clean images; all are decoded once before this returns.
        config: what the batches are; on JAX `workers` has a meaning for
            `host_batches` only.

    Raises:
        UserError: as `TrainingBatches` and `DeviceBatches` do.
    """
    import keras

    if keras.backend.backend() == "jax":
        if config.estimator:
            return host_batches(image_set, config)
        return device_batches(image_set, config)
    from datasets.pipeline import training_dataset

    return training_dataset(image_set, config)


def device_batches(image_set: ImageSet, config: PipelineConfig):
    """Decodes the images for `gradnet_tf.training.device_batches.DeviceBatches`."""
    from gradnet_tf.training.device_batches import DeviceBatches

    batches = TrainingBatches(image_set, config)
    images = [batches.image(index) for index in range(len(batches.sampler.image_sizes))]
    return DeviceBatches(images, batches.sampler, config.batch_size, config.start_step)


def host_batches(image_set: ImageSet, config: PipelineConfig) -> Iterator:
    """Makes (noisy, clean) ahead in `workers` threads; for what a device cannot make.

    Returns:
        An endless iterator from `start_step` on.
    """
    batches = TrainingBatches(image_set, config)

    def make():
        with ThreadPoolExecutor(config.workers, "batches") as threads:
            ahead, step = deque(), config.start_step
            while True:
                while len(ahead) < config.workers + 1:
                    ahead.append(threads.submit(batches.batch, step))
                    step += 1
                yield ahead.popleft().result()

    return make()
