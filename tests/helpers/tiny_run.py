"""Makes the folder of a run, as train.py leaves it, without training."""

import json
from pathlib import Path

import keras

from gradnet_tf.models.presets import build_model
from gradnet_tf.training.checkpoints import CheckpointStore


def tiny_model(preset="gradnet_tiny", channels=3, gain=10.0):
    """A network with reproducible random weights that visibly changes its input.

    Fresh networks are close to the identity; `gain` multiplies the last convolution.
    """
    keras.utils.set_random_seed(11)
    model = build_model(preset, channels=channels)
    model.reconstruction.kernel.assign(model.reconstruction.kernel * gain)
    return model


def make_run(folder, preset="gradnet_tiny", channels=3, gain=10.0, sigma=None):
    """Writes a run of `preset` to `folder` and returns (folder, model).

    `sigma` is the range of noise levels that its config.json names.
    """
    folder = Path(folder)
    model = tiny_model(preset, channels, gain)
    CheckpointStore(folder).save_best(model, 7, 20.0)
    config = {"preset": preset, "channels": channels}
    if sigma:
        config["train"] = {"sigma_min": sigma[0], "sigma_max": sigma[1]}
    (folder / "config.json").write_text(json.dumps(config))
    return folder, model
