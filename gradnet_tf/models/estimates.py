"""Makes a `DenoisingModel` of other things, also as GradNet's naive denoiser.

These are any Keras model, a network at a fixed noise level, and an estimate that is an input.
"""

from typing import Any

import keras
from keras import ops

from gradnet_tf.models.base import DenoisingModel
from gradnet_tf.models.classical import CLASSICAL


class _AroundDenoiser(DenoisingModel):
    """A model around another one, `denoiser`, whose channels and scale are its own."""

    def get_config(self):
        config = super().get_config()
        for name in ("channels", "scale"):  # taken from the denoiser
            del config[name]
        return {**config, "denoiser": keras.saving.serialize_keras_object(self.denoiser)}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        denoiser = keras.saving.deserialize_keras_object(
            config.pop("denoiser"), custom_objects=custom_objects
        )
        return cls(denoiser, **config)


@keras.saving.register_keras_serializable(package="gradnet_tf")
class AnyKerasModel(_AroundDenoiser):
    """Any Keras model, such as a functional one, that maps images to images of the same shape.

    Args:
        denoiser: maps (N, H, W, C), C = 1 or 3, to the denoised images, at any height and width.

    Call arguments and output: see `DenoisingModel`.

    Raises:
        ValueError: when created, for a model of other inputs or outputs.
    """

    maps_alive = 8.0

    def __init__(self, denoiser: keras.Model, **kwargs: Any) -> None:
        shapes = []
        for name in ("input_shape", "output_shape"):
            try:
                shapes.append(getattr(denoiser, name))
            except (AttributeError, ValueError):
                raise ValueError(f"`denoiser` has no {name}: build it first.") from None
        given, returned = shapes
        fits = isinstance(given, tuple) and len(given) == 4 and given[-1] in (1, 3)
        if not fits or given != returned:
            raise ValueError(
                "`denoiser` must map images (None, None, None, 1 or 3) to the same shape. "
                f"Received: {given} to {returned}"
            )
        if given[:3] != (None, None, None):
            raise ValueError(
                f"`denoiser` must take images of any size, keras.Input((None, None, {given[-1]})). "
                f"Received: {given}"
            )
        super().__init__(given[-1], **kwargs)
        self.denoiser = denoiser

    @property
    def width(self):
        """See `DenoisingModel`: outputs of the widest convolution."""
        widths = [weight.shape[-1] for weight in self.denoiser.weights if len(weight.shape) == 4]
        return max([self.channels, *widths])

    def build(self, input_shape):
        self._check_input(input_shape)
        self.built = True

    def call(self, images, training=None):
        images = ops.cast(images, "float32")
        return ops.cast(self.denoiser(images, training=training), "float32")


@keras.saving.register_keras_serializable(package="gradnet_tf")
class FixedSigma(_AroundDenoiser):
    """Calls a denoiser with a fixed noise level.

    With it a network like FFDNet can be the ψ of a GradNet that is trained for one level, and the
    GradNet needs no noise level as input.

    Args:
        denoiser: a Keras model with `needs_sigma`, called as `denoiser(images, sigma)`
            with (N,) levels on the 0-255 scale.
        sigma: the noise level on the 0-255 scale.

    Call arguments and output: see `DenoisingModel`.
    """

    def __init__(self, denoiser, sigma, **kwargs):
        super().__init__(denoiser.channels, **kwargs)
        if not getattr(denoiser, "needs_sigma", False):
            raise ValueError(
                f"`denoiser` must be a model that needs a noise level. Received: {denoiser.name}"
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
        return {**super().get_config(), "sigma": self.sigma}


class EstimateInInput(DenoisingModel):
    """Returns x̂, the second half of its input's channels, unchanged.

    Call arguments:
        images: (N, H, W, 2·C) float, y and then x̂.

    Output shape:
        (N, H, W, C), float32.
    """

    # x̂ is computed from the whole image before tiles are cut.
    receptive_radius = 0
    bytes_per_pixel = 0.0

    @property
    def input_channels(self):
        """Channels of the input: those of y and those of x̂."""
        return 2 * self.channels

    def build(self, input_shape):
        self._check_input(input_shape)
        self.built = True

    def call(self, images):
        return ops.cast(images[..., self.channels :], "float32")


@keras.saving.register_keras_serializable(package="gradnet_tf")
class GivenEstimate(EstimateInInput):
    """Returns the estimate x̂ of a classical denoiser, which the input contains.

    A classical denoiser such as BM3D runs outside the graph. Its estimate is appended to y
    (`gradnet_tf.models.classical.append_estimate`), and a GradNet with this ψ takes both as one
    tensor: the main branch sees y, and the gradient is computed from x̂.

    Args:
        method: the classical denoiser, a name of `gradnet_tf.models.classical.CLASSICAL`.
        sigma: its noise level, 0-255 scale.
        channels: C of y and of x̂, 3 for RGB, 1 for gray.

    Call arguments and output: see `EstimateInInput`.
    """

    made_outside = True

    def __init__(self, method, sigma, channels=3, **kwargs):
        super().__init__(channels, **kwargs)
        if method not in CLASSICAL:
            raise ValueError(
                f"`method` must be one of {', '.join(CLASSICAL)}. Received: method={method!r}"
            )
        self.method = method
        self.sigma = sigma

    def get_config(self):
        config = super().get_config()
        del config["scale"]  # always 1
        return {**config, "method": self.method, "sigma": self.sigma}
