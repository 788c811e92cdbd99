"""What stands for the naive denoiser of a GradNet: one at a fixed level, or an estimate given."""

import keras
from keras import ops

from gradnet_tf.models.base import DenoisingModel
from gradnet_tf.models.classical import CLASSICAL


@keras.saving.register_keras_serializable(package="gradnet_tf")
class FixedSigma(DenoisingModel):
    """Calls a denoiser with one and the same noise level, whatever the images.

    So a network like FFDNet is the ψ of a GradNet that is trained for one
    level, and the whole takes images alone.

    Args:
        denoiser: a Keras model with `needs_sigma`, called as `denoiser(images, sigma)`
            with (N,) levels on the 0-255 scale.
        sigma: the level, on the 0-255 scale.

    Call arguments and output: see `DenoisingModel`.
    """

    def __init__(self, denoiser, sigma, **kwargs):
        super().__init__(denoiser.channels, **kwargs)
        if not getattr(denoiser, "needs_sigma", False):
            raise ValueError(
                f"`denoiser` must be one that needs a noise level. Received: {denoiser.name}"
            )
        if not 0 <= sigma <= 255:
            raise ValueError(f"`sigma` must be in [0, 255]. Received: sigma={sigma}")
        self.denoiser = denoiser
        self.sigma = float(sigma)

    @property
    def receptive_radius(self):
        """That of the denoiser."""
        return self.denoiser.receptive_radius

    @property
    def block_side(self):
        """That of the denoiser."""
        return self.denoiser.block_side

    @property
    def bytes_per_pixel(self):
        """That of the denoiser."""
        return self.denoiser.bytes_per_pixel

    def build(self, input_shape):
        self._check_input(input_shape)
        if not self.denoiser.built:
            self.denoiser.build(input_shape)
        self.built = True

    def call(self, images):
        images = ops.cast(images, "float32")
        levels = ops.zeros_like(images[:, 0, 0, 0]) + self.sigma
        return self.denoiser(images, sigma=levels)

    def get_config(self):
        config = super().get_config()
        for name in ("channels", "scale"):  # those of the denoiser
            del config[name]
        denoiser = keras.saving.serialize_keras_object(self.denoiser)
        return {**config, "denoiser": denoiser, "sigma": self.sigma}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        denoiser = keras.saving.deserialize_keras_object(
            config.pop("denoiser"), custom_objects=custom_objects
        )
        return cls(denoiser, **config)


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

    made_outside = True
    #: Made of the whole image, before any tile is cut.
    receptive_radius = 0
    bytes_per_pixel = 0.0

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
