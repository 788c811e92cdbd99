"""SKDnCNN and four places to fuse a gradient into it: GradNet-I to IV (figure 2)."""

import keras
from keras import ops

from gradnet_tf.layers import ConvNormReLU, SobelGradient
from gradnet_tf.layers.residual import conv3x3
from gradnet_tf.models.base import DenoisingModel, reconstruction_conv

FUSIONS = ("none", "I", "II", "III", "IV")
GRADIENTS = ("none", "noisy", "approximate", "clean")
VARIANTS = ("drawn", "authors")
PRODUCTS = ("gradient", "gain", "gate")


@keras.saving.register_keras_serializable(package="gradnet_tf")
class SKDnCNN(DenoisingModel):
    """DnCNN with a skip of the first features and an image gradient fused at one of four places.

    ```
    f0 = τ(c(y))                       first features, F channels
    f  = [τ(bn(c(·)))] × (L - 2) (f0)  the stack
    x̃  = y - c(f ⊕ f0)                 skip by concatenation; the output is y minus the residual
    ```

    With the Sobel magnitude G of a guide z, one of these lines replaces its counterpart above:

    ```
    I    f0 = τ(c(y ⊕ G))              with the input image
    II   f  = stack(f0 ⊕ G)            after the first convolution
    III  x̃  = y - c(f ⊕ f0 ⊕ G)        at the skip's concatenation
    IV   x̃  = y - c(f ⊕ f0) · G        multiplies the last convolution's output
    ```

    IV as drawn cannot remove noise where the guide is flat. With `product="gain"` the factor is
    1 + G instead, which is neutral there, and with "gate" it is 2·sigmoid(c(G)), in which the
    network learns how much a gradient matters, from 1 on. With `variant="authors"` the network is
    that of the authors' code: its last convolution gives the image itself instead of the residual,
    and in II the stack keeps F + C channels, the skip carries f0 ⊕ G, and there is one more
    convolution:

    ```
    II   x̃ = c(c(stack(f0 ⊕ G) ⊕ f0 ⊕ G))     the inner one gives F channels, without ReLU
    ```

    In training, batch normalization uses the statistics of the global batch, so that replicas agree
    with one device up to rounding; with `accumulate`, those of each part. In II, the skip has f0
    without G.

    Args:
        fusion: "none", "I", "II", "III" or "IV".
        gradient: source of the gradient: "none" (only with fusion "none"), "noisy" (z = y),
            "approximate" (z = ψ(y)) or "clean" (z = x, for studies: the second half of the
            input's channels).
        naive_denoiser: ψ, a Keras model from images to images of the same
            shape, for "approximate" only; frozen unless its `trainable` is set.
        num_layers: L, total number of convolutions, at least 3.
        filters: F.
        channels: C, 3 for RGB, 1 for gray.
        scale: 1 works on pixels, 2 on blocks of 2×2 pixels.
        variant: "drawn", the paper's figure 2 with DnCNN's residual; or "authors", their code.
        product: factor of IV, "gradient" (G), "gain" (1 + G) or "gate" (learned from G).

    Call arguments:
        images: (N, H, W, `input_channels`), see `DenoisingModel`: y, followed
            by z with gradient "clean".
        return_intermediates: return a dict of `denoised`, `naive` (the guide z) and `gradient`,
            each shaped like y; only with a gradient.

    Output shape:
        (N, H, W, C), float32, not clipped.
    """

    def __init__(
        self,
        fusion="none",
        gradient="none",
        naive_denoiser=None,
        num_layers=17,
        filters=64,
        channels=3,
        scale=1,
        variant="drawn",
        product="gradient",
        **kwargs,
    ):
        super().__init__(channels, scale, **kwargs)
        _check_arguments(fusion, gradient, naive_denoiser, num_layers, variant, product)
        self.fusion = fusion
        self.gradient = gradient
        self.naive_denoiser = naive_denoiser
        self.num_layers = num_layers
        self.filters = filters
        self.variant = variant
        self.product = product
        policy = self.dtype_policy
        # The stack of the authors' GradNet-II keeps the channels of the gradient.
        wide = self._is_wide
        hidden = filters + (self.depth if wide else 0)
        self.sobel = SobelGradient(name="sobel")
        self.features = conv3x3(filters, policy, "relu", "features")
        self.stack = [
            ConvNormReLU(hidden, dtype=policy, name=f"conv_{index}")
            for index in range(num_layers - 2)
        ]
        self.merge = conv3x3(filters, policy, None, "merge") if wide else None
        if variant == "authors":
            self.reconstruction = conv3x3(self.depth, policy, None, "reconstruction")
        else:
            self.reconstruction = reconstruction_conv(self.depth, policy)
        self.gate = None
        if fusion == "IV" and product == "gate":
            self.gate = reconstruction_conv(channels, policy, "gate")

    @property
    def _is_wide(self):
        return self.variant == "authors" and self.fusion == "II"

    @property
    def input_channels(self):
        """Channels of the input: twice the image's if it contains the guide."""
        return self.channels * (2 if self.gradient == "clean" else 1)

    def build(self, input_shape):
        self._check_input(input_shape)
        extra = {place: self.depth if self.fusion == place else 0 for place in FUSIONS}
        if self.naive_denoiser is not None and not self.naive_denoiser.built:
            self.naive_denoiser.build((None, None, None, self.channels))
        self.features.build((None, None, None, self.depth + extra["I"]))
        inputs = self.filters + extra["II"]
        for layer in self.stack:
            layer.build((None, None, None, inputs))
            inputs = layer.filters
        joined = 2 * inputs + extra["III"]
        if self.merge is not None:
            self.merge.build((None, None, None, joined))
            joined = self.filters
        self.reconstruction.build((None, None, None, joined))
        if self.gate is not None:
            self.gate.build((None, None, None, self.channels))
        self.built = True

    def _factor(self, gradient):
        if self.gate is not None:
            return 2.0 * ops.sigmoid(ops.cast(self.gate(gradient), "float32"))
        return gradient if self.product == "gradient" else 1.0 + gradient

    def _guide(self, images, noisy):
        if self.gradient == "clean":
            return images[..., self.channels :]
        if self.gradient == "noisy":
            return noisy
        naive = self.naive_denoiser(noisy)
        return naive if self.naive_denoiser.trainable else ops.stop_gradient(naive)

    def call(self, images, return_intermediates=False):
        images = ops.cast(images, "float32")
        noisy = images[..., : self.channels]
        guide = gradient = None
        if self.fusion != "none":
            guide = self._guide(images, noisy)
            gradient = self.sobel(guide)

        def fuse(place, features):
            if self.fusion != place:
                return features
            deep = ops.cast(self.to_depth(gradient), features.dtype)
            return ops.concatenate([features, deep], axis=-1)

        first = self.features(fuse("I", self.to_depth(noisy)))
        features = fuse("II", first)
        if self._is_wide:
            first = features
        for layer in self.stack:
            features = layer(features)
        features = fuse("III", ops.concatenate([features, first], axis=-1))
        if self.merge is not None:
            features = self.merge(features)
        output = self._to_image(self.reconstruction(features), noisy)
        if self.fusion == "IV":
            output = output * self._factor(gradient)
        denoised = output if self.variant == "authors" else noisy - output
        if not return_intermediates:
            return denoised
        return {"denoised": denoised, "naive": guide, "gradient": gradient}

    def get_config(self):
        naive = self.naive_denoiser
        return {
            **super().get_config(),
            "fusion": self.fusion,
            "gradient": self.gradient,
            "naive_denoiser": naive and keras.saving.serialize_keras_object(naive),
            "num_layers": self.num_layers,
            "filters": self.filters,
            "variant": self.variant,
            "product": self.product,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        if config["naive_denoiser"] is not None:
            config["naive_denoiser"] = keras.saving.deserialize_keras_object(
                config["naive_denoiser"], custom_objects=custom_objects
            )
        return cls(**config)


def _check_arguments(fusion, gradient, naive_denoiser, num_layers, variant, product):
    for name, value, choices in (
        ("fusion", fusion, FUSIONS),
        ("gradient", gradient, GRADIENTS),
        ("variant", variant, VARIANTS),
        ("product", product, PRODUCTS),
    ):
        if value not in choices:
            raise ValueError(f"`{name}` must be one of {choices}. Received: {name}={value!r}")
    if (fusion == "none") != (gradient == "none"):
        raise ValueError(
            '`fusion` and `gradient` must both be "none", or neither. '
            f"Received: fusion={fusion!r}, gradient={gradient!r}"
        )
    if (gradient == "approximate") != (naive_denoiser is not None):
        raise ValueError(
            '`naive_denoiser` must be given with gradient="approximate", and only then. '
            f"Received: gradient={gradient!r}, naive_denoiser={naive_denoiser!r}"
        )
    if num_layers < 3:
        raise ValueError(f"`num_layers` must be at least 3. Received: num_layers={num_layers}")
