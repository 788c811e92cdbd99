"""Runs a SavedModel through TensorFlow."""

from pathlib import Path

import numpy as np

from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.files import without_wildcards

SIGNATURE = "serving_default"
SIGMA = "sigma"


class SavedModelRunner:
    """The float signature of a SavedModel as a function from arrays to arrays.

    Args:
        folder: holds saved_model.pb.

    Raises:
        UserError: the folder does not load, or its signature does not have one float32 image
            batch, an optional noise level per image, and one output.
    """

    runtime = "saved_model"
    #: A graph does not say whether it does; that of a GradNet does.
    averages_picture = True
    model = None
    parameters = None

    def __init__(self, folder: Path):
        import tensorflow as tf

        try:
            # The signature has only weak references to its variables, so keep the loaded object.
            with without_wildcards(folder) as plain:
                self._loaded = tf.saved_model.load(str(plain))
        except (OSError, ValueError, tf.errors.OpError) as error:
            reason = str(error).splitlines()[0][:200]
            raise UserError(f"{folder}: the SavedModel does not load: {reason}") from error
        signature = self._loaded.signatures.get(SIGNATURE)
        inputs = {} if signature is None else signature.structured_input_signature[1]
        self.needs_sigma = SIGMA in inputs
        specs = [spec for name, spec in inputs.items() if name != SIGMA]
        if len(specs) != 1 or specs[0].dtype != tf.float32 or len(specs[0].shape) != 4:
            raise UserError(
                f"{folder}: expected a signature {SIGNATURE!r} with one float32 input "
                f"(N, H, W, C). Received: {specs or 'no such signature'}."
            )
        self._signature = signature
        self._input = next(name for name in inputs if name != SIGMA)
        self._output = next(iter(signature.structured_outputs))
        self._tf = tf
        self.channels = specs[0].shape[-1]

    def run(self, images: np.ndarray, sigma: np.ndarray | None = None) -> np.ndarray:
        """Returns the denoised images, float32, shaped like `images`.

        Raises:
            UserError: the graph refuses the images, such as ones above its pixel limit.
        """
        inputs = {self._input: self._tf.constant(images)}
        if self.needs_sigma:
            inputs[SIGMA] = self._tf.constant(sigma, self._tf.float32)
        try:
            return self._signature(**inputs)[self._output].numpy()
        except self._tf.errors.InvalidArgumentError as error:
            raise UserError(f"the SavedModel refuses the images: {reason_of(error)}") from error

    def naive(self, images: np.ndarray, sigma: np.ndarray | None = None) -> None:
        """A SavedModel does not expose its naive estimate."""
        return None


def reason_of(error) -> str:
    """Returns the line of a TensorFlow error that gives the reason.

    It is between the location in the graph and the name of the node.
    """
    lines = [line.strip() for line in error.message.splitlines()]
    ends = [n for n, line in enumerate(lines) if line.startswith("[[{{node")]
    said = [line for line in lines[: ends[0] if ends else 1] if line]
    return said[-1] if said else type(error).__name__
