r"""Measures whether tiles are visible: differences between tile sizes, seams, and PSNR.

Example:
  python -m benchmarks.quality.tile_agreement --data_dir=DATA --max_images=3 --output=out/tiles
The pictures are those of `benchmarks.quality.attention_vectors`. Each is denoised in tiles of
every size. The table has the largest difference and the lowest PSNR between any two sizes, the mean
step of the difference across tile borders and elsewhere, and the PSNR against the clean picture
with and without pooling over the whole picture. With --output, the differences of each tile size
from the untiled result are written as pictures, amplified 1,000 times.
"""

import dataclasses
import itertools
from pathlib import Path

from benchmarks.quality import attention_vectors
from benchmarks.quality.attention_vectors import psnr
from gradnet_tf.utils.command import run_script
from gradnet_tf.utils.options import CommandLine, Given


@dataclasses.dataclass(frozen=True)
class Options(attention_vectors.Options):
    """The command's options.

    Attributes:
        tiles: tile sizes that are compared with the untiled result.
        output: folder for pictures of the differences.
    """

    tiles: tuple[int, ...] = (128, 256, 512)
    output: str | None = None


COMMAND_LINE = CommandLine(Options)


_GAIN = 1000


def steps(difference, cut) -> tuple[float, float]:
    """Returns the mean step of a difference (H, W, C) across tile borders, and elsewhere."""
    import numpy as np

    down = np.abs(np.diff(difference, axis=0)).mean(axis=(1, 2))
    right = np.abs(np.diff(difference, axis=1)).mean(axis=(0, 2))
    at_borders, elsewhere = [], []
    for line, axis in ((down, 0), (right, 1)):
        borders = {pair[axis].first - 1 for pair in cut} - {-1}
        for place, value in enumerate(line):
            (at_borders if place in borders else elsewhere).append(value)
    return (float(np.mean(at_borders)) if at_borders else 0.0), float(np.mean(elsewhere))


def agreement(denoiser, noisy, tiles) -> dict:
    """Denoises a picture in tiles of each size and compares.

    Args:
        denoiser: a `Denoiser` of a Keras model.
        noisy: float32 (H, W, C).
        tiles: sides in pixels, in addition to "whole".

    Returns:
        `whole`, the untiled result; `differences` from it by tile size; `far`, the largest
        difference between any two sizes on the 0-255 scale; `psnr`, the lowest between any two;
        `seam` and `elsewhere`, the largest of `steps` on the 0-255 scale.
    """
    import numpy as np

    from gradnet_tf.tiling.tile_config import TileConfig
    from gradnet_tf.tiling.tiler import windows

    sizes = ["whole", *tiles]
    configs = {size: TileConfig(size, pooling="crops") for size in sizes}
    found = {size: denoiser.denoise(noisy[None], None, configs[size])[0] for size in sizes}
    pairs = list(itertools.combinations(found.values(), 2))
    model = denoiser.model
    differences = {tile: found[tile] - found["whole"] for tile in tiles}
    seams = [
        steps(
            differences[tile],
            windows(noisy.shape[:2], tile, model.receptive_radius, model.block_side),
        )
        for tile in tiles
    ]
    return {
        "whole": found["whole"],
        "differences": differences,
        "far": 255 * float(max(np.abs(one - other).max() for one, other in pairs)),
        "psnr": min(psnr(one, other) for one, other in pairs),
        "seam": 255 * max(at for at, _ in seams),
        "elsewhere": 255 * max(rest for _, rest in seams),
    }


def main(given: Given) -> None:
    """Prints a row for each picture, then the means by kind."""
    options = given.make(Options)
    import numpy as np

    from gradnet_tf.denoiser import load_denoiser
    from gradnet_tf.images.image_files import to_uint8, write_image
    from gradnet_tf.tiling.tile_config import TileConfig

    denoiser = load_denoiser(options.model, runtime="keras")
    print(
        "| picture | size | largest difference, 1/255 | lowest PSNR between sizes, dB | "
        "step at borders / elsewhere, 1/255 | PSNR pooled whole, dB | PSNR in tiles, dB | "
        "change, dB |"
    )
    print("|---|---|---:|---:|---:|---:|---:|---:|")
    changes: dict[str, list] = {}
    for kind, name, clean, noisy in attention_vectors.pictures(options):
        found = agreement(denoiser, noisy, options.tiles)
        whole = TileConfig(pooling="whole")
        pooled = psnr(denoiser.denoise(noisy[None], None, whole)[0], clean)
        tiled = psnr(found["whole"], clean)
        changes.setdefault(kind, []).append(tiled - pooled)
        print(
            f"| {kind} {name} | {clean.shape[1]}×{clean.shape[0]} | {found['far']:.4f} | "
            f"{found['psnr']:.1f} | {found['seam']:.1e} / {found['elsewhere']:.1e} | "
            f"{pooled:.4f} | {tiled:.4f} | {tiled - pooled:+.4f} |",
            flush=True,
        )
        for tile, difference in found["differences"].items() if options.output else ():
            path = Path(options.output) / f"{kind}_{name}_{tile}.png".replace(" ", "_")
            write_image(path, to_uint8(0.5 + _GAIN * difference))
    for kind, values in changes.items():
        print(f"{kind}: {np.mean(values):+.4f} dB over {len(values)} pictures")
    every = np.concatenate(list(changes.values()))
    print(f"all: {np.mean(every):+.4f} dB over {len(every)} pictures")


if __name__ == "__main__":
    run_script(main, __doc__, COMMAND_LINE)
