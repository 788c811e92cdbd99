"""Makes the folder of a run, as train.py leaves it, without training."""

import json
from pathlib import Path

import keras

from gradnet_tf.presets import build_model
from gradnet_tf.training.checkpoints import CheckpointStore


def tiny_model(preset="gradnet_tiny", channels=3, gain=10.0):
    """A network with reproducible random weights that visibly changes its input.

    Fresh networks are close to the identity; `gain` multiplies the last convolution.
    """
    keras.utils.set_random_seed(11)
    model = build_model(preset, channels=channels)
    model.reconstruction.kernel.assign(model.reconstruction.kernel * gain)
    return model


def make_run(folder, preset="gradnet_tiny", channels=3, gain=10.0):
    """Writes a run of `preset` to `folder` and returns (folder, model)."""
    folder = Path(folder)
    model = tiny_model(preset, channels, gain)
    CheckpointStore(folder).save_best(model, 7, 20.0)
    (folder / "config.json").write_text(json.dumps({"preset": preset, "channels": channels}))
    return folder, model
