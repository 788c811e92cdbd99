"""The naive estimate of a denoiser that is no network and gets into the graph as an input."""

import keras
from keras import ops

from gradnet_tf.models.base import DenoisingModel
from gradnet_tf.models.classical import CLASSICAL


@keras.saving.register_keras_serializable(package="gradnet_tf")
class GivenEstimate(DenoisingModel):
    """Returns x̂, the second half of its input's channels, as it is.

    A classical denoiser such as BM3D runs outside of the graph. What it made
    of y comes with y in one tensor, y first
    (`gradnet_tf.models.classical.append_estimate`), and a GradNet with this ψ takes
    that tensor: its main branch sees y, its gradient is that of x̂.

    Args:
        method: the classical denoiser, a name of `gradnet_tf.models.classical.CLASSICAL`.
        sigma: the noise level that it is given, 0-255 scale.
        channels: C of y and of x̂, 3 for RGB, 1 for grey.

    Call arguments:
        images: (N, H, W, 2·C) float.

    Output shape:
        (N, H, W, C), float32.
    """

    def __init__(self, method, sigma, channels=3, **kwargs):
        super().__init__(channels, **kwargs)
        if method not in CLASSICAL:
            raise ValueError(
                f"`method` must be one of {', '.join(CLASSICAL)}. Received: method={method!r}"
            )
        self.method = method
        self.sigma = sigma

    @property
    def input_channels(self):
        """Channels of the input: those of y and those of x̂."""
        return 2 * self.channels

    def build(self, input_shape):
        self._check_input(input_shape)
        self.built = True

    def call(self, images):
        return ops.cast(images[..., self.channels :], "float32")

    def get_config(self):
        config = super().get_config()
        del config["scale"]  # always 1
        return {**config, "method": self.method, "sigma": self.sigma}
