"""How the files of a batch are denoised, and the command line that says so."""

import argparse
import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from gradnet_tf.command import ArgumentParser
from gradnet_tf.errors import UserError
from gradnet_tf.inference.tile_config import TileConfig, parse_memory, parse_tile
from gradnet_tf.photos import MAX_MEGAPIXELS


@dataclasses.dataclass(frozen=True)
class Settings:
    """What `gradnet denoise` has as flags, for every process of an engine; they pickle.

    Attributes:
        model: see `load_denoiser`; a path is one of the machine that denoises.
        strength: see `Denoiser.__call__`, as are `luma`, `chroma`, `sigma` and `self_ensemble`.
        tiles: how large pictures are cut, and what a process may take.
        quality: of JPEG and lossy WebP and AVIF; see `encode_photo`.
        overwrite: denoises again what has a result already, instead of skipping it.
        max_megapixels: larger pictures fail.
    """

    model: str = "default"
    strength: float = 1.0
    luma: float = 1.0
    chroma: float = 1.0
    sigma: float | None = None
    self_ensemble: bool = False
    tiles: TileConfig = TileConfig()
    quality: int | None = None
    overwrite: bool = False
    max_megapixels: float = MAX_MEGAPIXELS

    @property
    def changes_nothing(self) -> bool:
        """Whether files are copied byte for byte, once they have been read."""
        return self.strength == 0.0 or self.luma == self.chroma == 0.0

    def load(self) -> Callable[[np.ndarray], np.ndarray]:
        """Loads the model; returns the function from a photograph's pixels to denoised ones.

        Raises:
            UserError: no such model, or a noise level for a model that takes none.
        """
        from gradnet_tf.inference.grey import ByColour
        from gradnet_tf.inference.load import load_denoiser

        denoiser = load_denoiser(self.model)
        if self.sigma is not None and not denoiser.needs_sigma:
            raise UserError(
                f"--sigma={self.sigma:g}: {denoiser.name} takes no noise level. Leave the flag out."
            )
        return functools.partial(
            ByColour(denoiser),
            strength=self.strength,
            sigma=self.sigma,
            luma=self.luma,
            chroma=self.chroma,
            self_ensemble=self.self_ensemble,
            tiles=self.tiles,
        )


def make_parser() -> argparse.ArgumentParser:
    """Returns the parser of the command's own flags; all others are the engine's."""
    parser = ArgumentParser(
        prog="python -m gradnet_tf.inference.batch",
        allow_abbrev=False,  # An abbreviation might be an option of the engine.
        description="Denoises any number of photographs on an engine, with Apache Beam. All "
        "further options go to Beam: --runner=DirectRunner (the default), DataflowRunner, "
        "FlinkRunner, SparkRunner, and what these take. See docs/batch.md.",
    )
    add = parser.add_argument
    add(
        "--input",
        action="append",
        required=True,
        metavar="GLOB",
        help="pattern in quotes, file or folder, local, gs:// or s3://; may be given repeatedly",
    )
    add("--output", required=True, metavar="DIR", help="folder for the results")
    add(
        "--log",
        metavar="DIR",
        help="folder for failures.jsonl and summary.json (default: _batch in the output folder)",
    )
    add("--model", default="default", help="name, or a path on the machines that denoise")
    unit = _number(float, 0.0, 1.0)
    add("--strength", type=unit, default=1.0, help="0 (nothing) to 1 (all, the default)")
    add("--luma", type=unit, default=1.0, help="strength for brightness alone, 0 to 1")
    add("--chroma", type=unit, default=1.0, help="strength for colour alone, 0 to 1")
    add("--sigma", type=_number(float, 0.0, 255.0), help="noise level on the 0-255 scale")
    add("--self-ensemble", "--self_ensemble", action="store_true", help="average over eight flips")
    add("--tile", type=_checked(parse_tile), default="auto", metavar="auto|whole|N")
    add(
        "--max-memory",
        "--max_memory",
        type=_checked(parse_memory),
        metavar="SIZE",
        help="what --tile=auto may use in each process, such as 1.5GB",
    )
    add("--quality", type=_number(int, 1, 100), help="of JPEG and lossy WebP and AVIF, 1 to 100")
    add("--overwrite", action="store_true", help="replace results that exist (default: skip them)")
    add(
        "--max-megapixels",
        "--max_megapixels",
        type=_number(float, 1e-6, 1e6),
        default=MAX_MEGAPIXELS,
        help=f"refuse larger pictures (default: {MAX_MEGAPIXELS:g})",
    )
    return parser


def settings_of(arguments: argparse.Namespace) -> Settings:
    """Returns what parsed arguments say about how files are denoised."""
    same = {field.name for field in dataclasses.fields(Settings)} - {"tiles"}
    tiles = TileConfig(arguments.tile, arguments.max_memory)
    return Settings(tiles=tiles, **{name: getattr(arguments, name) for name in same})


def _checked(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """Makes the errors of `parse` those of argparse, which names the flag itself."""

    def parsed(text: str):
        try:
            return parse(text)
        except UserError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return parsed


def _number(kind: type, low: float, high: float) -> Callable[[str], Any]:
    def parsed(text: str):
        try:
            value = kind(text)
        except ValueError:
            value = None
        # Written this way round, NaN is refused too.
        if value is None or not low <= value <= high:
            what = "a whole number" if kind is int else "a number"
            raise argparse.ArgumentTypeError(
                f"expected {what} in [{low:g}, {high:g}]. Received: {text}"
            )
        return value

    return parsed
