"""The untrainable Sobel gradient G(·) of the paper (section 4, "Image gradient fusion")."""

import keras
import numpy as np
from keras import ops

# Unnormalized Sobel kernels: smoothing (1, 2, 1) across, central difference along.
# `gradient_x` is positive where the image grows brighter to the right, `gradient_y`
# where it grows brighter downwards.
SOBEL_X = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], "float32")
SOBEL_Y = SOBEL_X.T


PADDINGS = ("mirror", "zeros")


def image_gradients(images, padding="mirror"):
    """Returns the horizontal and vertical Sobel responses of each channel.

    Args:
        images: float tensor (N, H, W, C), nominal range [0, 1], H and W from 1.
        padding: "mirror", by one pixel, keeps the border of a picture, or of a tile, from looking
            like an edge; "zeros" makes it one.

    Returns:
        `(gradient_x, gradient_y)`, each float32 (N, H, W, C), in [-4, 4] for
        images in [0, 1].
    """
    images = ops.cast(images, "float32")
    # Concatenation instead of `ops.pad`, because TFLite's mirror padding is slow on phones.
    if padding == "mirror":
        padded = ops.concatenate([images[:, :1], images, images[:, -1:]], axis=1)
        padded = ops.concatenate([padded[:, :, :1], padded, padded[:, :, -1:]], axis=2)
    else:
        padded = ops.pad(images, [[0, 0], [1, 1], [1, 1], [0, 0]])

    def respond(kernel):
        tiled = np.tile(kernel[:, :, None, None], (1, 1, images.shape[-1], 1))
        return ops.depthwise_conv(padded, ops.convert_to_tensor(tiled), padding="valid")

    return respond(SOBEL_X), respond(SOBEL_Y)


@keras.saving.register_keras_serializable(package="gradnet_tf")
class SobelGradient(keras.layers.Layer):
    """Per-channel Sobel gradient magnitude, `sqrt(gx² + gy² + ε)`.

    The layer has no weights, and computes in float32 under every dtype policy, because squares
    under- and overflow in half precision. ε keeps the derivative finite in flat areas, where the
    magnitude is √ε.

    Args:
        epsilon: added under the square root, positive.
        padding: see `image_gradients`; the authors' code has "zeros".

    Call arguments:
        images: float tensor (N, H, W, C), nominal range [0, 1], H and W from 1.

    Output shape:
        float32 (N, H, W, C), in [√ε, 4√2] for images in [0, 1].
    """

    def __init__(self, epsilon=1e-6, padding="mirror", **kwargs):
        if not epsilon > 0:
            raise ValueError(f"`epsilon` must be positive. Received: epsilon={epsilon}")
        if padding not in PADDINGS:
            raise ValueError(f"`padding` must be one of {PADDINGS}. Received: padding={padding!r}")
        kwargs["dtype"] = "float32"
        super().__init__(**kwargs)
        self.epsilon = epsilon
        self.padding = padding

    def build(self, input_shape):
        if len(input_shape) != 4 or input_shape[-1] is None:
            raise ValueError(
                "`images` must be (N, H, W, C) with a known number of channels. "
                f"Received: input_shape={input_shape}"
            )
        self.built = True

    def gradients(self, images):
        """Returns `(gradient_x, gradient_y)`; see `image_gradients`."""
        return image_gradients(images, self.padding)

    def call(self, images):
        gradient_x, gradient_y = image_gradients(images, self.padding)
        return ops.sqrt(ops.square(gradient_x) + ops.square(gradient_y) + self.epsilon)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        config = super().get_config()
        del config["dtype"]
        # Only what differs, so that earlier versions read the other files.
        more = {} if self.padding == "mirror" else {"padding": self.padding}
        return {**config, "epsilon": self.epsilon, **more}
