"""Runs a SavedModel through TensorFlow."""

from pathlib import Path

import numpy as np

from gradnet_tf.errors import UserError

SIGNATURE = "serving_default"


class SavedModelRunner:
    """The float signature of a SavedModel as a function from arrays to arrays.

    Args:
        folder: holds saved_model.pb.

    Raises:
        UserError: the folder does not load, or its signature is not one float32
            image batch in and one out.
    """

    needs_sigma = False
    model = None
    parameters = None

    def __init__(self, folder: Path):
        import tensorflow as tf

        try:
            # The signature holds its variables only weakly: the loaded object stays with it.
            self._loaded = tf.saved_model.load(str(folder))
        except (OSError, ValueError, tf.errors.OpError) as error:
            reason = str(error).splitlines()[0][:200]
            raise UserError(f"{folder}: the SavedModel does not load: {reason}") from error
        signature = self._loaded.signatures.get(SIGNATURE)
        inputs = {} if signature is None else signature.structured_input_signature[1]
        specs = list(inputs.values())
        if len(specs) != 1 or specs[0].dtype != tf.float32 or len(specs[0].shape) != 4:
            raise UserError(
                f"{folder}: expected a signature {SIGNATURE!r} with one float32 input "
                f"(N, H, W, C). Received: {specs or 'no such signature'}."
            )
        self._signature = signature
        self._input = next(iter(inputs))
        self._output = next(iter(signature.structured_outputs))
        self._constant = tf.constant
        self.channels = specs[0].shape[-1]

    def run(self, images: np.ndarray, sigma: None = None) -> np.ndarray:
        """Returns the denoised images, float32, shaped like `images`."""
        outputs = self._signature(**{self._input: self._constant(images)})
        return outputs[self._output].numpy()

    def naive(self, images: np.ndarray, sigma: None = None) -> None:
        """A SavedModel does not give its naive estimate."""
        return None
