"""Reads a `.keras` file under the precision asked for."""

from pathlib import Path

import keras

from gradnet_tf.models.base import DenoisingModel
from gradnet_tf.runtimes.architecture import describe, rebuild
from gradnet_tf.utils.errors import UserError


def load_keras_file(path: Path, precision: str):
    """Loads the model of a `.keras` file.

    A file keeps the dtype policy it was saved with. Saved in half precision and
    asked for in float32, the model is rebuilt with every policy set to
    float32; its variables are float32 in any case.

    Raises:
        UserError: not a readable Keras file, not a denoiser, or saved in another
            precision than the one asked for (float32 excepted).
    """
    try:
        model = keras.models.load_model(path, compile=False)
    except (ValueError, TypeError, OSError, KeyError) as error:
        reason = str(error).splitlines()[0][:200]
        raise UserError(f"{path}: Keras does not read this file: {reason}") from error
    if not isinstance(model, DenoisingModel):
        raise UserError(
            f"{path}: expected a denoiser of gradnet_tf. Received: {type(model).__name__}."
        )
    if model.dtype_policy.name == precision:
        return model
    if precision != "float32":
        raise UserError(
            f"{path}: was saved in {model.dtype_policy.name}. Received: precision={precision}.\n"
            "Give a name or a run's folder for another precision."
        )
    rebuilt = rebuild(describe(model), precision, str(path))
    rebuilt.set_weights(model.get_weights())
    return rebuilt
