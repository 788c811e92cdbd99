r"""Do tiles show? Differences from one tile size to another, seams, and PSNR beside whole pooling.

Example:
  python -m benchmarks.quality.tile_agreement --data_dir=DATA --max_images=3 --output=out/tiles
The pictures are those of `benchmarks.quality.attention_vectors`. Each is denoised in tiles of
every size; the table has the largest difference between any two, the PSNR of one against another
(the lowest), the mean step of the difference across the borders of tiles and elsewhere, and the
PSNR against the clean picture beside that of the network pooled over all of the picture. The
pictures in --output show the differences, amplified 1,000 times, of each tile size from the whole.
"""

import dataclasses
import itertools
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


from benchmarks.quality import attention_vectors  # noqa: E402
from gradnet_tf.utils.command import run_script  # noqa: E402
from gradnet_tf.utils.options import CommandLine, Given


@dataclasses.dataclass(frozen=True)
class Options(attention_vectors.Options):
    """The command's options.

    Attributes:
        tiles: sizes beside the whole.
        output: folder for pictures of the differences.
    """

    tiles: tuple[int, ...] = (128, 256, 512)
    output: str | None = None


COMMAND_LINE = CommandLine(Options)


_GAIN = 1000


def psnr(one, other) -> float:
    """Returns the PSNR in dB of two float pictures, infinite where they are equal."""
    import numpy as np

    error = np.mean((one - other) ** 2, dtype=np.float64)
    return float("inf") if error == 0 else float(-10 * np.log10(error))


def steps(difference, cut) -> tuple[float, float]:
    """Returns the mean step of a difference (H, W, C) across borders of tiles, and elsewhere."""
    import numpy as np

    down = np.abs(np.diff(difference, axis=0)).mean(axis=(1, 2))
    right = np.abs(np.diff(difference, axis=1)).mean(axis=(0, 2))
    at, else_ = [], []
    for line, axis in ((down, 0), (right, 1)):
        borders = {pair[axis].first - 1 for pair in cut} - {-1}
        for place, value in enumerate(line):
            (at if place in borders else else_).append(value)
    return (float(np.mean(at)) if at else 0.0), float(np.mean(else_))


def agreement(denoiser, noisy, tiles) -> dict:
    """Denoises a picture in tiles of each size and compares.

    Args:
        denoiser: a `Denoiser` of a Keras model.
        noisy: float32 (H, W, C).
        tiles: sides in pixels, beside "whole".

    Returns:
        `whole`, the denoised picture; `differences` by tile size, from the whole;
        `far`, the largest difference between any two sizes on the 0-255 scale; `psnr`, the
        lowest of any two; `seam` and `elsewhere`, the largest of `steps` on the 0-255 scale.
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
