"""The stream of training batches for the Keras backend in use."""

from datasets.batches import PipelineConfig, TrainingBatches
from datasets.image_set import ImageSet
from gradnet_tf.errors import UserError


def training_stream(image_set: ImageSet, config: PipelineConfig):
    """Returns what the backend's engine takes as `batches(dataset)`.

    On TensorFlow that is a `tf.data.Dataset`; on JAX the images go to the
    device and the batches are made there. Both make the same choices.

    Args:
        image_set: clean images; all are decoded once before this returns.
        config: what the batches are; on JAX `workers` has no meaning.

    Raises:
        UserError: as `TrainingBatches` and `DeviceBatches` do.
    """
    import keras

    if keras.backend.backend() == "jax":
        return device_batches(image_set, config)
    from datasets.pipeline import training_dataset

    return training_dataset(image_set, config)


def device_batches(image_set: ImageSet, config: PipelineConfig):
    """Decodes the images for `gradnet_tf.training.device_batches.DeviceBatches`."""
    from gradnet_tf.training.device_batches import DeviceBatches

    batches = TrainingBatches(image_set, config)
    if batches.has_real_noise:
        raise UserError(
            f"dataset {image_set.name} has real noise, and training on JAX adds its own.\n"
            "Train on TensorFlow: KERAS_BACKEND=tensorflow."
        )
    images = [batches.image(index) for index in range(len(batches.sampler.image_sizes))]
    return DeviceBatches(images, batches.sampler, config.batch_size, config.start_step)
