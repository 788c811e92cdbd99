"""A given naive denoiser (`--naive`), instead of training one."""

import dataclasses
import time
from pathlib import Path

import numpy as np

from gradnet_tf.degradations.noise_level import untrained_note
from gradnet_tf.loading.run_folder import MOST_CONFIG, best_weights
from gradnet_tf.models import FixedSigma, GivenEstimate
from gradnet_tf.models.base import build_model as build_variables
from gradnet_tf.models.classical import append_estimate, classical_denoiser
from gradnet_tf.models.presets import build_model, get_preset
from gradnet_tf.runtimes.keras_file import describe, rebuild, same_architecture
from gradnet_tf.training.checkpoints import CheckpointStore
from gradnet_tf.utils.console import format_seconds, warn
from gradnet_tf.utils.containers import count_numbers, read_json
from gradnet_tf.utils.errors import UserError

_TIMED_CROPS = 3


@dataclasses.dataclass(frozen=True)
class GivenNaive:
    """A network with its weights.

    Attributes:
        architecture: see `runtimes.keras_file`.
        weights: in Keras' order.
        note: a message for the user, or `None`.
        is_kept: whether it is the run's own copy.
    """

    architecture: dict
    weights: list[np.ndarray]
    note: str | None = None
    is_kept: bool = False

    def build(self, precision: str):
        """Builds the model under a dtype policy; may be called several times."""
        model = rebuild(self.architecture, precision, "the naive denoiser")
        model.set_weights(self.weights)
        return model

    def of_another_kind(self, config) -> dict | None:
        """Returns the architecture if it differs from the preset's, else `None`."""
        own = describe(build_model(get_preset(config.preset).naive, config.channels))
        return None if same_architecture(own, self.architecture) else self.architecture

    def keep(self, workdir: Path) -> None:
        """Copies the weights to RUN/naive, so that the run no longer needs the given file."""
        if not self.is_kept:
            CheckpointStore(workdir / "naive").save_best(self.build("float32"), 0, None)


def given_naive(config) -> GivenNaive | None:
    """Returns the naive denoiser of `--naive`; a resumed run uses its own copy.

    Raises:
        UserError: it cannot be used as ψ for the reason in the message.
    """
    if not config.naive:
        return None
    if config.estimator:
        _require_one_level(config, config.naive)
        if config.joint:
            raise UserError(
                f"--joint: the naive denoiser {config.naive} has no weights that could be trained."
            )
        classical_denoiser(config.naive)  # fails here, not in an input thread
        model = GivenEstimate(config.naive, config.sigma_min, config.channels)
        return GivenNaive(describe(build_variables(model)), [])
    return _kept(config) or _loaded(config)


def _kept_weights(workdir: Path) -> Path | None:
    try:
        return best_weights(workdir / "naive")
    except (OSError, ValueError):
        return None  # damaged: read what was given again


def _kept(config) -> GivenNaive | None:
    """Returns the copy in RUN/naive of a run that is resumed."""
    path = Path(config.workdir) / "config.json"
    if not path.exists():
        return None
    weights = _kept_weights(Path(config.workdir))
    if weights is None:
        return None
    try:
        config_there, count = read_json(path, MOST_CONFIG), count_numbers(weights)
    except (OSError, ValueError) as error:
        raise UserError(f"{path.parent}: not a run that can be resumed ({error}).") from error
    there = config_there if isinstance(config_there, dict) else {}
    train = there.get("train") if isinstance(there.get("train"), dict) else {}
    if any(train.get(name) != getattr(config, name) for name in ("naive", "preset", "channels")):
        return None  # Another run's, which `prepare_workdir` will refuse to replace.
    architecture = there.get("naive_model")
    if architecture is None:
        model = build_model(get_preset(config.preset).naive, config.channels)
    else:
        model = rebuild(architecture, "float32", f"`naive_model` of {path}", count)
    model.load_weights(weights)
    return GivenNaive(describe(model), model.get_weights(), is_kept=True)


def _loaded(config) -> GivenNaive:
    from gradnet_tf.denoiser import load_denoiser

    denoiser = load_denoiser(config.naive, flag="naive", runtime="keras")
    model = denoiser.model
    if model is None:
        raise UserError(
            f"--naive={config.naive}: an exported file cannot be part of another network.\n"
            "Expected its source: the name of weights, a run folder or a .keras file."
        )
    if model.channels != config.channels:
        raise UserError(
            f"--naive={config.naive}: expected a network for --channels={config.channels}. "
            f"Received: channels={model.channels}."
        )
    if model.input_channels != model.channels:
        raise UserError(
            f"--naive={config.naive}: its naive denoiser is not a part of the network.\n"
            "Expected a network that only takes images, or the name of a classical denoiser."
        )
    if model.needs_sigma:
        _require_one_level(config, config.naive)
        model = build_variables(FixedSigma(model, config.sigma_min))
    note, use = None, "it is the naive denoiser at"
    if config.sigma_min is not None:  # else the degradation has no level to compare with
        levels = config.sigma_min, config.sigma_max
        note = untrained_note(denoiser.name, denoiser.source, *levels, use)
    return GivenNaive(describe(model), model.get_weights(), note)


def _require_one_level(config, name: str) -> None:
    if config.sigma_min is None:
        what, flag = "a degradation of several stages", f"--degradation={config.degradation}"
        if config.real_noise:
            what, flag = "real noise", f"--dataset={config.dataset}"
        raise UserError(
            f"--naive={name}: needs the noise level, and {what} has none.\n"
            f"Use another --naive. Received: {flag}"
        )
    if config.sigma_min != config.sigma_max:
        raise UserError(
            f"--naive={name}: needs the noise level, which a blind network does not know.\n"
            f"Use one level with --sigma. Received: sigma_min={config.sigma_min:g}, "
            f"sigma_max={config.sigma_max:g}."
        )


def with_estimates(config, validation: list, quiet: bool = False) -> list:
    """Appends the classical estimates to the noisy validation images and reports their cost.

    Args:
        config: a `TrainConfig` with an `estimator`.
        validation: (noisy, clean) float32 H×W×C images.
        quiet: omit the warning on standard error.
    """
    name, sigma = config.estimator, config.sigma_min
    denoise = classical_denoiser(name, threads=1)
    if not quiet:
        _report_cost(config, denoise)
    return [(append_estimate(noisy[None], sigma, denoise)[0], clean) for noisy, clean in validation]


def _report_cost(config, denoise) -> None:
    shape = (_TIMED_CROPS, config.crop_size, config.crop_size, config.channels)
    crops = np.random.default_rng(0).random(shape, dtype=np.float32)
    started = time.monotonic()
    denoise(crops, config.sigma_min)
    rate = _TIMED_CROPS / max(time.monotonic() - started, 1e-9)
    count = config.steps * config.batch_size
    warn(
        f"{config.estimator} computes the naive estimate of every crop, about "
        f"{rate:.3g} crops of {config.crop_size}×{config.crop_size} per second in each of "
        f"--workers={config.workers}: {format_seconds(count / rate / config.workers)} for all "
        f"{count:,}"
    )
