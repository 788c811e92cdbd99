"""Compares models on photographs that the default weights were trained on and on similar others.

Example:
  python -m benchmarks.quality.generalization --data_dir=DATA --models=default,PEERS/ffdnet/net.pth

The default is trained on the photographs of `free_photos` under CC0 and CC-BY. Some of the
collections they come from also have photographs under CC-BY-SA, which it has never seen. If a model
falls behind another only on those, it needs more photographs; if it falls behind on both, it needs
a longer training or a larger network. Scored are the middles of scaled photographs, as training
scales them too.
"""

import dataclasses

import numpy as np

from gradnet_tf.utils.command import run_script
from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.options import CommandLine, Given, option


@dataclasses.dataclass(frozen=True)
class Options:
    """The command's options.

    Attributes:
        data_dir: folder of the data sets, with free_photos in it.
        models: names or paths; the differences are to the first one.
        sigma: noise level on the 0-255 scale.
        scales: sizes of the photographs relative to their files.
        crop: side of the square from the middle, in pixels.
        max_images: use only the first photographs of each group.
    """

    data_dir: str | None = None
    models: tuple[str, ...] = ("default",)
    sigma: float = option(25.0, least=0)
    scales: tuple[float, ...] = (0.7, 0.35)
    crop: int = option(288, least=16)
    max_images: int | None = option(None, least=1)


COMMAND_LINE = CommandLine(Options)


def collection(name: str) -> str:
    """Returns the collection of a photograph, the start of its file's name."""
    return name.split("__")[0]


def seen_and_unseen(photographs, permissive) -> dict[str, list[int]]:
    """Splits photographs into those that the default was trained on and comparable others.

    Args:
        photographs: the `ImageSet` of all photographs.
        permissive: the `ImageSet` of those that the default was trained on.

    Returns:
        Indices into `photographs` by "seen" and "unseen", only from collections with both.
    """
    trained = set(permissive.names)
    groups = {"seen": [], "unseen": []}
    for index, name in enumerate(photographs.names):
        groups["seen" if name in trained else "unseen"].append(index)
    sources = [{collection(photographs.names[i]) for i in group} for group in groups.values()]
    both = set.intersection(*sources)
    return {
        key: [index for index in group if collection(photographs.names[index]) in both]
        for key, group in groups.items()
    }


def middle(image: np.ndarray, crop: int) -> np.ndarray:
    """Cuts out the middle of an image, at most `crop` pixels a side."""
    top, left = (max(0, side - crop) // 2 for side in image.shape[:2])
    return image[top : top + crop, left : left + crop]


def mean_psnr(denoiser, images: list[np.ndarray], sigma: float) -> float:
    """Returns the mean PSNR in dB after noise of one level, image i with seed i; not clipped.

    Args:
        denoiser: a `Denoiser`.
        images: uint8 [H, W, 3].
        sigma: the noise's standard deviation on the 0-255 scale.
    """
    scores = []
    for seed, image in enumerate(images):
        clean = np.float32(image) / 255
        noise = np.random.default_rng(seed).standard_normal(clean.shape, np.float32)
        noisy = (clean + noise * np.float32(sigma / 255))[None]
        level = sigma if denoiser.needs_sigma else None
        denoised = np.clip(denoiser.denoise(noisy, level)[0], 0, 1)
        scores.append(-10 * np.log10(np.mean((denoised - clean) ** 2, dtype=np.float64)))
    return float(np.mean(scores))


def main(given: Given) -> None:
    """Prints a row for each scale and group."""
    options = given.make(Options)
    from datasets.pipeline.mixture import at_scales
    from datasets.sets.catalog import find_dataset
    from gradnet_tf.denoiser import load_denoiser

    photographs = find_dataset("free_photos", options.data_dir, "train")
    permissive = find_dataset("free_photos_cc_by", options.data_dir, "train")
    groups = seen_and_unseen(photographs, permissive)
    if not all(groups.values()):
        raise UserError("free_photos has no collection with photographs of both kinds of licence.")
    denoisers = [load_denoiser(name, precision="float32") for name in options.models]
    print("| scale | photographs | " + " | ".join(one.name for one in denoisers) + " |")
    print("|---|---|" + "---:|" * len(denoisers))
    for scale in options.scales:
        scaled = at_scales(photographs, [scale])
        for group, indices in groups.items():
            chosen = indices[: options.max_images]
            images = [middle(scaled.load(i), options.crop) for i in chosen]
            first, *others = [mean_psnr(one, images, options.sigma) for one in denoisers]
            cells = [f"{first:.2f}", *(f"{score:.2f} ({score - first:+.2f})" for score in others)]
            print(f"| {scale:g} | {len(images)} {group} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    run_script(main, __doc__, COMMAND_LINE)
