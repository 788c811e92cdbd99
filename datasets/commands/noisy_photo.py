"""Writes one noisy photograph to a file, for trying a denoiser by hand.

    python -m datasets.commands.noisy_photo --dataset=sample --sigma=25 --output=noisy.png

The noise is the evaluation's own for that image and seed. A file holds eight bits, so the
noisy values are clipped to [0, 1] and rounded here, which nothing else in the project does.
"""

import argparse
import sys
from collections.abc import Sequence

import numpy as np

from datasets.resolve import find_dataset
from gradnet_tf.degradations import add_gaussian_noise
from gradnet_tf.degradations.sampling import evaluation_noise
from gradnet_tf.images.image_files import to_float, to_uint8, write_image
from gradnet_tf.utils.command import guarded
from gradnet_tf.utils.errors import UserError


def noisy_uint8(clean: np.ndarray, sigma: float, seed: int, name: str) -> np.ndarray:
    """Adds the evaluation's noise to an image and rounds it to eight bits.

    Args:
        clean: uint8 image, H×W×C.
        sigma: noise level on the 0-255 scale.
        seed: the evaluation's seed.
        name: file name of the image; its stem keys the noise.

    Returns:
        uint8 image of the same shape.
    """
    noise = evaluation_noise(clean.shape, seed, name)
    return to_uint8(add_gaussian_noise(to_float(clean), noise, sigma))


def write_noisy_photo(
    output: str,
    dataset: str = "sample",
    data_dir: str | None = None,
    split: str | None = None,
    index: int = 0,
    sigma: float = 25.0,
    seed: int = 0,
) -> str:
    """Writes image `index` of a set with noise to `output` and returns the image's name.

    Raises:
        UserError: for a set, split or index that does not exist, or σ outside [0, 255].
    """
    if not 0 <= sigma <= 255:
        raise UserError(
            f"`sigma` must be in [0, 255], on the 0-255 scale. Received: sigma={sigma:g}."
        )
    images = find_dataset(dataset, data_dir, split=split)
    if not 0 <= index < len(images.names):
        raise UserError(
            f"`index` must be from 0 to {len(images.names) - 1} for {images.name} "
            f"({images.split}). Received: index={index}."
        )
    name = images.names[index]
    write_image(output, noisy_uint8(images.load(index), sigma, seed, name))
    return name


def main(arguments: Sequence[str] | None = None) -> int:
    """Parses the command line and writes the file; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m datasets.commands.noisy_photo", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--output", required=True, help="image file to write")
    parser.add_argument("--dataset", default="sample", help="name of the set")
    parser.add_argument("--data_dir", help="folder that holds the set, where it needs one")
    parser.add_argument("--split", help="split of the set; by default its test images")
    parser.add_argument("--index", type=int, default=0, help="which image, in name order from 0")
    parser.add_argument("--sigma", type=float, default=25.0, help="noise level, 0-255 scale")
    parser.add_argument("--seed", type=int, default=0, help="seed of the noise")
    options = parser.parse_args(arguments)
    name = write_noisy_photo(**vars(options))
    print(f"{options.output}: {name} with noise of sigma={options.sigma:g}")
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
