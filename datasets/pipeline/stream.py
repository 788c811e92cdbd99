"""The input of a run: selects the images by its flags and makes batches for its backend."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from datasets.pipeline.batches import TrainingBatches, validation_pairs
from datasets.pipeline.leak_guard import LeakGuard, make_guard
from datasets.pipeline.mixture import (
    MixedSet,
    at_scales,
    find_training_mixture,
    known_sizes,
    parts_of,
    real_sets,
)
from datasets.pipeline.pipeline_config import PipelineConfig
from datasets.pipeline.service_client import check_flags, check_service, new_job_name
from datasets.sets.image_set import ImageSet
from gradnet_tf.degradations.compose import parse_degradation
from gradnet_tf.utils.errors import UserError

# Fields that `PipelineConfig` takes from `TrainConfig`.
_PIPELINE_FIELDS = (
    "channels batch_size crop_size seed workers estimator crop_candidates color_jitter frame_share"
).split()


class TrainingInput:
    """The images and batches of a run.

    Attributes:
        images: the training images.
        validation: the images to choose checkpoints on.
        degradation: makes the noise; `None` for Gaussian noise of the config's σ.
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
        """Finds the images and reads those of test sets; imports no framework.

        Args:
            config: a `TrainConfig`; the other arguments are described in `InputConfig`.

        Raises:
            UserError: if images are not found, or flags contradict each other.
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
                f"dataset {config.dataset} has real noise, so --degradation does not apply.\n"
                "Remove it, or add a set of clean images: --dataset=bsds500,renoir."
            )
        self.guard = make_guard(data_dir, eval_sets, config.allow_test_images)

    @property
    def only_real_noise(self) -> bool:
        """Whether all training images have real noise, to which none is added."""
        return len(real_sets(self.images)) == len(parts_of(self.images))

    def info(self) -> dict:
        """Returns what config.json records: numbers of images, by set if there are several.

        `guarded` is the number of known test images by set, besides BSD68's.
        """
        counts = {}
        for name, images in (("train", self.images), ("validation", self.validation)):
            parts = {part.name: len(part) for part in parts_of(images)}
            counts[f"{name}_images"] = len(images)
            if len(parts) > 1:
                counts[f"{name}_images_by_set"] = parts
        return counts | {"guarded": self.guard.counts}

    def usable_count(self) -> int:
        """Returns how many images, at each of `--scales`, are large enough for a crop."""
        images = at_scales(self.images, self.config.scales)
        sizes = (
            size or images.load(index).shape[:2] for index, size in enumerate(known_sizes(images))
        )
        return sum(min(size) >= self.config.crop_size for size in sizes)

    def validation_pairs(self) -> list:
        """Returns the fixed (noisy, clean) pairs to choose checkpoints on.

        Raises:
            UserError: there are none.
        """
        config = self.config
        if not len(self.validation):
            raise UserError(
                f"dataset {config.dataset}: there are no validation images, by which the best "
                "weights are chosen.\nFor their names: python -m datasets info "
                f"{self.validation.info.name if self.validation.info else config.dataset}"
            )
        # A degradation and real noise need no level.
        levels = config.sigma_min or 0.0, config.sigma_max or 0.0
        sigma = 0.0 if self.degradation else sum(levels) / 2
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
                    "--data_service supports only crops of one set with Gaussian noise, and no "
                    f"estimates. Received: {flag}.\nRemove one of the two."
                )

    def _prepared(self) -> ImageSet:
        """Returns the images, read from the shards of each set."""
        from datasets.shards.shard_writer import prepared_set

        def prepare(part):
            return prepared_set(part, self.prepared_dir)

        images = self.images
        return images.with_parts(prepare) if isinstance(images, MixedSet) else prepare(images)

    def batch_maker(self, cluster) -> Callable:
        """Returns a function from the first step to the argument of the engine's `batches`.

        The backend's devices must be started. `cluster` is the run's
        `gradnet_tf.training.workers.cluster`.

        Raises:
            UserError: if the shards cannot be written or read, or the service cannot be used.
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
        # A run opens several streams: one for each stage, and one for each pass over the crops of
        # a teacher. The images are decoded and kept once for all of them.
        decoded: list[TrainingBatches] = []

        def make_batches(start_step: int):
            fields = {name: getattr(config, name) for name in _PIPELINE_FIELDS}
            fields |= {"start_step": start_step, "part": cluster.index, "parts": cluster.size}
            # There is no level if a degradation makes the noise.
            fields |= {name: getattr(config, name) or 0.0 for name in ("sigma_min", "sigma_max")}
            fields["degradation"] = self.degradation
            pipeline = PipelineConfig(**fields)
            if not service:
                if not decoded:
                    decoded.append(TrainingBatches(images, pipeline, self.guard))
                return stream_of(decoded[0], start_step, bool(config.teacher))
            from datasets.pipeline.service_pipeline import Epochs, service_dataset

            epochs = Epochs.of(images, pipeline.crop_size, self.guard)
            return service_dataset(epochs, pipeline, service, new_job_name(config))

        return make_batches


