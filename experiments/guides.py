"""Builds the networks of the gradient and guide studies: GradNet with one change each."""

from collections.abc import Mapping

import keras

from experiments.study_runs import Form
from gradnet_tf.layers import GradientFilters
from gradnet_tf.models import DnCNN, GradNet, MSKResnet
from gradnet_tf.models.base import build_model
from gradnet_tf.models.estimates import EstimateInInput


def build_naive(form: Form, weights=None):
    """Returns ψ of a form's size, with the weights of a file if one is given."""
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
    """Returns GradNet of a form's size with changes, or only its body.

    Args:
        form: the sizes; `width` of a GradNet's body includes the gradient's channels.
        change: any of `filters` ("sobel"; `None` for a body without a guide), `learned`,
            `reduction`, `attention_position`, `batch_norm`, `global_skip`, `joint`, `more_width`
            (without a guide), `guide` ("gradient", or "estimate" for x̂ itself) and `naive` (`None`
            for the form's own ψ, "clean" for the clean image, or the name of shipped weights).
        weights: file with the weights of the form's ψ, or `None`.
    """
    size = form.network
    body = {name: size[name] for name in ("num_modules", "num_units", "scale")}
    body |= {"reduction": change.get("reduction", 2), "dtype": form.precision}
    if change.get("filters", "sobel") is None:
        # The body keeps its width: features take the place of the gradient's channels.
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
            batch_norm=change.get("batch_norm", False),
            global_skip=change.get("global_skip", True),
            **body,
        )
    )


def _naive(form: Form, kind: str | None, weights):
    if kind is None:
        return build_naive(form, weights)
    if kind == "clean":
        # The clean image follows the noisy one in the input: the best possible ψ.
        return EstimateInInput()
    from gradnet_tf.denoiser import load_denoiser

    return load_denoiser(kind, form.precision, runtime="keras").model
