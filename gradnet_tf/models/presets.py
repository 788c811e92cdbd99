"""Named configurations of the networks, and the recipe each is trained with by default."""

import dataclasses
import hashlib
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from gradnet_tf import weights
from gradnet_tf.utils.errors import UserError

if TYPE_CHECKING:
    from gradnet_tf.models.base import DenoisingModel

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Default training settings of a preset.

    Attributes:
        batch_size: images per step over all replicas.
        crop_size: side of the training crops in pixels.
        steps: optimizer steps of the main stage.
        optimizer: "adam" or "muon" (see `gradnet_tf.training.engines.optimizers`).
        learning_rate: the peak of the schedule.
        schedule: "cosine", "step" or "constant" (see `gradnet_tf.training.schedules`).
        naive_steps: optimizer steps of the naive denoiser's own stage.
        naive_share: fraction of a time budget for the naive denoiser's stage.
        joint: train the naive denoiser together with the main branch instead of freezing it.
        warmup_steps: first steps, over which the learning rate grows from zero.
        clip_norm: bound on the global norm of the gradients; 0 for none.
        epochs: length of each stage in epochs instead of steps; `None` for `steps`.
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
    warmup_steps: int = 100
    clip_norm: float = 1.0
    epochs: int | None = None


#: The paper's training of every network: the supplement's epochs, rates and crops; the batch of
#: the authors' script. No source clips gradients or warms up. See docs/paper.md.
PAPER_RECIPE = Recipe(batch_size=48, crop_size=80, epochs=50, warmup_steps=0, clip_norm=0.0)


@dataclasses.dataclass(frozen=True)
class Preset:
    """An architecture by name.

    Attributes:
        name: name on the command line.
        description: one line for lists and error messages.
        architecture: name of a class of `gradnet_tf.models`.
        arguments: keyword arguments of that class, except `channels` and `dtype`; `width` is F
            plus the gradient's channels.
        naive: preset of the naive denoiser, for GradNet: a name or a `Preset`.
        parameters: exact parameter count by number of channels.
        recipe: training defaults.
        needs_sigma: whether the network takes the noise level as a second input.
    """

    name: str
    description: str
    architecture: str
    arguments: Mapping[str, Any]
    parameters: Mapping[int, int]
    naive: "str | Preset | None" = None
    recipe: Recipe = Recipe()
    needs_sigma: bool = False


