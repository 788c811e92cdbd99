"""Distillation (`--teacher`): trained networks estimate the targets from the noisy crops.

Late in a training most of the remaining error is noise that no denoiser can remove, and so is most
of the gradient of a small batch. The estimate of a good denoiser is near what can be recovered, so
that a target with a large share of it leaves far less noise in the gradient.
"""

import errno
import functools
import itertools
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from gradnet_tf.training.engines.objective import realized_sigma
from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.files import atomic_path, require_free_space

# Networks that need σ do not get less, on the 0-255 scale.
_LEAST_SIGMA = 0.1
# Targets are kept as integers up to this.
_UNIT = 65535


class Teacher:
    """Makes the targets of a batch.

    A crop's target is `share` of the mean of the teachers' estimates and for the rest the clean
    crop. It is the clean crop alone where the mean is no closer to it than the reference is, so
    that a teacher for photographs neither spoils text nor blurs clean images.
    """

    def __init__(self, networks: Sequence[Callable], share: float, reference: Callable):
        """Args:
        networks: functions of (noisy, σ of each crop on the 0-255 scale) that denoise a batch.
        share: of the estimate in the target, above 0 and up to 1.
        reference: a function like these, which the teachers must surpass.
        """
        self._networks, self._share, self._reference = networks, share, reference

    def targets(self, noisy: np.ndarray, clean: np.ndarray) -> np.ndarray:
        """Returns the targets, float32 [B, H, W, C] in [0, 1].

        Args:
            noisy: float32 [B, H, W, C], the range [0, 1] with noise that is not clipped.
            clean: float32 [B, H, W, C] in [0, 1].
        """
        sigmas = np.maximum(realized_sigma(noisy, clean), _LEAST_SIGMA).astype(np.float32)
        estimates = [np.clip(each(noisy, sigmas), 0, 1) for each in self._networks]
        estimate = np.mean(estimates, axis=0, dtype=np.float32)
        reference = np.clip(self._reference(noisy, sigmas), 0, 1)
        better = _errors(estimate, clean) < _errors(reference, clean)
        taught = clean + np.float32(self._share) * (estimate - clean)
        # Chosen and not multiplied by zero, which would keep a NaN.
        return np.where(better[:, None, None, None], taught, clean)


def _errors(images: np.ndarray, clean: np.ndarray) -> np.ndarray:
    return np.mean(np.square(images - clean), axis=(1, 2, 3))


def teacher_of(config) -> Teacher:
    """Loads the networks of `--teacher`; they must surpass the weights of `--init_from`.

    Without these weights they must surpass the noisy crops.

    Raises:
        UserError: a network does not exist or cannot teach, for the reason in the message.
    """
    networks = [
        _network(config, "teacher", name.strip(), config.teacher_turns)
        for name in config.teacher.split(",")
    ]
    if config.init_from:
        reference = _network(config, "init_from", config.init_from, 1)
    else:

        def reference(noisy, sigmas):
            return noisy

    return Teacher(networks, config.teacher_share, reference)


def _network(config, flag: str, name: str, turns: int) -> Callable:
    from gradnet_tf.denoiser import load_denoiser, self_ensemble
    from gradnet_tf.runtimes.keras_runtime import KerasRunner

    model = load_denoiser(name, flag=flag, runtime="keras").model
    if model is None or model.channels != config.channels or model.input_channels != model.channels:
        channels = "" if model is None else f" with channels={model.channels}"
        raise UserError(
            f"--{flag}={name} cannot teach this run{channels}.\n"
            f"Expected networks that take images of {config.channels} channels: names of weights, "
            "run folders, .keras files or published weights."
        )
    runner = KerasRunner(model)

    def run(noisy, sigmas):
        level = sigmas if model.needs_sigma else None
        return self_ensemble(lambda turned: runner.run(turned, level), noisy, turns)

    return run


def taught_batches(
    config,
    open_batches: Callable[[int], Iterable],
    start_step: int,
    workdir: Path,
    reserve: int = 0,
) -> Iterator:
    """Yields (noisy, target) of step `start_step` and all later ones.

    With `teacher_crops` the first crops come again and again, each time in the same noise. Their
    targets are kept in WORKDIR/teacher, a file a batch, as long as the disk has room.

    Args:
        config: a `TrainConfig` with a teacher.
        open_batches: from a step to the batches (noisy, clean) from there on.
        start_step: number of the first batch.
        workdir: the stage's folder.
        reserve: bytes of the disk that kept targets leave free, for checkpoints.

    Raises:
        UserError: see `teacher_of`.
        OSError: the folder cannot be written.
    """
    teacher = functools.cache(lambda: teacher_of(config))  # not needed where all targets are kept

    def targets(noisy, clean):
        return teacher().targets(np.asarray(noisy), np.asarray(clean))

    if config.teacher_crops is None:
        for noisy, clean in open_batches(start_step):
            yield noisy, targets(noisy, clean)
        return
    length, folder = config.teacher_crops // config.batch_size, Path(workdir, "teacher")
    first = start_step % length
    while True:
        batches = itertools.islice(open_batches(first), length - first)
        for number, (noisy, clean) in enumerate(batches, first):
            # The checksum tells the crops from those of other photographs: a folder of one's own
            # may have changed since.
            crops = zlib.crc32(np.ascontiguousarray(noisy))
            path = folder / f"{number:06d}-{crops:08x}.npy"
            kept = _kept(path, np.shape(clean))
            if kept is None:
                kept = np.round(targets(noisy, clean) * _UNIT).astype(np.uint16)
                _keep(path, kept, reserve)
            yield noisy, kept.astype(np.float32) / _UNIT
        first = 0


def _kept(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """Returns the targets in a file; `None` if there are none, or if they are damaged."""
    try:
        found = np.load(path)
    except (OSError, EOFError, ValueError):
        return None
    return found if found.shape == shape and found.dtype == np.uint16 else None


def _keep(path: Path, targets: np.ndarray, reserve: int) -> None:
    """Writes the targets to a file, unless the disk is full: they can be computed again."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        require_free_space(path.parent, targets.nbytes + reserve, "a batch of --teacher_crops")
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            np.save(file, targets)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
