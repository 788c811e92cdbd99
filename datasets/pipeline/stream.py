"""The input of a run: images chosen by its flags, batches made for its backend."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from datasets.pipeline.batches import TrainingBatches, validation_pairs
from datasets.pipeline.leak_guard import LeakGuard, make_guard
from datasets.pipeline.mixture import (
    MixedSet,
    at_scales,
    find_training_mixture,
    parts_of,
    real_sets,
)
from datasets.pipeline.pipeline_config import PipelineConfig
from datasets.pipeline.service_client import check_flags, check_service, new_job_name
from datasets.sets.image_set import ImageSet
from gradnet_tf.degradations.compose import parse_degradation
from gradnet_tf.utils.errors import UserError

# What a run's batches take from its `TrainConfig`.
_PIPELINE_FIELDS = (
    "channels batch_size crop_size seed workers estimator crop_candidates color_jitter frame_share"
).split()


class TrainingInput:
    """The images of a run and what makes its batches.

    Attributes:
        images: those to train on.
        validation: those to choose checkpoints on.
        degradation: what makes the noise; `None` for Gaussian noise of the config's σ.
        guard: knows the images that must not be trained on.
    """

    def __init__(
        self,
        config,
        data_dir: str | None = None,
        prepared_dir: str | None = None,
        data_service: str | None = None,
        eval_sets: Sequence[str] = (),
    ):
        """Finds the images, and reads those of test sets; no framework is imported.

        Args:
            config: a `TrainConfig`.
            data_dir: as in `find_dataset`.
            prepared_dir: the images are read from shards there, which are made
                first where there are none; changes no value.
            data_service: address of a tf.data service that makes the examples;
                needs `prepared_dir`.
            eval_sets: sets whose images must not be trained on, see `make_guard`.

        Raises:
            UserError: when images are not found, or flags do not fit together.
        """
        check_flags(data_service, prepared_dir)
        self.config, self.prepared_dir, self.data_service = config, prepared_dir, data_service
        self.images, self.validation = find_training_mixture(
            config.dataset, data_dir, config.channels
        )
        self.degradation = parse_degradation(config.degradation) if config.degradation else None
        real = real_sets(self.images)
        if self.degradation and len(real) == len(parts_of(self.images)):
            raise UserError(
                f"dataset {config.dataset} has real noise, to which --degradation adds none.\n"
                "Leave it out, or mix in a set of clean images: --dataset=bsds500,renoir."
            )
        self.guard = make_guard(data_dir, eval_sets, config.allow_test_images)

    def facts(self) -> dict:
        """Returns what config.json records of the images: numbers, by set where several are mixed.

        `guarded` says of how many test images the content was compared, besides BSD68's.
        """
        counts = {}
        for name, images in (("train", self.images), ("validation", self.validation)):
            parts = {part.name: len(part) for part in parts_of(images)}
            counts[f"{name}_images"] = len(images)
            if len(parts) > 1:
                counts[f"{name}_images_by_set"] = parts
        return counts | {"guarded": self.guard.counts}

    def validation_pairs(self) -> list:
        """Returns the fixed (noisy, clean) pairs that checkpoints are chosen on."""
        config = self.config
        sigma = 0.0 if self.degradation else (config.sigma_min + config.sigma_max) / 2
        more = {"degradation": self.degradation, "guard": self.guard}
        return validation_pairs(self.validation, sigma, config.seed, **more)

    def _check_service(self) -> None:
        config, images = self.config, self.images
        for given, flag in (
            (config.estimator, f"--naive={config.estimator}"),
            (self.degradation, f"--degradation={config.degradation}"),
            (isinstance(images, MixedSet), f"--dataset={config.dataset}"),
            (real_sets(images), f"--dataset={config.dataset}, whose noise is real"),
            (config.scales != (1.0,), f"--scales={','.join(map('{:g}'.format, config.scales))}"),
            (config.crop_candidates > 1, f"--crop_candidates={config.crop_candidates}"),
            (config.color_jitter, f"--color_jitter={config.color_jitter:g}"),
            (config.frame_share, f"--frame_share={config.frame_share:g}"),
        ):
            if given:
                raise UserError(
                    "--data_service makes crops of one set with Gaussian noise of --sigma, and no "
                    f"estimates. Received: {flag}.\nLeave one of the two out."
                )

    def _prepared(self) -> ImageSet:
        """Returns the images, read from the shards of each set."""
        from datasets.shards.shard_writer import prepared_set

        def prepare(part):
            return prepared_set(part, self.prepared_dir)

        images = self.images
        return images.with_parts(prepare) if isinstance(images, MixedSet) else prepare(images)

    def batch_maker(self, cluster) -> Callable:
        """Returns the function from a first step to what the engine's `batches` takes.

        The backend's devices must be started.

        Args:
            cluster: the run's processes, see `gradnet_tf.training.workers.cluster`.

        Raises:
            UserError: when the shards cannot be made or read, or the service
                cannot be used.
        """
        config, service, images = self.config, self.data_service, self.images
        if service:
            require_tensorflow()
            self._check_service()
        if self.prepared_dir:
            images = self._prepared()
        images = at_scales(images, config.scales)
        if service:
            check_service(service, images, config.worker_timeout)

        def make_batches(start_step: int):
            fields = {name: getattr(config, name) for name in _PIPELINE_FIELDS}
            fields |= {"start_step": start_step, "part": cluster.index, "parts": cluster.size}
            # No level where a degradation makes the noise.
            fields |= {name: getattr(config, name) or 0.0 for name in ("sigma_min", "sigma_max")}
            fields["degradation"] = self.degradation
            pipeline = PipelineConfig(**fields)
            if not service:
                return training_stream(images, pipeline, self.guard)
            from datasets.pipeline.service_pipeline import Epochs, service_dataset

            epochs = Epochs.of(images, pipeline.crop_size, self.guard)
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


def training_stream(image_set: ImageSet, config: PipelineConfig, guard: LeakGuard | None = None):
    """Returns what the backend's engine takes as `batches(dataset)`.

    On TensorFlow that is a `tf.data.Dataset`; on JAX the images go to the
    device and the batches are made there, unless a classical denoiser, a
    degradation or real noise has a part in them. All make the same choices.

    Args:
        image_set: clean images; all are decoded once before this returns, unless prepared.
        config: what the batches are; on JAX `workers` has a meaning for
            `host_batches` only.
        guard: knows the test images, as in `TrainingBatches`.

    Raises:
        UserError: as `TrainingBatches` and `DeviceBatches` do.
    """
    import keras

    if keras.backend.backend() == "jax":
        made_here = config.estimator or config.degradation or real_sets(image_set)
        if made_here or config.color_jitter or config.frame_share:
            return host_batches(image_set, config, guard)
        return device_batches(image_set, config, guard)
    from datasets.pipeline.tf_pipeline import training_dataset

    return training_dataset(image_set, config, guard)


def device_batches(image_set: ImageSet, config: PipelineConfig, guard: LeakGuard | None = None):
    """Decodes the images for `gradnet_tf.training.engines.device_batches.DeviceBatches`."""
    from gradnet_tf.training.engines.device_batches import DeviceBatches

    batches = TrainingBatches(image_set, config, guard)
    images = [batches.image(index) for index in range(len(batches.sampler.image_sizes))]
    return DeviceBatches(images, batches.sampler, config.batch_size, config.start_step)


def host_batches(
    image_set: ImageSet, config: PipelineConfig, guard: LeakGuard | None = None
) -> Iterator:
    """Makes (noisy, clean) ahead in `workers` threads; for what a device cannot make.

    Returns:
        An endless iterator from `start_step` on.
    """
    batches = TrainingBatches(image_set, config, guard)

    def make():
        with ThreadPoolExecutor(config.workers, "batches") as threads:
            ahead, step = deque(), config.start_step
            while True:
                while len(ahead) < config.workers + 1:
                    ahead.append(threads.submit(batches.batch, step))
                    step += 1
                yield ahead.popleft().result()

    return make()
