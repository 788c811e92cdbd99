"""Frozen dataclasses that configure the training images and batches of a run."""

import dataclasses

from gradnet_tf.degradations.compose import Degradation
from gradnet_tf.utils.errors import UserError

SIGMA_LIMIT = 255.0


@dataclasses.dataclass(frozen=True)
class InputConfig:
    """Where the images of a run come from; each field is a flag of train.py.

    Attributes:
        data_dir: folder of the data set, or its parent.
        prepared_dir: folder of shards with the decoded images, which are written if missing; does
            not change any example.
        data_service: address of a tf.data service that makes the examples, grpc://host:port;
            needs --prepared_dir.
        eval_sets: sets or folders, as a,b, whose images must not be trained on.
    """

    data_dir: str | None = None
    prepared_dir: str | None = None
    data_service: str | None = None
    eval_sets: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class PipelineConfig:
    """The batches of a run.

    Attributes:
        batch_size: examples in a (global) batch.
        crop_size: side of the square crops in pixels.
        sigma_min: lowest noise level, 0-255 scale.
        sigma_max: highest noise level; σ is uniform between the two.
        seed: the run's seed, 0 or more.
        channels: 3 or 1.
        start_step: the first batch; earlier ones are not computed.
        steps: total number of batches, counted from 0; None is endless.
        part: index of the part of every batch that this process makes.
        parts: number of equal parts that batches are split into, in order.
        workers: number of batches made in parallel; does not change any value.
        estimator: a name of `gradnet_tf.models.classical.CLASSICAL` whose estimate is appended to
            the channels of the noisy image, or `None`.
        memory_limit: bytes of decoded images to cache; the least recently used are evicted.
        degradation: replaces Gaussian noise of the two levels.
        crop_candidates: number of random crops from which the most textured is taken.
        color_jitter: share of the crops whose colors are changed; see `change_colors`.
        frame_share: share of the crops that get a flat frame without noise.
    """

    batch_size: int
    crop_size: int
    sigma_min: float
    sigma_max: float
    seed: int = 0
    channels: int = 3
    start_step: int = 0
    steps: int | None = None
    part: int = 0
    parts: int = 1
    workers: int = 2
    estimator: str | None = None
    memory_limit: int = 2**31
    degradation: Degradation | None = None
    crop_candidates: int = 1
    color_jitter: float = 0.0
    frame_share: float = 0.0

    def __post_init__(self):
        for name, least in (
            ("batch_size", 1),
            ("crop_size", 1),
            ("seed", 0),
            ("start_step", 0),
            ("part", 0),
            ("parts", 1),
            ("workers", 1),
            ("memory_limit", 0),
            ("crop_candidates", 1),
        ):
            value = getattr(self, name)
            if value < least:
                raise UserError(f"`{name}` must be at least {least}. Received: {name}={value}")
        for name in ("color_jitter", "frame_share"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise UserError(f"`{name}` must be in [0, 1]. Received: {name}={value}")
        for name in ("sigma_min", "sigma_max"):
            value = getattr(self, name)
            if not 0 <= value <= SIGMA_LIMIT:  # Also refuses NaN.
                raise UserError(f"`{name}` must be in [0, 255]. Received: {name}={value}")
        if self.sigma_min > self.sigma_max:
            raise UserError(
                "`sigma_min` must not be above `sigma_max`. "
                f"Received: sigma_min={self.sigma_min}, sigma_max={self.sigma_max}"
            )
        if self.channels not in (1, 3):
            raise UserError(f"`channels` must be 3 or 1. Received: channels={self.channels}")
        if self.part >= self.parts or self.batch_size % self.parts:
            raise UserError(
                "`batch_size` must be a multiple of `parts`, and `part` less than `parts`. "
                f"Received: batch_size={self.batch_size}, part={self.part}, parts={self.parts}"
            )
        if self.steps is not None and self.steps < self.start_step:
            raise UserError(
                "`steps` must not be below `start_step`. "
                f"Received: steps={self.steps}, start_step={self.start_step}"
            )
