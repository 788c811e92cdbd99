"""Makes a denoiser of images alone of one that is told the noise level."""

import keras
from keras import ops

from gradnet_tf.models.base import DenoisingModel


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
