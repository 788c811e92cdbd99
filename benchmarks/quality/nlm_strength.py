r"""Finds the strength h of OpenCV's non-local means for a noise level: a table of PSNR.

Example:
  python -m benchmarks.quality.nlm_strength --split=train --crop=256
Rows are noise levels, columns h / σ, over the photographs of the sample set (or --dataset).
`gradnet_tf.models.classical.NLM_STRENGTH` is the result; docs/results.md has the table.
"""

import dataclasses
import statistics

from benchmarks.quality.attention_vectors import psnr
from gradnet_tf.utils.command import run_script
from gradnet_tf.utils.options import CommandLine, Given


@dataclasses.dataclass(frozen=True)
class Options:
    """The command's options.

    Attributes:
        dataset: photographs to measure on.
        data_dir: folder that holds the data set, or the set's parent.
        split: split of the set; parameters must not be chosen on the test split.
        max_images: use the first so many images in byte order.
        crop: side of the center crop of each image.
        seed: seed of the noise.
    """

    dataset: str = "sample"
    data_dir: str | None = None
    split: str = "train"
    max_images: int | None = None
    crop: int = 256
    seed: int = 0


COMMAND_LINE = CommandLine(Options)

FACTORS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2)
SIGMAS = (15, 25, 50)


def mean_psnr(pairs, denoise) -> float:
    """Returns the mean PSNR in dB of `denoise` (uint8 to uint8) over (noisy, clean) images."""
    from gradnet_tf.images.image_files import to_float, to_uint8

    return statistics.fmean(
        psnr(to_float(denoise(to_uint8(noisy))), clean) for noisy, clean in pairs
    )


def joint(strength: float):
    """Non-local means that compares patches in all channels at once; as `opencv_nlm` does."""
    import cv2

    def denoise(pixels):
        denoised = cv2.fastNlMeansDenoising(pixels, None, strength, 7, 21)
        return denoised.reshape(pixels.shape)

    return denoise


def lab(strength: float):
    """OpenCV's function for color images, which separates lightness and color (Lab)."""
    import cv2

    def denoise(pixels):
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
        denoised = cv2.fastNlMeansDenoisingColored(pixels, None, strength, strength, 7, 21)
        return cv2.cvtColor(denoised, cv2.COLOR_BGR2RGB)

    return denoise


def main(given: Given) -> None:
    """Prints a table for gray and two for color."""
    options = given.make(Options)
    from datasets.pipeline.batches import validation_pairs
    from datasets.sets.catalog import find_dataset
    from gradnet_tf.evaluation.evaluate_set import require_fitting_noise

    for channels, method in ((1, joint), (3, joint), (3, lab)):
        images = find_dataset(
            options.dataset, options.data_dir, options.split, options.max_images, channels
        )
        require_fitting_noise(images, SIGMAS[0])
        color = "color" if channels == 3 else "gray"
        print(f"{color}, {method.__name__}: {len(images)} images of {images.name}")
        print("sigma  " + "  ".join(f"h={factor:.1f}σ" for factor in FACTORS))
        for sigma in SIGMAS:
            pairs = validation_pairs(images, sigma, options.seed, options.crop)
            row = [mean_psnr(pairs, method(factor * sigma)) for factor in FACTORS]
            print(f"{sigma:5}  " + "  ".join(f"{value:6.2f}" for value in row), flush=True)


if __name__ == "__main__":
    run_script(main, __doc__, COMMAND_LINE)
