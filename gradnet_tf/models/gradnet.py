"""GradNet (figure 4 of the paper; section 4 of its supplement)."""

from typing import Any

import keras
from keras import ops

from gradnet_tf.degradations import sigma_to_unit
from gradnet_tf.layers import MSKResnetBody, SobelGradient
from gradnet_tf.layers.residual import conv3x3
from gradnet_tf.models.base import DenoisingModel, reconstruction_conv


@keras.saving.register_keras_serializable(package="gradnet_tf")
class GradNet(DenoisingModel):
    """Denoises with the image gradient of a naive estimate as a guide.

    ```
    x̂  = ψ(y)                    naive estimate
    f0 = τ(c(y))                 shallow features, F channels
    g0 = f0 ⊕ G(x̂)               gradient fusion, F + C channels
    x̃  = c(MSKResnet(g0)) + y
    ```

    Args:
        naive_denoiser: ψ, a Keras model from images to images of the same shape. It is trained too
            if its `trainable` is set; otherwise no gradient reaches it. With a `GivenEstimate`, x̂
            is an input: the second half of the channels of `images`.
        filters: F. With `scale` 2 the gradient has 4·C channels.
        num_modules: N, residual modules.
        num_units: m, ResUnits in each.
        reduction: r of the attention.
        channels: 3 for RGB, 1 for gray.
        scale: 1 works on pixels, 2 on blocks of 2×2 pixels.
        attention_position: see `ResidualModule`.
        gradient_layer: G, a layer from images to gradients of the same shape; `SobelGradient` by
            default.
        batch_norm: see `ResUnit`; the authors' code has it.
        global_skip: add y to the output, as in the supplement; the authors' code of GradNet does
            not.
        takes_level: the network is told the noise level: f0 = τ(c(y) + σ·v) with σ on the 0-1 scale
            and v a trained vector of F numbers, zero at first. It is what a map of the level as a
            further channel of y does (FFDNet), but the same at the picture's border.

    Call arguments:
        images: see `DenoisingModel`.
        attention: optional list with the channel weights of each residual module, first those of
            the naive denoiser, if it has any, then those of the main branch.
        return_intermediates: return a dict of `denoised`, `naive` and `gradient` (float32, shaped
            like `images`) and `attention` (a list of (N, 1, 1, ·)).
        sigma: (N,) noise levels on the 0-255 scale, for `takes_level` or a naive denoiser that
            needs them; then `needs_sigma` is true.

    Example:

    >>> naive = DnCNN(num_layers=20, filters=64)
    >>> model = GradNet(naive)
    >>> denoised = model(noisy)
    """

    maps_alive = 8.0

    def __init__(
        self,
        naive_denoiser: Any,
        filters: int = 64,
        num_modules: int = 4,
        num_units: int = 4,
        reduction: int = 2,
        channels: int = 3,
        scale: int = 1,
        attention_position: str = "before_fusion",
        gradient_layer: Any = None,
        batch_norm: bool = False,
        global_skip: bool = True,
        takes_level: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(channels, scale, **kwargs)
        naive_channels = getattr(naive_denoiser, "channels", channels)
        if naive_channels != channels:
            raise ValueError(
                f"`naive_denoiser` must have `channels`={channels}. "
                f"Received: naive_denoiser.channels={naive_channels}"
            )
        policy = self.dtype_policy
        self.filters = filters
        self.naive_denoiser = naive_denoiser
        self.takes_level = takes_level
        self._naive_needs_sigma = bool(getattr(naive_denoiser, "needs_sigma", False))
        self.needs_sigma = takes_level or self._naive_needs_sigma
        self.sobel = SobelGradient(name="sobel") if gradient_layer is None else gradient_layer
        self.features = conv3x3(filters, policy, None if takes_level else "relu", "features")
        self.body = MSKResnetBody(
            filters + self.depth,
            num_modules,
            num_units,
            reduction,
            attention_position,
            batch_norm,
            dtype=policy,
            name="body",
        )
        self.global_skip = global_skip
        if global_skip:
            self.reconstruction = reconstruction_conv(self.depth, policy)
        else:
            self.reconstruction = conv3x3(self.depth, policy, None, "reconstruction")

    @property
    def input_channels(self):
        """Channels of the input: twice the image's if it contains x̂."""
        return getattr(self.naive_denoiser, "input_channels", self.channels)

    @property
    def width(self):
        """Channels of the residual modules: F and the gradient's."""
        return self.body.filters

    @property
    def receptive_radius(self):
        """See `DenoisingModel`: the longer of the two paths, with and without ψ."""
        naive = getattr(self.naive_denoiser, "receptive_radius", None)
        if naive is None:
            return None
        fused = self.body.receptive_radius + 1  # from the fused features to the reconstruction
        # Through ψ and the Sobel filter (1 pixel), or through the first features.
        return max(self.in_pixels(fused) + naive + 1, self.in_pixels(1 + fused))

    @property
    def block_side(self):
        """See `DenoisingModel`: blocks of the main branch and of ψ."""
        return max(self.scale, getattr(self.naive_denoiser, "block_side", 1))

    @property
    def bytes_per_pixel(self):
        """See `DenoisingModel`: ψ and the main branch run one after the other."""
        images = 4 * 4 * self.input_channels
        naive = getattr(self.naive_denoiser, "bytes_per_pixel", 0.0)
        return max(super().bytes_per_pixel, images + naive)

    @property
    def attention_widths(self):
        """Channels of each attention vector: the naive denoiser's, then the main branch's."""
        return self._naive_widths + self.body.attention_widths

    @property
    def _naive_widths(self):
        return getattr(self.naive_denoiser, "attention_widths", ())

    def build(self, input_shape):
        self._check_input(input_shape)
        if not self.naive_denoiser.built:
            self.naive_denoiser.build((None, None, None, self.input_channels))
        if not self.sobel.built:
            self.sobel.build((None, None, None, self.channels))
        self.features.build((None, None, None, self.depth))
        if self.takes_level:
            self.level = self.add_weight(shape=(self.filters,), initializer="zeros", name="level")
        self.body.build((None, None, None, self.body.filters))
        self.reconstruction.build((None, None, None, self.body.filters))
        self.built = True

    def call(self, images, attention=None, return_intermediates=False, sigma=None):
        images = ops.cast(images, "float32")
        count = len(self._naive_widths)
        own = None if attention is None else attention[count:]
        kwargs = {"sigma": sigma} if self._naive_needs_sigma else {}
        naive_used = []
        if count:
            given = None if attention is None else attention[:count]
            outputs = self.naive_denoiser(
                images, attention=given, return_intermediates=True, **kwargs
            )
            naive, naive_used = outputs["denoised"], outputs["attention"]
        else:
            naive = self.naive_denoiser(images, **kwargs)
        if not self.naive_denoiser.trainable:
            naive = ops.stop_gradient(naive)
        if self.input_channels > self.channels:
            images = images[..., : self.channels]  # y without a given x̂
        gradient = self.sobel(naive)  # G(x̂); x̂ is not clipped
        features = self.shallow_features(images, sigma)
        fused = ops.concatenate([features, self.to_depth(gradient)], axis=-1)  # g0
        fused, used = self.body(fused, attention=own, return_attention=True)
        denoised = self._to_image(self.reconstruction(fused), images)
        if self.global_skip:
            denoised = images + denoised
        if not return_intermediates:
            return denoised
        used = [*naive_used, *used]
        return {"denoised": denoised, "naive": naive, "gradient": gradient, "attention": used}

    def shallow_features(self, images, sigma=None):
        """Returns f0, (N, H / scale, W / scale, F), of y and, with `takes_level`, of σ."""
        features = self.features(self.to_depth(images))
        if not self.takes_level:
            return features
        if sigma is None:
            raise ValueError("GradNet with `takes_level`: call it as `model(images, sigma=…)`.")
        level = sigma_to_unit(ops.reshape(ops.cast(sigma, "float32"), (-1, 1, 1, 1))) * self.level
        return ops.relu(features + ops.cast(level, features.dtype))

    def get_config(self):
        return {
            **super().get_config(),
            "naive_denoiser": keras.saving.serialize_keras_object(self.naive_denoiser),
            "filters": self.filters,
            **self.body.settings(),
            "gradient_layer": keras.saving.serialize_keras_object(self.sobel),
            **({} if self.global_skip else {"global_skip": False}),
            **({"takes_level": True} if self.takes_level else {}),
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        # Files of earlier versions have no `gradient_layer`.
        config = {"gradient_layer": None, **config}
        for name in ("naive_denoiser", "gradient_layer"):
            if config[name] is not None:
                config[name] = keras.saving.deserialize_keras_object(
                    config[name], custom_objects=custom_objects
                )
        naive = config["naive_denoiser"]
        if not naive.trainable:
            # Keras propagates `trainable` to the layers only when it changes.
            naive.trainable = True
            naive.trainable = False
        return cls(**config)
