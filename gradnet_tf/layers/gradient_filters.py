"""Image gradients by filters other than Sobel's, constant or learned, for the gradient study."""

import keras
import numpy as np
from keras import ops

from gradnet_tf.layers.sobel import SobelGradient

_SMOOTHING = {"sobel": (1, 2, 1), "scharr": (3, 10, 3), "prewitt": (1, 1, 1)}
FILTERS = (*_SMOOTHING, "random")
# Sums of Sobel's kernels. All filters are scaled to respond to a ramp as Sobel's does, and random
# kernels to have the same sum of squares.
_SMOOTHING_SUM, _SQUARES = 4.0, 12.0


def gradient_kernels(filters):
    """Returns the horizontal and the vertical kernel of a filter, float32 (3, 3, 2).

    Args:
        filters: "sobel", "scharr" or "prewitt", scaled to respond to a ramp as the unnormalized
            Sobel filter does.
    """
    smoothing = np.array(_SMOOTHING[filters], "float32")
    horizontal = np.outer(smoothing * (_SMOOTHING_SUM / smoothing.sum()), [-1, 0, 1])
    return np.stack([horizontal, horizontal.T], axis=-1).astype("float32")


@keras.saving.register_keras_serializable(package="gradnet_tf")
class GradientFilters(SobelGradient):
    """Gradient magnitude `sqrt(a² + b² + ε)` of two 3×3 filters on each channel.

    With "sobel" and `learned=False` it is equal to `SobelGradient`. As there, padding is symmetric
    and everything is float32.

    Args:
        filters: "sobel", "scharr", "prewitt", or "random" for random initial values, which must be
            learned.
        learned: the kernels are weights, a pair for each channel, initialized with `filters`;
            otherwise they are constants.
        epsilon: added under the square root, positive.

    Call arguments:
        images: float tensor (N, H, W, C), nominal range [0, 1], H and W from 1.

    Output shape:
        float32 (N, H, W, C).
    """

    def __init__(self, filters="sobel", learned=False, epsilon=1e-6, **kwargs):
        if filters not in FILTERS:
            raise ValueError(f"`filters` must be one of {FILTERS}. Received: filters={filters!r}")
        if filters == "random" and not learned:
            raise ValueError('`learned` must be True with filters="random". Received: False')
        super().__init__(epsilon, **kwargs)
        self.filters = filters
        self.learned = learned

    def build(self, input_shape):
        super().build(input_shape)
        if self.learned:
            if self.filters == "random":
                initial = keras.initializers.RandomNormal(stddev=(_SQUARES / 9) ** 0.5)
            else:
                initial = self._initial
            shape = (3, 3, input_shape[-1], 2)
            self.kernel = self.add_weight(shape=shape, initializer=initial, name="kernel")

    def _initial(self, shape, dtype=None):
        kernels = gradient_kernels(self.filters)[:, :, None, :]
        return ops.convert_to_tensor(np.broadcast_to(kernels, shape), dtype)

    def call(self, images):
        images = ops.cast(images, "float32")
        kernel = self.kernel if self.learned else self._initial((3, 3, images.shape[-1], 2))
        mode = "symmetric" if self.padding == "mirror" else "constant"
        padded = ops.pad(images, [[0, 0], [1, 1], [1, 1], [0, 0]], mode=mode)
        responses = ops.square(ops.depthwise_conv(padded, kernel, padding="valid"))
        # A depthwise convolution puts its two outputs of a channel next to each other.
        return ops.sqrt(responses[..., 0::2] + responses[..., 1::2] + self.epsilon)

    def get_config(self):
        return {**super().get_config(), "filters": self.filters, "learned": self.learned}
