"""Base class of all denoising networks."""

import inspect
import os
from typing import Any, Self

import keras
from keras import ops

from gradnet_tf.layers import DepthToSpace, SobelGradient, SpaceToDepth, SqueezeExcitation


def reconstruction_conv(filters, policy, name="reconstruction"):
    """The last 3×3 convolution; its initial values are small, so an untrained network returns y."""
    return keras.layers.Conv2D(
        filters,
        3,
        padding="same",
        kernel_initializer=keras.initializers.VarianceScaling(1e-3),
        dtype=policy,
        name=name,
    )


DETAILS = ("ours", "authors")


def _take_authors_details(model) -> None:
    """Changes the layers of a network that is not built yet, except those of its ψ."""
    naive = getattr(model, "naive_denoiser", None)
    others = set() if naive is None else {id(layer) for layer in naive._flatten_layers()}
    layers = [layer for layer in model._flatten_layers() if id(layer) not in others]
    for layer in layers:
        if isinstance(layer, keras.layers.Conv2D | SqueezeExcitation):
            layer.kernel_initializer = keras.initializers.HeNormal()
        elif isinstance(layer, keras.layers.BatchNormalization):
            layer.gamma_initializer = keras.initializers.RandomUniform(-0.025, 0.025)
        elif isinstance(layer, SobelGradient):
            layer.epsilon, layer.padding = 1e-12, "zeros"
    first = model.convs[0] if hasattr(model, "convs") else model.features
    for layer in (first, model.reconstruction):
        layer.use_bias = False


