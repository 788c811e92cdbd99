r"""Compares sources of the attention vectors of large pictures: a table of PSNR.

Example:
  python -m benchmarks.quality.attention_vectors --data_dir=DATA --max_images=3
Each picture is denoised with vectors pooled over the whole picture (as in the paper) and over
samples of it. The pictures are CBSD68 enlarged and as mosaics, the photographs of the sample set,
and those of RENOIR with real noise, single and as a mosaic. docs/results.md has the results.
"""

import dataclasses

from gradnet_tf.utils.command import run_script
from gradnet_tf.utils.options import CommandLine, Given


@dataclasses.dataclass(frozen=True)
class Options:
    """The command's options.

    Attributes:
        model: a network with attention.
        data_dir: folder with CBSD68 and RENOIR.
        sigma: noise level, 0-255 scale; RENOIR has real noise.
        max_images: number of pictures of each kind.
        enlarge: factor by which CBSD68 is enlarged.
    """

    model: str = "gradnet_small_color_blind"
    data_dir: str | None = None
    sigma: float = 25.0
    max_images: int = 3
    enlarge: int = 3


COMMAND_LINE = CommandLine(Options)


_MOSAIC = 8


def samplings():
    """Returns the compared samplings by name: functions from a picture to a batch to pool over."""
    import numpy as np

    def crops(noisy, tops, lefts, side):
        return np.stack(
            [noisy[t : t + side, x : x + side] for t, x in zip(tops, lefts, strict=True)]
        )

    def random(count, side):
        def sample(noisy):
            draw = np.random.default_rng(0)
            height, width = noisy.shape[:2]
            tops = draw.integers(0, height - side + 1, count)
            return crops(noisy, tops, draw.integers(0, width - side + 1, count), side)

        return sample

    def even(rows, columns, side):
        def sample(noisy):
            tops = np.linspace(0, noisy.shape[0] - side, rows).astype(int)
            lefts = np.linspace(0, noisy.shape[1] - side, columns).astype(int)
            return crops(noisy, np.repeat(tops, columns), np.tile(lefts, rows), side)

        return sample

    def strided(noisy):
        step = max(1, round((noisy.shape[0] * noisy.shape[1] / (32 * 80**2)) ** 0.5))
        return noisy[None, ::step, ::step]

    return {
        "all of the picture": lambda noisy: noisy[None],
        "8 random crops of 80": random(8, 80),
        "32 random crops of 80": random(32, 80),
        "128 random crops of 80": random(128, 80),
        "32 crops of 80 in a grid": even(4, 8, 80),
        "every n-th pixel": strided,
    }


def pictures(options: Options):
    """Yields (kind, name, clean, noisy), float32 (H, W, 3)."""
    import cv2
    import numpy as np

    from datasets.sets.catalog import find_dataset
    from gradnet_tf.degradations import add_gaussian_noise
    from gradnet_tf.degradations.sampling import evaluation_noise
    from gradnet_tf.images.image_files import to_float

    def noisy(clean, name):
        noise = evaluation_noise(clean.shape, 0, name)
        return add_gaussian_noise(clean, noise, options.sigma).astype(np.float32)

    limit = options.max_images
    small = find_dataset("cbsd68", options.data_dir)
    for index in range(limit):
        size = [side * options.enlarge for side in small.load(index).shape[1::-1]]
        clean = cv2.resize(small.load(index), size, interpolation=cv2.INTER_LANCZOS4)
        yield "enlarged", small.names[index], to_float(clean), noisy(to_float(clean), "e")
    wide = [i for i in range(len(small.names)) if small.load(i).shape[0] == 321]
    for index in range(min(limit, len(wide) // _MOSAIC)):
        parts = [small.load(i) for i in wide[index * _MOSAIC : (index + 1) * _MOSAIC]]
        rows = [np.concatenate(parts[i : i + 2], axis=1) for i in range(0, _MOSAIC, 2)]
        clean = to_float(np.concatenate(rows))
        yield "mosaic", f"{index}", clean, noisy(clean, f"m{index}")
    sample = find_dataset("sample", split="all")
    large = [i for i in range(len(sample.names)) if np.prod(sample.load(i).shape[:2]) > 5e5]
    for index in large[:limit]:
        clean = to_float(sample.load(index))
        yield "sample", sample.names[index], clean, noisy(clean, sample.names[index])
    real = find_dataset("renoir", options.data_dir)
    for index in range(min(limit, len(real.names))):
        yield "renoir", real.names[index], to_float(real.load(index)), to_float(real.noisy(index))
    scenes = range(min(_MOSAIC, len(real.names)) // 4 * 4)
    clean, noisy_scenes = (
        np.concatenate([np.concatenate([load(i) for i in scenes[j::4]]) for j in range(4)], axis=1)
        for load in (real.load, real.noisy)
    )
    yield "renoir mosaic", "0", to_float(clean), to_float(noisy_scenes)


def psnr(one, other) -> float:
    """Returns the PSNR in dB of two float pictures, infinite where they are equal."""
    import numpy as np

    error = np.mean((one - other) ** 2, dtype=np.float64)
    return float("inf") if error == 0 else float(-10 * np.log10(error))


def main(given: Given) -> None:
    """Prints a row for each way and a column for each kind of picture."""
    options = given.make(Options)
    import numpy as np

    from gradnet_tf.denoiser import load_denoiser

    model = load_denoiser(options.model, runtime="keras").model

    def vectors(images):
        used = model(images, return_intermediates=True)["attention"]
        return [np.mean(vector, axis=0, keepdims=True) for vector in used]

    def denoise(image, attention):
        return np.clip(np.asarray(model(image[None], attention=attention))[0], 0, 1)

    rows: dict[str, dict] = {name: {} for name in samplings()}
    for kind, name, clean, noisy in pictures(options):
        reference = None
        for way, sample in samplings().items():
            denoised = denoise(noisy, vectors(sample(noisy)))
            reference = denoised if reference is None else reference
            far = 255 * np.abs(denoised - reference).max()
            rows[way].setdefault(kind, []).append((psnr(denoised, clean), far))
        scores = " ".join(f"{found[kind][-1][0]:.4f}" for found in rows.values())
        print(f"{kind} {name} {clean.shape[1]}×{clean.shape[0]}: {scores}", flush=True)
    kinds = list(next(iter(rows.values())))
    print("| vectors from | " + " | ".join(kinds) + " |\n|---|" + "---|" * len(kinds))
    for way, found in rows.items():
        cells = []
        for kind in kinds:
            scores, far = np.array(found[kind]).T
            cells.append(f"{scores.mean():.4f} ({far.max():.2f})")
        print(f"| {way} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    run_script(main, __doc__, COMMAND_LINE)
