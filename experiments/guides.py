"""Builds the networks of the gradient and of the guide study: GradNet with one thing changed."""

from collections.abc import Mapping

import keras
from keras import ops

from experiments.study_runs import Form
from gradnet_tf.layers import GradientFilters
from gradnet_tf.models import DnCNN, GradNet, MSKResnet
from gradnet_tf.models.base import DenoisingModel, build_model


class CleanImage(DenoisingModel):
    """Returns the clean image, which follows the noisy one in the input: the best ψ there is.

    Call arguments:
        images: (N, H, W, 2·C) float, the noisy image first.

    Output shape:
        (N, H, W, C), float32.
    """

    @property
    def input_channels(self):
        """Channels of the input: those of the noisy and those of the clean image."""
        return 2 * self.channels

    def build(self, input_shape):
        self._check_input(input_shape)
        self.built = True

    def call(self, images):
        return ops.cast(images[..., self.channels :], "float32")


def build_naive(form: Form, weights=None):
    """Returns ψ of a form's size, with the weights of that file if one is named."""
    size = form.network
    model = build_model(
        DnCNN(
            size["naive_layers"], size["naive_filters"], scale=size["scale"], dtype=form.precision
        )
    )
    if weights is not None:
        model.load_weights(weights)
    return model


def build_guided(form: Form, change: Mapping, weights=None):
    """Returns GradNet of a form's size with changes, or its body alone.

    Args:
        form: the sizes; a GradNet's body is `width` wide with the gradient's
            channels in it.
        change: of `filters` ("sobel"; `None` for a body without any guide),
            `learned`, `reduction`, `attention_position`, `joint`, `more_width`
            (without a guide), and `guide`: "gradient", or "estimate" for x̂
            itself in its place; `naive`: `None` for the form's own ψ, "clean"
            for the clean image, else the name of weights that ship.
        weights: file with those of the form's ψ, or `None`.
    """
    size = form.network
    body = {name: size[name] for name in ("num_modules", "num_units", "scale")}
    body |= {"reduction": change.get("reduction", 2), "dtype": form.precision}
    if change.get("filters", "sobel") is None:
        # The body keeps its width: features stand where the gradient's channels would.
        return build_model(MSKResnet(size["width"] + change.get("more_width", 0), **body))
    naive = _naive(form, change.get("naive"), weights)
    naive.trainable = change.get("joint", False)
    if change.get("guide", "gradient") == "estimate":
        layer = keras.layers.Identity(dtype="float32", name="estimate")
    else:
        layer = GradientFilters(
            change.get("filters", "sobel"), change.get("learned", False), name="gradient_filters"
        )
    return build_model(
        GradNet(
            naive,
            size["width"] - 3 * size["scale"] ** 2,
            attention_position=change.get("attention_position", "before_fusion"),
            gradient_layer=layer,
            **body,
        )
    )


def _naive(form: Form, kind: str | None, weights):
    if kind is None:
        return build_naive(form, weights)
    if kind == "clean":
        return CleanImage()
    from gradnet_tf.denoiser import load_denoiser

    return load_denoiser(kind, form.precision, runtime="keras").model
