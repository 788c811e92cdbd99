"""How the files of a batch are denoised, and the command line that says so."""

import argparse
import dataclasses
from collections.abc import Callable

import numpy as np

from gradnet_tf.cli.denoise_arguments import add_result_arguments
from gradnet_tf.cli.quick_start import picture_function
from gradnet_tf.images import MAX_MEGAPIXELS
from gradnet_tf.tiling.tile_config import TileConfig
from gradnet_tf.utils.command import ArgumentParser


@dataclasses.dataclass(frozen=True)
class Settings:
    """What `gradnet denoise` has as flags, for every process of an engine; they pickle.

    Attributes:
        model: see `load_denoiser`; a path is one of the machine that denoises.
        runtime: see `load_denoiser`.
        strength: see `Denoiser.__call__`, as are `luma`, `chroma`, `sigma` and `self_ensemble`.
        tiles: how large pictures are cut, and what a process may take.
        quality: of JPEG and lossy WebP and AVIF; see `encode_photo`.
        overwrite: denoises again what has a result already, instead of skipping it.
        max_megapixels: larger pictures fail.
    """

    model: str = "default"
    runtime: str = "auto"
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
        same = ("runtime", "strength", "sigma", "luma", "chroma", "self_ensemble", "tiles")
        return picture_function(self.model, **{name: getattr(self, name) for name in same})


def make_parser() -> argparse.ArgumentParser:
    """Returns the parser of the command's own flags; all others are the engine's."""
    parser = ArgumentParser(
        prog="python -m gradnet_tf.batch",
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
    add_result_arguments(parser)
    return parser


def settings_of(arguments: argparse.Namespace) -> Settings:
    """Returns what parsed arguments say about how files are denoised."""
    same = {field.name for field in dataclasses.fields(Settings)} - {"tiles"}
    tiles = TileConfig(arguments.tile, arguments.max_memory)
    return Settings(tiles=tiles, **{name: getattr(arguments, name) for name in same})