class DenoisingModel(keras.Model):
    """Base of the networks: image in, image of the same shape out.

    The image stays float32 under every dtype policy, because bfloat16 has steps of 1/256 near 1.0:
    the layers compute a residual in the policy's dtype, and the sum is float32.

    Args:
        channels: C, 3 for RGB or 1 for gray.
        scale: 1 works on pixels, 2 on blocks of 2×2 pixels (a quarter of the positions, as in
            FFDNet).
        details: "ours", or "authors" for what their code has in DnCNN, SKDnCNN, MSKResnet and
            GradNet: no biases in the first and the last convolution, He's normal initial values in
            all (so an untrained network does not return y), initial scales of the normalizations
            in ±0.025, and a Sobel filter that is padded with zeros and has hardly an ε.
        dtype: dtype policy of the layers.

    Call arguments:
        images: (N, H, W, C) float, nominal range [0, 1], H and W from 1.

    Output shape:
        (N, H, W, C), float32, not clipped.
    """

    #: Whether `call` takes the noise level as a second input.
    needs_sigma = False
    #: Whether the output is computed outside the network and passed as a part of the input.
    made_outside = False
    #: Whether it is only a chain of 3×3 convolutions with ReLU.
    is_plain_chain = False
    #: Peak number of feature maps in memory, in units of `width`, including the working memory of
    #: convolutions. Measured as peak memory over the size of one picture.
    maps_alive = 3.5

    def __init__(
        self, channels: int = 3, scale: int = 1, details: str = "ours", **kwargs: Any
    ) -> None:
        super().__init__(autocast=False, **kwargs)
        if details not in DETAILS:
            raise ValueError(f"`details` must be one of {DETAILS}. Received: details={details!r}")
        self.details = details
        if channels not in (1, 3):
            raise ValueError(f"`channels` must be 1 or 3. Received: channels={channels}")
        self.channels = channels
        self.scale = scale
        self.to_depth = SpaceToDepth(scale, dtype=self.dtype_policy, name="to_depth")
        self.to_space = DepthToSpace(scale, dtype="float32", name="to_space")

    @property
    def depth(self) -> int:
        """Channels of an image whose blocks of `scale`×`scale` pixels are one position."""
        return self.channels * self.scale**2

    @property
    def input_channels(self) -> int:
        """Channels of the input; more than the image's if it contains a guide image too."""
        return self.channels

    @property
    def attention_widths(self) -> tuple[int, ...]:
        """Channels of each attention vector that `call` takes; () without attention."""
        return ()

    @property
    def receptive_radius(self) -> int | None:
        """Distance in pixels up to which an input affects an output: the margin of a tile.

        The attention, which averages over the whole image, is not included: with given attention
        vectors, a tile with this margin equals the same part of the whole. `None` if unknown; such
        a network can only process whole pictures.
        """
        return None

    @property
    def block_side(self) -> int:
        """Side of the blocks of pixels that the network works on.

        Tiles have to start at a block's edge, because the result of a network at half resolution
        depends on the position of the blocks.
        """
        return self.scale

    @property
    def width(self) -> int:
        """Channels of the widest part at the network's working resolution."""
        return self.filters

    @property
    def bytes_per_pixel(self) -> float:
        """Estimated working memory per pixel of the input."""
        # Half precision saves a quarter (measured), because there are float32 copies too.
        number = 4 if self.compute_dtype == "float32" else 3
        # Convolutions process channels in groups of 16: 67 channels take the memory of 80.
        maps = self.maps_alive * -(-self.width // 16) * 16
        return 4 * 4 * self.input_channels + maps * number / self.scale**2

    def in_pixels(self, radius):
        """Converts a radius in blocks to pixels, up to the far pixel of the last block."""
        return radius * self.scale + self.scale - 1

    def _check_input(self, input_shape):
        if len(input_shape) != 4 or input_shape[-1] != self.input_channels:
            raise ValueError(
                f"`images` must be (N, H, W, {self.input_channels}). "
                f"Received: input_shape={input_shape}"
            )
        if self.details == "authors" and not self.built:
            _take_authors_details(self)

    def _to_image(self, features, images):
        """Converts a residual at working resolution to float32 pixels, cropped to `images`."""
        residual = self.to_space(ops.cast(features, "float32"))
        if self.scale > 1:
            # Cropped as rows of numbers: LiteRT copies those whole, but pixels one by one.
            _, height, width, _ = ops.shape(images)
            rows, columns = ops.shape(residual)[1:3]
            residual = ops.reshape(residual, (-1, rows, columns * self.channels))
            residual = residual[:, :height, : width * self.channels]
            residual = ops.reshape(residual, (-1, height, width, self.channels))
        return residual

    def compute_output_shape(self, input_shape, *args, **kwargs):
        return (*input_shape[:-1], self.channels)

    def get_config(self):
        return {
            **keras.layers.Layer.get_config(self),
            "channels": self.channels,
            "scale": self.scale,
            **({} if self.details == "ours" else {"details": self.details}),
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(**config)

    @classmethod
    def from_preset(
        cls, preset: str, load_weights: bool = True, precision: str = "float32"
    ) -> Self:
        """Builds a network with trained weights; names and folders need no network access.

        Args:
            preset: name of weights ("gradnet_small_color_blind", see `gradnet models`), of an
                architecture ("gradnet_small": its color blind weights), "default", a folder
                written by `save_to_preset`, or the address of such a folder on a hub:
                "hf://USER/REPO[@REVISION]" or "kaggle://OWNER/MODEL/keras/VARIATION[/VERSION]",
                which needs the extra `[hub]`.
            load_weights: `False` keeps random initial weights.
            precision: dtype policy of the layers; variables and output are float32.

        Returns:
            A built model of this class. The naive denoiser of a GradNet with weights is frozen;
            that of a random one is trained along.

        Raises:
            UserError: an unknown name, weights that are not shipped or whose sha256 differs from
                their card's, a network of another class, a folder that names classes other than
                ours, Keras' and those that the program has registered, or a hub that cannot be
                reached.

        Example:

        >>> model = GradNet.from_preset("gradnet_small_color_blind")
        >>> denoised = model(noisy)  # float32 (N, H, W, 3), nominal range [0, 1]
        """
        from gradnet_tf.models.presets import load_preset

        return load_preset(preset, load_weights, precision, cls, f"{cls.__name__}.from_preset")

    def save_to_preset(self, folder: str | os.PathLike[str]) -> None:
        """Writes a folder that `from_preset`, `Denoiser` and `--model=` take, and hubs show.

        It holds `config.json`, `metadata.json` (with the sha256 of the weights),
        `model.weights.h5` and the model card `README.md`: that of the shipped weights if these
        are still unchanged, otherwise one with gaps for the author to fill.

        Args:
            folder: created if missing; an earlier preset in it is replaced.

        Raises:
            UserError: it holds files of these names that are not an earlier preset.
        """
        from gradnet_tf.models.presets import save_preset

        if not self.built:
            build_model(self)
        save_preset(self, folder)

    def export(
        self,
        filepath: str | os.PathLike[str],
        format: str = "tf_saved_model",
        verbose: bool | None = None,
        input_signature: Any = None,
        **kw: Any,
    ) -> None:
        """Keras' `export`, for images of any size, also of a network that was never called.

        Raises:
            ValueError: the network passes a noise level on to its naive denoiser, which Keras'
                export has no way to give.
        """
        if not self.built:
            build_model(self)
        signature = [keras.InputSpec("float32", (None, None, None, self.input_channels), 4)]
        if self.needs_sigma:
            # Keras passes the inputs in order.
            if list(inspect.signature(self.call).parameters)[1:2] != ["sigma"]:
                raise ValueError(
                    f"{type(self).__name__}: its naive denoiser needs the noise level, which "
                    "Keras' export cannot pass on. Save the model and use `python -m export "
                    "--formats=saved_model`, or wrap the naive denoiser in `FixedSigma`."
                )
            signature.append(keras.InputSpec("float32", (None,), 1, name="sigma"))
        if not self._called:  # Keras refuses to export it, although it is built.
            self(*(ops.zeros([side or 8 for side in spec.shape]) for spec in signature))
        given = signature if input_signature is None else input_signature
        super().export(filepath, format, verbose, given, **kw)

    @property
    def _default_save_signature(self):
        # Keras traces one of the images alone, whatever signature it exports.
        return None if self.needs_sigma else getattr(super(), "_default_save_signature", None)


def build_model(model):
    """Creates the variables of `model` for any batch, height and width, and returns it."""
    model.build((None, None, None, getattr(model, "input_channels", model.channels)))
    return model
