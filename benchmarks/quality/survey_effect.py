"""Measures what the survey of a picture's noise changes in the scores of data sets.

Example:
  python -m benchmarks.quality.survey_effect --data_dir=DATA --sets=cbsd68:25,set12:25,polyu,renoir

`gradnet_tf.images.noise_survey` decides from the picture alone what is left out of the attention
and what is returned unchanged. Each set is scored with it and without it, with the same noise; the
table has both means of PSNR and how many images differ.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

from gradnet_tf import weights
from gradnet_tf.utils.command import run_script
from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.options import CommandLine, Given, option


@dataclasses.dataclass(frozen=True)
class Options:
    """The command's options.

    Attributes:
        data_dir: folder of the data sets.
        sets: names of sets, with ":σ" where noise is added; the default split of each.
        model: name or path of the model.
        max_images: use only the first images of each set.
        runtime: runtime of the shipped weights.
    """

    data_dir: str | None = None
    sets: tuple[str, ...] = ("cbsd68:25", "set12:25", "polyu", "renoir")
    model: str = "default"
    max_images: int | None = option(None, least=1)
    runtime: str = "auto"


COMMAND_LINE = CommandLine(Options)


class WithoutSurvey:
    """A denoiser whose pictures are all taken for noisy everywhere.

    Args:
        denoiser: a `Denoiser`; not changed.
    """

    def __init__(self, denoiser):
        self._denoiser = denoiser

    def __getattr__(self, name):
        return getattr(self._denoiser, name)

    def denoise(self, images, sigma=None, **options):
        """See `Denoiser.denoise`."""
        before = self._denoiser.averages_picture
        self._denoiser.averages_picture = False
        try:
            return self._denoiser.denoise(images, sigma, **options)
        finally:
            self._denoiser.averages_picture = before


def effect(denoiser, image_set, sigma: float | None, max_images: int | None) -> dict[str, Any]:
    """Scores a set with and without the survey.

    Args:
        denoiser: a `Denoiser`.
        image_set: see `gradnet_tf.evaluation.evaluate_set.ImageSet`.
        sigma: level of the added noise, `None` for a set with real noise.
        max_images: use only the first images.

    Returns:
        `with` and `without`, mean PSNR in dB; `images`; `changed`, how many scores differ.
    """
    from gradnet_tf.evaluation.evaluate_set import EvaluateConfig, evaluate

    config = EvaluateConfig(dataset=image_set.name, sigma=sigma, max_images=max_images)
    found = [evaluate(each, image_set, config) for each in (denoiser, WithoutSurvey(denoiser))]
    scores: Sequence = [[row["psnr"] for row in result["images"]] for result in found]
    return {
        "with": found[0]["mean"]["psnr"],
        "without": found[1]["mean"]["psnr"],
        "images": len(scores[0]),
        "changed": sum(a != b for a, b in zip(*scores, strict=True)),
    }


def main(given: Given) -> None:
    """Prints a row for each set."""
    options = given.make(Options)
    from datasets.sets.catalog import find_dataset
    from gradnet_tf.denoiser import load_denoiser
    from gradnet_tf.evaluation.evaluate_set import require_fitting_noise

    print("| set | images | with the survey, dB | without, dB | change, dB | images that differ |")
    print("|---|---:|---:|---:|---:|---:|")
    for text in options.sets:
        name, _, level = text.partition(":")
        try:
            sigma = float(level) if level else None
        except ValueError:
            raise UserError(f"--sets: expected NAME or NAME:σ. Received: {text}.") from None
        image_set = find_dataset(name, options.data_dir, None, options.max_images)
        require_fitting_noise(image_set, sigma)
        gray = image_set.channels == 1 and options.model == "default"
        model = weights.GRAY if gray else options.model
        denoiser = load_denoiser(model, runtime=options.runtime)
        found = effect(denoiser, image_set, sigma, options.max_images)
        print(
            f"| {name}{f', σ = {sigma:g}' if level else ''} | {found['images']} | "
            f"{found['with']:.3f} | {found['without']:.3f} | "
            f"{found['with'] - found['without']:+.3f} | {found['changed']} |",
            flush=True,
        )


if __name__ == "__main__":
    run_script(main, __doc__, COMMAND_LINE)