def require_tensorflow() -> None:
    """Raises a `UserError` for backends that cannot read from a tf.data service."""
    import keras

    if keras.backend.backend() != "tensorflow":
        raise UserError(
            "--data_service runs on TensorFlow. "
            f"Received: KERAS_BACKEND={keras.backend.backend()}.\n"
            "JAX keeps the images on the device and needs no service."
        )


def training_stream(
    image_set: ImageSet,
    config: PipelineConfig,
    guard: LeakGuard | None = None,
    on_host: bool = False,
):
    """Returns the argument of the backend engine's `batches`; see `stream_of`.

    Args:
        image_set: clean images; all are decoded once before this returns, unless prepared.
        config: see `PipelineConfig`; on JAX only `host_batches` uses `workers`.
        guard: see `usable_images`.
        on_host: make arrays on JAX, too, for a teacher.

    Raises:
        UserError: as `TrainingBatches` and `DeviceBatches` do.
    """
    return stream_of(TrainingBatches(image_set, config, guard), config.start_step, on_host)


def stream_of(batches: TrainingBatches, start_step: int, on_host: bool = False):
    """Returns a stream of batches from a step on, as the backend's engine takes it.

    On TensorFlow this is a `tf.data.Dataset`. On JAX the images are moved to the device, which
    makes the batches, unless they need a classical denoiser, a degradation or real noise. All of
    them make the same choices.

    Args:
        batches: the decoded images; several streams may share them.
        start_step: number of the first batch.
        on_host: make arrays on JAX, too, for a teacher.

    Raises:
        UserError: as `DeviceBatches` does.
    """
    import keras

    config = batches.config
    if keras.backend.backend() == "jax":
        made_here = config.estimator or config.degradation or batches.has_real_noise
        if on_host or made_here or config.color_jitter or config.frame_share:
            return host_batches(batches, start_step)
        return device_batches(batches, start_step)
    from datasets.pipeline.tf_pipeline import dataset_of

    return dataset_of(batches, start_step)


def device_batches(batches: TrainingBatches, start_step: int = 0):
    """Moves the images to `gradnet_tf.training.engines.device_batches.DeviceBatches`."""
    from gradnet_tf.training.engines.device_batches import DeviceBatches

    images = [batches.image(index) for index in range(len(batches.sampler.image_sizes))]
    return DeviceBatches(images, batches.sampler, batches.config.batch_size, start_step)


def host_batches(batches: TrainingBatches, start_step: int = 0) -> Iterator:
    """Returns an endless iterator from `start_step` on; `workers` threads make batches ahead."""

    workers = batches.config.workers

    def make():
        with ThreadPoolExecutor(workers, "batches") as threads:
            ahead, step = deque(), start_step
            while True:
                while len(ahead) < workers + 1:
                    ahead.append(threads.submit(batches.batch, step))
                    step += 1
                yield ahead.popleft().result()

    return make()
