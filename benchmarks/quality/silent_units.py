r"""Counts the hidden channels of ResUnits that fire, which training may silence for good.

Example:
  python -m benchmarks.quality.silent_units --models=default,runs/mine --data_dir=DATA
The pictures are noisy crops over the range of levels that a model was trained for, some of them
darkened, and pictures of extreme values, as for exported files (`export.litert.silent_channels`).
A channel counts as silent if it stays below zero before its ReLU on all of them.
"""

import dataclasses

from gradnet_tf.utils.command import run_script
from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.options import CommandLine, Given


@dataclasses.dataclass(frozen=True)
class Options:
    """The command's options.

    Attributes:
        models: GradNets or MSKResnets; anything that evaluate.py's --model takes.
        dataset: the set of clean images.
        data_dir: folder that holds the image sets.
        seed: seed of crops, levels and noise.
    """

    models: tuple[str, ...] = ("default",)
    dataset: str = "sample"
    data_dir: str | None = None
    seed: int = 0


COMMAND_LINE = CommandLine(Options)


def firing(denoiser, images, seed: int = 0) -> list[tuple[int, int]]:
    """Returns for each ResUnit how many of its hidden channels fire, and how many it has.

    Args:
        denoiser: a `Denoiser` of a Keras model.
        images: an `ImageSet` of clean images.
        seed: seed of crops, levels and noise.

    Raises:
        UserError: the network has no ResUnits without batch normalization.
    """
    from export.litert.silent_channels import LEVELS, living_channels, noisy_crops

    crops = noisy_crops(images, denoiser.source.get("trained_sigma") or LEVELS, seed)
    living = living_channels(denoiser.model, crops)
    modules = getattr(getattr(denoiser.model, "body", None), "residual_modules", ())
    units = [unit for module in modules for unit in module.units if id(unit) in living]
    if not units:
        raise UserError(f"{denoiser.name}: expected a network of ResUnits, such as gradnet_small.")
    return [(len(living[id(unit)]), unit.filters) for unit in units]


def main(given: Given) -> None:
    """Prints a row for each model."""
    options = given.make(Options)
    from datasets.sets.catalog import find_dataset
    from gradnet_tf.denoiser import load_denoiser

    print("| model | channels that fire, by unit | of |")
    print("|---|---|---:|")
    for model in options.models:
        denoiser = load_denoiser(model, "float32", runtime="keras")
        images = find_dataset(options.dataset, options.data_dir, channels=denoiser.channels)
        found = firing(denoiser, images, options.seed)
        counts = ", ".join(str(count) for count, _ in found)
        print(f"| {model} | {counts} | {sum(most for _, most in found)} |", flush=True)


if __name__ == "__main__":
    run_script(main, __doc__, COMMAND_LINE)