# Parameter counts by hand, with c(a, b) = 9ab + b for a 3×3 convolution and
# p(a, b) = ab + b for a 1×1; C color channels, D = C·scale²:
#   DnCNN(L, F)        c(D, F) + (L - 2)·c(F, F) + c(F, D)
#   body(W, N, m, r)   N·[m·2·c(W, W) + p(2W, 2W/r) + p(2W/r, 2W) + c(2W, W)]
#   MSKResnet          c(D, F) + body(F) + c(F, D)
#   GradNet            DnCNN + c(D, F) + body(F + D) + c(F + D, D)
#   FFDNet(L, F)       c(4C + 1, F) + (L - 2)·c(F, F) + c(F, 4C)
#   with batch normalization, hidden layers have n(a, b) = 9ab + 4b instead of c:
#   DnCNN              c(C, F) + (L - 2)·n(F, F) + c(F, C)
#   ADNet              n(C, F) + 14·n(F, F) + c(F, C) + p(2C, C)
#   CBDNet             c(C, 32) + 3·c(32, 32) + c(32, C) for σ̂, then with t(a, b) = 4ab + b
#                      c(2C, F) + c(F, F) + c(F, 2F) + 2·c(2F, 2F) + c(2F, 4F) + 5·c(4F, 4F)
#                      + t(4F, 2F) + 3·c(2F, 2F) + t(2F, F) + 2·c(F, F) + c(F, C)
# tests/models/test_presets.py verifies them.
_frozen = MappingProxyType
_MUON = Recipe(optimizer="muon", learning_rate=2e-3, schedule="cosine")
_SMALL = replace(_MUON, batch_size=4, steps=100_000, naive_steps=20_000, naive_share=0.1)
_ALL = (
    Preset(
        "gradnet",
        "the paper's network: 64 features, 4 modules of 4 ResUnits, DnCNN-20 as naive denoiser",
        "GradNet",
        _frozen({"filters": 64, "num_modules": 4, "num_units": 4, "reduction": 2}),
        _frozen({3: 2_362_911, 1: 2_258_867}),
        naive="dncnn",
    ),
    Preset(
        "gradnet_aligned",
        "the paper's network at 64 channels in total (61 features + 3 of the gradient)",
        "GradNet",
        _frozen({"width": 64, "num_modules": 4, "num_units": 4, "reduction": 2}),
        _frozen({3: 2_214_834, 1: 2_210_296}),
        naive="dncnn",
    ),
    Preset(
        "gradnet_small",
        "works on 2×2 blocks of pixels: a small fraction of the cost, good quality",
        "GradNet",
        _frozen({"width": 64, "num_modules": 2, "num_units": 3, "reduction": 2, "scale": 2}),
        _frozen({3: 671_164, 1: 658_484}),
        naive="dncnn_small",
        recipe=_SMALL,
    ),
    Preset(
        "gradnet_small_level",
        "gradnet_small that is told the noise level",
        "GradNet",
        _frozen(
            {
                "width": 64,
                "num_modules": 2,
                "num_units": 3,
                "reduction": 2,
                "scale": 2,
                "takes_level": True,
            }
        ),
        _frozen({3: 671_216, 1: 658_544}),
        naive="dncnn_small",
        recipe=_SMALL,
        needs_sigma=True,
    ),
    Preset(
        "gradnet_medium",
        "gradnet_small at 96 channels instead of 64: twice the cost, better quality",
        "GradNet",
        _frozen({"width": 96, "num_modules": 2, "num_units": 3, "reduction": 2, "scale": 2}),
        _frozen({3: 1_456_988, 1: 1_439_700}),
        naive="dncnn_small",
        recipe=_SMALL,
    ),
    Preset(
        "gradnet_tiny",
        "for tests, demonstrations and very small devices",
        "GradNet",
        _frozen({"width": 32, "num_modules": 2, "num_units": 1, "reduction": 2, "scale": 2}),
        _frozen({3: 96_076, 1: 90_308}),
        naive="dncnn_tiny",
        recipe=replace(_MUON, batch_size=8, steps=20_000, naive_steps=4_000, naive_share=0.2),
    ),
    Preset(
        "dncnn",
        "DnCNN with 20 layers of 64 channels, without batch normalization",
        "DnCNN",
        _frozen({"num_layers": 20, "filters": 64}),
        _frozen({3: 668_227, 1: 665_921}),
    ),
    Preset(
        "dncnn_small",
        "the naive denoiser of gradnet_small: 5 layers of 32 channels on 2×2 blocks",
        "DnCNN",
        _frozen({"num_layers": 5, "filters": 32, "scale": 2}),
        _frozen({3: 34_700, 1: 30_084}),
        recipe=replace(_MUON, batch_size=4, steps=20_000),
    ),
    Preset(
        "dncnn_tiny",
        "the naive denoiser of gradnet_tiny: 4 layers of 16 channels on 2×2 blocks",
        "DnCNN",
        _frozen({"num_layers": 4, "filters": 16, "scale": 2}),
        _frozen({3: 8_124, 1: 5_812}),
        recipe=replace(_MUON, batch_size=8, steps=4_000),
    ),
    Preset(
        "mskresnet",
        "GradNet's main branch alone, without the image gradient",
        "MSKResnet",
        _frozen({"filters": 64, "num_modules": 4, "num_units": 4, "reduction": 2}),
        _frozen({3: 1_546_691, 1: 1_544_385}),
    ),
    Preset(
        "dncnn_bn",
        "DnCNN with batch normalization, as published",
        "DnCNN",
        _frozen({"num_layers": 20, "filters": 64, "batch_norm": True}),
        _frozen({3: 671_683, 1: 669_377}),
    ),
    Preset(
        "ffdnet",
        "FFDNet as published, takes the noise level",
        "FFDNet",
        _frozen({}),
        _frozen({3: 852_108, 1: 485_316}),
        needs_sigma=True,
    ),
    Preset(
        "adnet",
        "ADNet as published: dilated convolutions, attention on the noise",
        "ADNet",
        _frozen({"filters": 64}),
        _frozen({3: 523_416, 1: 521_092}),
    ),
    Preset(
        "cbdnet",
        "CBDNet: estimates a noise level map, then a U-Net denoises with it; blind",
        "CBDNet",
        _frozen({"estimator_filters": 32, "filters": 64}),
        _frozen({3: 4_366_918, 1: 4_362_306}),
    ),
)
PRESETS: Mapping[str, Preset] = MappingProxyType({preset.name: preset for preset in _ALL})


