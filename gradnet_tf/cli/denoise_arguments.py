"""The arguments of `gradnet denoise`."""

import argparse
from collections.abc import Callable
from typing import Any

from gradnet_tf.images import MAX_MEGAPIXELS
from gradnet_tf.runtimes.choose_runtime import RUNTIMES
from gradnet_tf.tiling.tile_config import parse_memory, parse_tile
from gradnet_tf.utils.errors import UserError


def add_denoise(commands) -> argparse.ArgumentParser:
    """Adds the command to those of argparse, and returns its parser."""
    denoise = commands.add_parser(
        "denoise",
        help="denoise photographs: files, folders, patterns",
        description="Denoises photographs as they are (JPEG, PNG, TIFF, WebP, AVIF, BMP, PNM; 8 "
        "bits, 16 bits, float); no noise is ever added. Depth, alpha, EXIF, profile, resolution "
        "and text are kept.",
    )
    denoise.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="file, folder, pattern in quotes, or - for standard input to standard output",
    )
    denoise.add_argument(
        "--output", metavar="DIR", help="folder for the results, named as the inputs"
    )
    add_result_arguments(denoise)
    denoise.add_argument(
        "--no-recursive", action="store_true", help="leave out what lies below an input folder"
    )
    denoise.add_argument(
        "--dry-run", action="store_true", help="print what would be done, and do nothing"
    )
    denoise.add_argument(
        "--jobs",
        type=_jobs,
        default=1,
        metavar="N",
        help="files on their way at once: one in the network, the others read and written "
        "meanwhile (default: 1); the results are the same",
    )
    denoise.add_argument(
        "--report",
        metavar="FILE.html",
        help="write a page with every picture before and after, in one file",
    )
    return denoise


def add_result_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what decides the results, and which are made: the same for one machine and for many."""
    parser.add_argument(
        "--model",
        default="default",
        help="name, or path of a run or an exported file; with a name, grey pictures go through "
        "the grey weights of that name where they ship",
    )
    parser.add_argument(
        "--runtime",
        choices=RUNTIMES,
        default="auto",
        help="what runs weights that ship: keras (TensorFlow or JAX), litert (no TensorFlow "
        "needed, starts at once), or auto: litert where it is installed and there is no GPU",
    )
    parser.add_argument(
        "--strength", type=_strength, default=1.0, help="0 (nothing) to 1 (all, the default)"
    )
    parser.add_argument(
        "--luma", type=_strength, default=1.0, help="strength for brightness alone, 0 to 1"
    )
    parser.add_argument(
        "--chroma", type=_strength, default=1.0, help="strength for colour alone, 0 to 1"
    )
    parser.add_argument(
        "--sigma",
        type=_sigma,
        help="noise level, standard deviation on the 0-255 scale, for a model that needs one "
        "(default: estimated, picture by picture)",
    )
    parser.add_argument(
        "--self-ensemble",
        "--self_ensemble",
        action="store_true",
        help="average over the eight flips: a little better, eight times slower",
    )
    parser.add_argument(
        "--tile",
        type=_checked(parse_tile),
        default="auto",
        metavar="auto|whole|N",
        help="side of the tiles of large pictures in pixels; the result does not depend on it "
        "(default: auto, what the memory allows)",
    )
    parser.add_argument(
        "--max-memory",
        "--max_memory",
        type=_checked(parse_memory),
        metavar="SIZE",
        help="what --tile=auto may use, such as 1.5GB (default: 2GB where it suffices)",
    )
    parser.add_argument(
        "--quality",
        type=_quality,
        help="of JPEG and lossy WebP and AVIF, 1 to 100 (default: as the input, at least 90)",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace results that exist (default: skip them)"
    )
    parser.add_argument(
        "--max-megapixels",
        "--max_megapixels",
        type=_megapixels,
        default=MAX_MEGAPIXELS,
        help=f"refuse larger pictures (default: {MAX_MEGAPIXELS:g})",
    )


def _checked(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """Makes the errors of `parse` those of argparse, which names the flag itself."""

    def parsed(text: str):
        try:
            return parse(text)
        except UserError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return parsed


def _number(text: str, kind: type, low: float, high: float, expected: str):
    try:
        value = kind(text)
    except ValueError:
        value = None
    # Written this way round, NaN is refused too.
    if value is None or not low <= value <= high:
        raise argparse.ArgumentTypeError(f"expected {expected}. Received: {text}")
    return value


def _strength(text: str) -> float:
    return _number(text, float, 0.0, 1.0, "a number in [0, 1]")


def _sigma(text: str) -> float:
    return _number(text, float, 0.0, 255.0, "a number in [0, 255]")


def _quality(text: str) -> int:
    return _number(text, int, 1, 100, "a whole number in [1, 100]")


def _megapixels(text: str) -> float:
    return _number(text, float, 1e-6, 1e6, "a number of millions of pixels")


def _jobs(text: str) -> int:
    return _number(text, int, 1, 64, "a whole number in [1, 64]")
