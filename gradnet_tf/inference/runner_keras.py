"""Runs a Keras model, on whichever backend Keras uses."""

import functools
from pathlib import Path

import keras
import numpy as np
from keras import ops

from gradnet_tf.errors import UserError
from gradnet_tf.presets import build_model


def _clipped(images):
    return ops.clip(images, 0.0, 1.0)


class KerasRunner:
    """A Keras denoiser as a function from arrays to arrays, clipped to [0, 1].

    On the TensorFlow backend it is one `tf.function` whose signature leaves
    batch, height and width open, so that a folder of pictures of many sizes
    is traced once. Elsewhere the model is called as it is.

    Args:
        model: maps float32 (N, H, W, C), and `sigma` (N,) where it has
            `needs_sigma`, to the same shape; `channels` is read from it, or from
            its input where it has no such attribute.
    """

    def __init__(self, model):
        self.model = model
        self.channels = getattr(model, "channels", None) or model.input_shape[-1]
        self.needs_sigma = bool(getattr(model, "needs_sigma", False))
        self.parameters = model.count_params()
        self._has_naive = getattr(model, "naive_denoiser", None) is not None
        self._denoise = self._compiled(self._call)
        self._estimate = self._compiled(self._call_naive)

    def run(self, images: np.ndarray, sigma: np.ndarray | None = None) -> np.ndarray:
        """Returns the denoised images, float32, shaped like `images`."""
        return _to_numpy(self._denoise, images, sigma)

    def naive(self, images: np.ndarray, sigma: np.ndarray | None = None) -> np.ndarray | None:
        """Returns ψ(y) of a GradNet, `None` for any other model."""
        return _to_numpy(self._estimate, images, sigma) if self._has_naive else None

    @property
    def num_traces(self) -> int | None:
        """How often the denoising function was traced; `None` outside TensorFlow."""
        count = getattr(self._denoise, "experimental_get_tracing_count", None)
        return None if count is None else count()

    def _call(self, images, **sigma):
        return _clipped(self.model(images, training=False, **sigma))

    def _call_naive(self, images, **sigma):
        # The naive denoiser by itself gives what `return_intermediates` calls "naive",
        # at the cost of ψ alone.
        return _clipped(self.model.naive_denoiser(images, training=False, **sigma))

    def _compiled(self, function):
        if keras.backend.backend() != "tensorflow":
            return lambda images, **sigma: function(ops.convert_to_tensor(images), **sigma)
        import tensorflow as tf

        signature = [tf.TensorSpec([None, None, None, self.channels], tf.float32, name="images")]
        if self.needs_sigma:
            signature.append(tf.TensorSpec([None], tf.float32, name="sigma"))
        # TensorFlow counts traces by code object, and several denoisers in one process share
        # these; a partial is counted by itself, and no false warning about retracing appears.
        return tf.function(functools.partial(function), input_signature=signature)


def runner_from_weights(preset: str, channels: int, precision: str, path: Path) -> KerasRunner:
    """Builds a preset under a dtype policy and loads a `.weights.h5` file into it.

    Raises:
        UserError: the file is not of that preset.
    """
    model = build_model(preset, channels=channels, precision=precision)
    try:
        model.load_weights(path)
    except (ValueError, OSError, KeyError) as error:
        reason = str(error).splitlines()[0][:200]
        raise UserError(
            f"{path}: the weights do not fit preset {preset} of this version: {reason}"
        ) from error
    return KerasRunner(model)


def _to_numpy(function, images, sigma):
    try:
        more = {} if sigma is None else {"sigma": ops.convert_to_tensor(sigma)}
        return np.asarray(ops.convert_to_numpy(function(images, **more)), np.float32)
    except Exception as error:
        if type(error).__name__ in ("ResourceExhaustedError", "XlaRuntimeError"):
            raise MemoryError(f"not enough memory for images of shape {images.shape}") from error
        raise
