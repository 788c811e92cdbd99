r"""How often `--model=auto` picks what scores best, of its two weights and the picture as it is.

Example:
  python -m benchmarks.quality.model_choice --data_dir=DATA --max_images=17
Prints, for CBSD68 at several noise levels and for the sets with real noise, the mean PSNR of each
candidate and of the choice, and the share of pictures where the choice is within 0.1 dB of the
best. Above 50 dB the mean change is below a level of 255, so that more counts as 50.
"""

import dataclasses
from typing import Any

import numpy as np

from gradnet_tf import weights
from gradnet_tf.utils.command import run_script
from gradnet_tf.utils.options import CommandLine, Given

#: A choice counts as right within so many dB of the best.
_RIGHT = 0.1
#: The highest PSNR in dB that counts.
_MOST = 50.0
#: Cases: the set, and the level of the noise that is added (`None`: it has real noise).
_CASES = (
    *(("cbsd68", sigma) for sigma in (0.0, 5.0, 15.0, 25.0, 50.0)),
    ("polyu", None),
    ("renoir", None),
)


@dataclasses.dataclass(frozen=True)
class Options:
    """The command's options.

    Attributes:
        data_dir: folder of the data sets.
        max_images: use only this many images of each set, spread over it.
    """

    data_dir: str | None = None
    max_images: int | None = None


COMMAND_LINE = CommandLine(Options)


def psnr(image: np.ndarray, clean: np.ndarray) -> float:
    """PSNR in dB of the clipped image, at most `_MOST`."""
    error = float(np.mean((np.clip(image, 0, 1) - clean) ** 2))
    return min(_MOST, -10 * np.log10(max(error, 1e-12)))


def compare(image_set, indices, sigma, candidates: dict[str, Any], auto) -> np.ndarray:
    """Returns the PSNR (images, candidates + 2): of each, of the picture itself, of the choice."""
    from gradnet_tf.evaluation.evaluate_set import EvaluateConfig, clean_image, noisy_input

    config = EvaluateConfig(dataset=image_set.name, sigma=sigma)
    rows = []
    for index in indices:
        clean = clean_image(image_set, index)
        noisy = noisy_input(clean, image_set.noisy(index), image_set.names[index], config)
        results = [each.denoise(noisy[None])[0] for each in (*candidates.values(), auto)]
        scores = [psnr(result, clean) for result in results]
        rows.append([*scores[:-1], psnr(noisy, clean), scores[-1]])
    return np.array(rows)


def main(given: Given) -> None:
    """Prints a row per set and level, and the share of right choices over all pictures."""
    from datasets.sets.catalog import find_dataset
    from gradnet_tf.denoiser import load_denoiser

    options = given.make(Options)
    candidates = {name: load_denoiser(name) for name in (weights.DEFAULT, weights.CAMERA)}
    auto = load_denoiser(weights.AUTO)
    print(f"{'':14}{weights.DEFAULT:>26}{weights.CAMERA:>26}{'unchanged':>12}{'auto':>8}  right")
    right: list[bool] = []
    for dataset, sigma in _CASES:
        images = find_dataset(dataset, options.data_dir)
        count = min(options.max_images or len(images.names), len(images.names))
        indices = np.linspace(0, len(images.names) - 1, count).round().astype(int)
        scores = compare(images, indices, sigma, candidates, auto)
        best = scores[:, :-1].max(axis=1)
        good = (scores[:, -1] >= best - _RIGHT).tolist()
        right += good
        means = [f"{value:.2f}" for value in scores.mean(axis=0)]
        name = dataset if sigma is None else f"{dataset} σ={sigma:g}"
        line = f"{name:14}{means[0]:>26}{means[1]:>26}{means[2]:>12}{means[3]:>8}"
        print(f"{line}  {sum(good)} of {count}", flush=True)
    print(f"right: {np.mean(right):.1%} of {len(right)} pictures")


if __name__ == "__main__":
    run_script(main, __doc__, COMMAND_LINE)
