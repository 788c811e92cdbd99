"""What a run trains on: the images by its flags, the stream of batches by its backend."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from datasets.batches import PipelineConfig, TrainingBatches, validation_pairs
from datasets.image_set import ImageSet
from datasets.resolve import find_training_sets
from datasets.service_client import check_flags, check_service, new_job_name
from gradnet_tf.errors import UserError

# What a run's batches take from its `TrainConfig`.
_PIPELINE_FIELDS = (
    "channels batch_size crop_size sigma_min sigma_max seed workers estimator".split()
)


class TrainingInput:
    """The images of a run and what makes its batches.

    Attributes:
        images: those to train on.
        validation: those to choose checkpoints on.
    """

    def __init__(
        self,
        config,
        data_dir: str | None = None,
        prepared_dir: str | None = None,
        data_service: str | None = None,
    ):
        """Finds the images; nothing is decoded yet and no framework is imported.

        Args:
            config: a `TrainConfig`.
            data_dir: as in `find_dataset`.
            prepared_dir: the images are read from shards there, which are made
                first where there are none; changes no value.
            data_service: address of a tf.data service that makes the examples;
                needs `prepared_dir`.

        Raises:
            UserError: when the images are not found, or the last two do not fit together.
        """
        check_flags(data_service, prepared_dir)
        self.config, self.prepared_dir, self.data_service = config, prepared_dir, data_service
        self.images, self.validation = find_training_sets(config.dataset, data_dir, config.channels)

    def validation_pairs(self) -> list:
        """Returns the fixed (noisy, clean) pairs that checkpoints are chosen on."""
        sigma = (self.config.sigma_min + self.config.sigma_max) / 2
        return validation_pairs(self.validation, sigma, self.config.seed)

    def batch_maker(self, cluster) -> Callable:
        """Returns the function from a first step to what the engine's `batches` takes.

        The backend's devices must be started.

        Args:
            cluster: the run's processes, see `gradnet_tf.training.cluster`.

        Raises:
            UserError: when the shards cannot be made or read, or the service
                cannot be used.
        """
        config, service, images = self.config, self.data_service, self.images
        if service:
            require_tensorflow()
            if config.estimator:
                raise UserError(
                    f"--data_service makes no estimates of {config.estimator}. "
                    f"Received: --naive={config.estimator}.\nLeave one of the two out."
                )
        if self.prepared_dir:
            if service and images.noisy(0) is not None:
                raise UserError(
                    f"--data_service adds Gaussian noise, and {images.name} has noisy partners.\n"
                    "Leave --data_service out; --prepared_dir holds the partners too."
                )
            from datasets.shard_writer import prepared_set

            images = prepared_set(images, self.prepared_dir)
        if service:
            check_service(service, images, config.worker_timeout)

        def make_batches(start_step: int):
            fields = {name: getattr(config, name) for name in _PIPELINE_FIELDS}
            fields |= {"start_step": start_step, "part": cluster.index, "parts": cluster.size}
            pipeline = PipelineConfig(**fields)
            if not service:
                return training_stream(images, pipeline)
            from datasets.service_pipeline import Epochs, service_dataset

            epochs = Epochs.of(images, pipeline.crop_size)
            return service_dataset(epochs, pipeline, service, new_job_name(config))

        return make_batches


def require_tensorflow() -> None:
    """Raises a `UserError` where a tf.data service cannot be read."""
    import keras

    if keras.backend.backend() != "tensorflow":
        raise UserError(
            "--data_service runs on TensorFlow. "
            f"Received: KERAS_BACKEND={keras.backend.backend()}.\n"
            "JAX keeps the images on the device and needs no service."
        )


def training_stream(image_set: ImageSet, config: PipelineConfig):
    """Returns what the backend's engine takes as `batches(dataset)`.

    On TensorFlow that is a `tf.data.Dataset`; on JAX the images go to the
    device and the batches are made there, unless a classical denoiser has a
    part in them. All make the same choices.

    Args:
        image_set: clean images; all are decoded once before this returns, unless prepared.
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
    if batches.has_real_noise:
        raise UserError(
            f"dataset {image_set.name} has real noise, and training on JAX adds its own.\n"
            "Train on TensorFlow: KERAS_BACKEND=tensorflow."
        )
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
