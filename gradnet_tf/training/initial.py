"""The trained weights that a run starts from (`--init_from`)."""

import numpy as np

from gradnet_tf.models.presets import build_model
from gradnet_tf.utils.errors import UserError


def initial_weights(config, given=None) -> list[np.ndarray] | None:
    """Returns the weights that `--init_from` means, in Keras' order; `None` without the flag.

    Args:
        config: a `TrainConfig`.
        given: the naive denoiser of the run where it is not the preset's own
            (`training.naive.GivenNaive`).

    Raises:
        UserError: nothing has that name, or it is a different network.
    """
    if not config.init_from:
        return None
    from gradnet_tf.denoiser import load_denoiser

    denoiser = load_denoiser(config.init_from, flag="init_from", runtime="keras")
    said = f"--init_from={config.init_from}"
    if denoiser.model is None:
        raise UserError(
            f"{said}: holds no network that could be trained further.\n"
            "Expected weights' name, run folder or .keras file."
        )
    naive = given.build("float32") if given else None
    fresh = build_model(config.preset, config.channels, naive=naive, joint=config.joint)
    if _shapes(denoiser.model) != _shapes(fresh):
        preset = denoiser.source["preset"]
        received = f"{preset or 'a network'} of {denoiser.model.count_params():,} parameters"
        raise UserError(
            f"{said} does not fit the network: its weights have other shapes.\n"
            f"Expected {config.preset} for --channels={config.channels}, {fresh.count_params():,} "
            f"parameters. Received: {received}, channels={denoiser.channels}."
        )
    return denoiser.model.get_weights()


def _shapes(model) -> list[tuple[int, ...]]:
    return [tuple(weight.shape) for weight in model.weights]