def get_preset(name: str) -> Preset:
    """Returns the preset called `name`.

    Raises:
        UserError: for an unknown name; the message lists the valid names.
    """
    if name not in PRESETS:
        raise UserError(f"`preset` must be one of {', '.join(PRESETS)}. Received: preset={name!r}")
    return PRESETS[name]


def build_model(
    preset: str | Preset,
    channels: int = 3,
    precision: str = "float32",
    naive: Any = None,
    joint: bool | None = None,
) -> "DenoisingModel":
    """Builds the network of a preset with random initial weights.

    Args:
        preset: a name or a `Preset`.
        channels: 3 for RGB, 1 for gray.
        precision: "float32", "mixed_bfloat16" or "mixed_float16": the dtype
            policy of the layers; variables and the output stay float32.
        naive: a Keras model to use as naive denoiser instead of the preset's own.
        joint: whether the naive denoiser is trained too or frozen. By default a new one is trained,
            because the gradient of a frozen random one is that of the noisy image, and a given one
            is frozen.

    Returns:
        A built `keras.Model` from (N, H, W, channels) float32 to the same.

    Raises:
        UserError: for an unknown preset or precision, or a naive denoiser
            given to a network that has none.
    """
    from gradnet_tf import models

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
        naive_is_new = naive is None
        if naive_is_new:
            naive = build_model(preset.naive, channels, precision)
        naive.trainable = naive_is_new if joint is None else joint
        arguments["naive_denoiser"] = naive
    elif naive is not None:
        raise UserError(
            f"`naive` requires a GradNet preset. Received: preset={preset.name!r}, which has "
            "no naive denoiser"
        )
    model = getattr(models, preset.architecture)(**arguments)
    model.build((None, None, None, model.input_channels))
    return model


def parse_name(spec: str) -> tuple[str, int] | None:
    """Returns preset and channels of the name of weights or of an architecture, else `None`."""
    parts = weights.NAME.match(_weights_name(spec))
    if parts is None or parts["preset"] not in PRESETS:
        return None
    return parts["preset"], 1 if parts["colour"] == "gray" else 3


def _weights_name(spec: str) -> str:
    """Returns the full name for "default" and for an architecture, other names unchanged."""
    if spec == "default":
        return weights.DEFAULT
    return f"{spec}_color_blind" if spec in PRESETS else spec


def train_command(spec: str) -> tuple[str, str] | None:
    """Returns a name of weights and the command that trains them, `None` for an unknown name."""
    known, name = parse_name(spec), _weights_name(spec)
    if known is None:
        return None
    preset, channels = known
    sigma = weights.NAME.match(name)["sigma"]
    level = f"--sigma={sigma}" if sigma else "--sigma_min=0 --sigma_max=55"
    gray = " --channels=1" if channels == 1 else ""
    command = (
        f"python train.py --preset={preset} --dataset=bsds500 --data_dir=DATA "
        f"{level}{gray} --workdir=runs/{name}"
    )
    return name, command


def model_from_weights(preset: str, channels: int, precision: str, path: Path, naive=None):
    """Builds a preset under a dtype policy and loads a `.weights.h5` file into it.

    Args:
        preset: name of the architecture.
        channels: 3 or 1.
        precision: dtype policy of the layers. Variables are float32 for any dtype in the file.
        path: the weights.
        naive: a Keras model to use as naive denoiser instead of the preset's own.

    Returns:
        A built `keras.Model`.

    Raises:
        UserError: the file does not fit the preset.
    """
    model = build_model(preset, channels, precision, naive, joint=False)  # trained already
    try:
        model.load_weights(path)
    except (ValueError, OSError, KeyError, RuntimeError, OverflowError) as error:
        reason = str(error).splitlines()[0][:200]
        raise UserError(
            f"{path}: the weights do not fit preset {preset} of this version: {reason}"
        ) from error
    return model


