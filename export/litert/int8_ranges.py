"""Ranges of 8-bit activations: collected from real images, chosen for the least squared error."""

import keras
import numpy as np
from keras import ops

LEVELS = 255
#: Values kept of one tensor and image; a tensor has a few hundred thousand.
_KEPT = 20_000
#: Ranges that are tried, as parts of the full one.
_PARTS = np.linspace(0.15, 1.0, 35)


@keras.saving.register_keras_serializable(package="gradnet_tf_export")
class ActivationRange(keras.layers.Layer):
    """Where activations are rounded to 8 bits: one range for a whole tensor, as TFLite has it.

    Until `settle` is called the layer lets values pass and remembers a sample
    of them. Afterwards it rounds, with the operation that TFLite's converter
    turns into 8-bit tensors.

    Call arguments:
        features: float32, any shape.
    """

    def __init__(self, **kwargs):
        super().__init__(dtype="float32", **kwargs)
        self.low = self.add_weight(shape=(), initializer="zeros", trainable=False, name="low")
        self.high = self.add_weight(shape=(), initializer="ones", trainable=False, name="high")
        self._sample: list[np.ndarray] | None = []
        self.built = True

    def call(self, features):
        if self._sample is not None:
            values = ops.convert_to_numpy(features).ravel()
            draw = np.random.default_rng(len(self._sample))
            self._sample.append(values[draw.integers(0, values.size, _KEPT)])
            return features
        return keras.quantizers.fake_quant_with_min_max_vars(features, self.low, self.high)

    def settle(self):
        """Chooses the range by `least_error_range` and forgets the sample."""
        low, high = least_error_range(np.concatenate(self._sample))
        self.low.assign(low)
        self.high.assign(high)
        self._sample = None


def least_error_range(values: np.ndarray) -> tuple[float, float]:
    """Returns (low ≤ 0, high > 0): the range in which 8-bit rounding errs least in the mean square.

    The full range spends levels on values that hardly occur; a narrower one
    cuts them off. Both ends are tried one after the other, twice.

    Args:
        values: a sample of a tensor.
    """
    values = np.asarray(values, np.float64)
    lowest, highest = min(values.min(), 0.0), max(values.max(), 1e-6)

    def error(low, high):
        step = (high - low) / LEVELS
        zero = np.round(-low / step)
        levels = np.clip(np.round(values / step) + zero, 0, LEVELS)
        return np.mean(((levels - zero) * step - values) ** 2)

    low, high = lowest, highest
    for _ in range(2):
        high = min((part * highest for part in _PARTS), key=lambda end: error(low, end))
        if lowest < 0:
            low = min((part * lowest for part in _PARTS), key=lambda end: error(end, high))
    return float(low), float(high)


def rounded_kernel(kernel):
    """Rounds a convolution's kernel (h, w, in, out) to 8 bits, with a range for each output."""
    top = ops.maximum(ops.max(ops.abs(kernel), axis=(0, 1, 2)), 1e-6)
    return keras.quantizers.fake_quant_with_min_max_vars(
        kernel, -top, top, narrow_range=True, axis=-1
    )
