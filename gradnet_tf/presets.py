"""Named configurations of the networks, and the recipe each is trained with by default."""

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from gradnet_tf.errors import UserError

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What `train.py` does where its flags are silent.

    Attributes:
        batch_size: images per step over all replicas.
        crop_size: side of the training crops in pixels.
        steps: optimiser steps of the main stage.
        optimizer: "adam" or "muon" (see `gradnet_tf.training.optimizers`).
        learning_rate: the peak of the schedule.
        schedule: "cosine", "step" or "constant" (see `gradnet_tf.training.schedules`).
        naive_steps: optimiser steps of the naive denoiser's own stage.
        naive_share: part of a time budget that the naive denoiser's stage gets.
        joint: train the naive denoiser along with the main branch, instead of freezing it.
    """

    batch_size: int = 64
    crop_size: int = 80
    steps: int = 300_000
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    schedule: str = "step"
    naive_steps: int = 150_000
    naive_share: float = 0.3
    joint: bool = False


@dataclasses.dataclass(frozen=True)
class Preset:
    """An architecture by name.

    Attributes:
        name: the name on the command line.
        description: one line for lists and error messages.
        architecture: name of a class of `gradnet_tf.models`.
        arguments: keyword arguments of that class, less `channels` and `dtype`;
            `width` stands for F plus the gradient's channels.
        naive: preset of the naive denoiser, for GradNet.
        parameters: exact parameter count by number of channels.
        recipe: training defaults.
    """

    name: str
    description: str
    architecture: str
    arguments: Mapping[str, Any]
    parameters: Mapping[int, int]
    naive: str | None = None
    recipe: Recipe = Recipe()


def _preset(name, description, architecture, arguments, parameters, **more):
    return Preset(
        name,
        description,
        architecture,
        MappingProxyType(arguments),
        MappingProxyType(parameters),
        **more,
    )


# Parameter counts by hand, with c(a, b) = 9ab + b for a 3×3 convolution and
# p(a, b) = ab + b for a 1×1; C colour channels, D = C·scale²:
#   DnCNN(L, F)        c(D, F) + (L - 2)·c(F, F) + c(F, D)
#   body(W, N, m, r)   N·[m·2·c(W, W) + p(2W, 2W/r) + p(2W/r, 2W) + c(2W, W)]
#   MSKResnet          c(D, F) + body(F) + c(F, D)
#   GradNet            DnCNN + c(D, F) + body(F + D) + c(F + D, D)
#   FFDNet(L, F)       c(4C + 1, F) + (L - 2)·c(F, F) + c(F, 4C)
#   with normalisation n(a, b) = 9ab + 4b in place of the c of a hidden layer:
#   DnCNN              c(C, F) + (L - 2)·n(F, F) + c(F, C)
#   ADNet              n(C, F) + 14·n(F, F) + c(F, C) + p(2C, C)
#   CBDNet             c(C, 32) + 3·c(32, 32) + c(32, C) for σ̂, then with t(a, b) = 4ab + b
#                      c(2C, F) + c(F, F) + c(F, 2F) + 2·c(2F, 2F) + c(2F, 4F) + 5·c(4F, 4F)
#                      + t(4F, 2F) + 3·c(2F, 2F) + t(2F, F) + 2·c(F, F) + c(F, C)
# tests/test_presets.py repeats the sums with their numbers.
_ALL = (
    _preset(
        "gradnet",
        "the paper's network: 64 features, 4 modules of 4 ResUnits, DnCNN-20 as naive denoiser",
        "GradNet",
        {"filters": 64, "num_modules": 4, "num_units": 4, "reduction": 2},
        {3: 2_362_911, 1: 2_258_867},
        naive="dncnn",
    ),
    _preset(
        "gradnet_aligned",
        "the paper's network at 64 channels in all (61 features + 3 of the gradient)",
        "GradNet",
        {"width": 64, "num_modules": 4, "num_units": 4, "reduction": 2},
        {3: 2_214_834, 1: 2_210_296},
        naive="dncnn",
    ),
    _preset(
        "gradnet_small",
        "works on 2×2 blocks of pixels: a small fraction of the cost, good quality",
        "GradNet",
        {"width": 64, "num_modules": 2, "num_units": 3, "reduction": 2, "scale": 2},
        {3: 671_164, 1: 658_484},
        naive="dncnn_small",
        recipe=Recipe(
            batch_size=4,
            steps=100_000,
            optimizer="muon",
            learning_rate=2e-3,
            schedule="cosine",
            naive_steps=20_000,
            naive_share=0.1,
        ),
    ),
    _preset(
        "gradnet_tiny",
        "for tests, demonstrations and very small devices",
        "GradNet",
        {"width": 32, "num_modules": 2, "num_units": 1, "reduction": 2, "scale": 2},
        {3: 96_076, 1: 90_308},
        naive="dncnn_tiny",
        recipe=Recipe(
            batch_size=8,
            steps=20_000,
            optimizer="muon",
            learning_rate=2e-3,
            schedule="cosine",
            naive_steps=4_000,
            naive_share=0.2,
        ),
    ),
    _preset(
        "dncnn",
        "DnCNN with 20 layers of 64 channels, without batch normalisation",
        "DnCNN",
        {"num_layers": 20, "filters": 64},
        {3: 668_227, 1: 665_921},
    ),
    _preset(
        "dncnn_small",
        "the naive denoiser of gradnet_small: 5 layers of 32 channels on 2×2 blocks",
        "DnCNN",
        {"num_layers": 5, "filters": 32, "scale": 2},
        {3: 34_700, 1: 30_084},
        recipe=Recipe(4, steps=20_000, optimizer="muon", learning_rate=2e-3, schedule="cosine"),
    ),
    _preset(
        "dncnn_tiny",
        "the naive denoiser of gradnet_tiny: 4 layers of 16 channels on 2×2 blocks",
        "DnCNN",
        {"num_layers": 4, "filters": 16, "scale": 2},
        {3: 8_124, 1: 5_812},
        recipe=Recipe(8, steps=4_000, optimizer="muon", learning_rate=2e-3, schedule="cosine"),
    ),
    _preset(
        "mskresnet",
        "GradNet's main branch alone, without the image gradient",
        "MSKResnet",
        {"filters": 64, "num_modules": 4, "num_units": 4, "reduction": 2},
        {3: 1_546_691, 1: 1_544_385},
    ),
    _preset(
        "dncnn_bn",
        "DnCNN with batch normalisation, as published",
        "DnCNN",
        {"num_layers": 20, "filters": 64, "batch_norm": True},
        {3: 671_683, 1: 669_377},
    ),
    _preset(
        "ffdnet",
        "FFDNet as published, told the noise level",
        "FFDNet",
        {},
        {3: 852_108, 1: 485_316},
    ),
    _preset(
        "adnet",
        "ADNet as published: dilated convolutions, attention on the noise",
        "ADNet",
        {"filters": 64},
        {3: 523_416, 1: 521_092},
    ),
    _preset(
        "cbdnet",
        "CBDNet: estimates a noise level map, then a U-Net denoises with it; blind",
        "CBDNet",
        {"estimator_filters": 32, "filters": 64},
        {3: 4_366_918, 1: 4_362_306},
    ),
)
PRESETS: Mapping[str, Preset] = MappingProxyType({preset.name: preset for preset in _ALL})


def get_preset(name: str) -> Preset:
    """Returns the preset called `name`.

    Raises:
        UserError: for an unknown name; the message lists the names there are.
    """
    if name not in PRESETS:
        raise UserError(f"`preset` must be one of {', '.join(PRESETS)}. Received: preset={name!r}")
    return PRESETS[name]


def build_model(preset, channels=3, precision="float32", naive=None, joint=False):
    """Builds the network of a preset with fresh weights.

    Args:
        preset: a name or a `Preset`.
        channels: 3 for RGB, 1 for grey.
        precision: "float32", "mixed_bfloat16" or "mixed_float16": the dtype
            policy of the layers; variables and the output stay float32.
        naive: a Keras model to use as naive denoiser instead of the preset's own.
        joint: leave the naive denoiser trainable; it is frozen otherwise.

    Returns:
        A built `keras.Model` from (N, H, W, channels) float32 to the same.

    Raises:
        UserError: for an unknown preset or precision, or a naive denoiser
            given to a network that has none.
    """
    from gradnet_tf import models
    from gradnet_tf.models.base import build_model as build_variables

    preset = get_preset(preset) if isinstance(preset, str) else preset
    if precision not in PRECISIONS:
        raise UserError(
            f"`precision` must be one of {', '.join(PRECISIONS)}. Received: precision={precision!r}"
        )
    arguments = {**preset.arguments, "channels": channels, "dtype": precision}
    if "width" in arguments:
        depth = channels * arguments.get("scale", 1) ** 2
        arguments["filters"] = arguments.pop("width") - depth
    if preset.architecture == "GradNet":
        if naive is None:
            naive = build_model(preset.naive, channels, precision)
        naive.trainable = joint
        arguments["naive_denoiser"] = naive
    elif naive is not None:
        raise UserError(
            f"`naive` goes with a GradNet preset. Received: preset={preset.name!r}, which has "
            "no naive denoiser"
        )
    return build_variables(getattr(models, preset.architecture)(**arguments))