def load_preset(preset: str, load_weights: bool, precision: str, wanted: type, caller: str):
    """Builds the network that `preset` names; see `DenoisingModel.from_preset`.

    Args:
        preset: name of shipped weights, of an architecture, "default", a folder of
            `save_to_preset`, or the address of one on a hub.
        load_weights: if false, the weights are random, and any preset is allowed.
        precision: dtype policy of the layers.
        wanted: required class of the network.
        caller: name of the calling function, for messages.

    Raises:
        UserError: an unknown name, weights that are not shipped or are damaged, a network of
            another class.
    """
    said = f"{caller}({preset!r})"
    if preset.startswith(weights.ADDRESSES) or Path(preset).is_dir():
        return _load_folder(preset, load_weights, precision, wanted, said)
    card = weights.find_card(preset)
    known = (card["preset"], card["channels"]) if card else parse_name(preset)
    if known is None:
        raise UserError(
            f"{said}: no such preset. Shipped weights: {weights.shipped_names()}.\n"
            f"Architectures: {', '.join(PRESETS)}."
        )
    _require_class(get_preset(known[0]), wanted, said)
    if not load_weights:
        return build_model(*known, precision=precision)
    if card is None:
        name, command = train_command(preset)
        raise UserError(
            f"{said}: the weights {name} are not shipped; these are: {weights.shipped_names()}.\n"
            f"load_weights=False builds the network with random weights. To train it:\n  {command}"
        )
    model = model_from_weights(*known, precision, weights.verified_path(card))
    model.loaded_from = Origin(card["name"], digest_of(model), card)
    return model


def _load_folder(preset: str, load_weights: bool, precision: str, wanted: type, said: str):
    """Builds the network of a folder that `save_to_preset` wrote; see `load_preset`."""
    from gradnet_tf import models
    from gradnet_tf.layers.serialized import rebuild
    from gradnet_tf.utils.containers import count_numbers
    from gradnet_tf.weights.hub import fetch
    from gradnet_tf.weights.preset_folder import CONFIG, WEIGHTS, read_folder

    models.register_all()
    path = fetch(preset) if preset.startswith(weights.ADDRESSES) else Path(preset)
    if not weights.is_preset_folder(path):
        raise UserError(
            f"{said}: the folder has no {CONFIG} and {WEIGHTS}, so it is not a preset.\n"
            "Expected a folder of save_to_preset; Denoiser(FOLDER) reads runs and exports."
        )
    if precision not in PRECISIONS:
        raise UserError(
            f"`precision` must be one of {', '.join(PRECISIONS)}. Received: precision={precision!r}"
        )
    folder = read_folder(path)
    try:
        count = count_numbers(folder.weights)
    except (OSError, ValueError) as error:
        raise UserError(f"{folder.weights}: not weights of Keras: {error}.") from error
    # A class that the program has registered is its own code, which the file only names.
    model = rebuild(folder.architecture, precision, str(path), count, registered=True)
    if not isinstance(model, wanted):
        kind = type(model).__name__
        raise UserError(f"{said}: a {kind}, not a {wanted.__name__}.\nUse {kind}.from_preset.")
    if getattr(model, "naive_denoiser", None) is not None:
        model.naive_denoiser.trainable = False
    if load_weights:
        try:
            model.load_weights(folder.weights)
        except (ValueError, OSError, KeyError) as error:
            reason = str(error).splitlines()[0][:200]
            raise UserError(f"{folder.weights}: do not fit {CONFIG}: {reason}") from error
        model.loaded_from = Origin(
            (folder.card or {}).get("name", path.name), digest_of(model), folder.card
        )
    return model


@dataclasses.dataclass(frozen=True)
class Origin:
    """Where the weights of a network came from.

    Attributes:
        name: of the shipped weights, or of the folder.
        digest: of the weights as they were loaded; see `digest_of`.
        card: card of the shipped weights, if it is known.
    """

    name: str
    digest: str
    card: Mapping[str, Any] | None


def digest_of(model: Any) -> str:
    """Returns the sha256 of all weights of a network, in the order of `model.weights`."""
    digest = hashlib.sha256()
    for values in model.get_weights():
        digest.update(values.tobytes())
    return digest.hexdigest()


def save_preset(model: Any, folder: str | os.PathLike) -> None:
    """Writes a preset folder; see `DenoisingModel.save_to_preset`."""
    from gradnet_tf.layers.serialized import describe
    from gradnet_tf.weights.hub_card import hub_card, own_card
    from gradnet_tf.weights.preset_folder import write_folder

    path = Path(folder)
    origin = getattr(model, "loaded_from", None)
    card = origin.card if origin and origin.digest == digest_of(model) else None
    if card is not None:
        text = hub_card(card)
    else:
        kind, name = type(model).__name__, origin.name if origin else None
        text = own_card(path.resolve().name, kind, model.count_params(), model.channels, name)
    write_folder(path, describe(model), model.save_weights, model.count_params(), card, text)


def _require_class(preset, wanted: type, said: str) -> None:
    from gradnet_tf import models

    if not issubclass(getattr(models, preset.architecture), wanted):
        raise UserError(
            f"{said}: {preset.name} is a {preset.architecture}, not a {wanted.__name__}.\n"
            f"Use {preset.architecture}.from_preset."
        )
