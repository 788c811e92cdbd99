"""The `gradnet` command: `gradnet denoise` and `gradnet models`."""

import argparse
import functools
import sys
from collections.abc import Callable, Sequence
from typing import Any

from gradnet_tf import weights
from gradnet_tf.command import ArgumentParser, guarded
from gradnet_tf.errors import EXIT_OK, UserError
from gradnet_tf.inference.tile_config import TileConfig, parse_memory, parse_tile
from gradnet_tf.photos import MAX_MEGAPIXELS


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code.

    Args:
        argv: arguments without the program's name; `sys.argv` by default.

    Raises:
        SystemExit: `--help`, or arguments that argparse refuses.
    """
    arguments = _parser().parse_args(argv)
    return guarded(lambda: arguments.run(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = ArgumentParser(prog="gradnet", description="Denoises photographs with GradNet.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    _add_denoise(commands)

    models = commands.add_parser(
        "models",
        help="list the weights that ship, or print the card of one",
        description="Lists the trained weights that ship, with sizes and scores; with a name, "
        "prints that card: data, terms, recipe, scores, limits.",
    )
    models.add_argument("name", nargs="?", metavar="NAME", help="weights whose card to print")
    models.add_argument(
        "--default", action="store_true", help="print only the name that --model=default means"
    )
    models.set_defaults(run=_models)
    return parser


def _add_denoise(commands) -> None:
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
    denoise.add_argument(
        "--model",
        default="default",
        help="name, or path of a run or an exported file; with a name, grey pictures go through "
        "the grey weights of that name where they ship",
    )
    denoise.add_argument(
        "--strength", type=_strength, default=1.0, help="0 (nothing) to 1 (all, the default)"
    )
    denoise.add_argument(
        "--luma", type=_strength, default=1.0, help="strength for brightness alone, 0 to 1"
    )
    denoise.add_argument(
        "--chroma", type=_strength, default=1.0, help="strength for colour alone, 0 to 1"
    )
    denoise.add_argument(
        "--sigma",
        type=_sigma,
        help="noise level, standard deviation on the 0-255 scale, for a model that needs one "
        "(default: estimated, picture by picture)",
    )
    denoise.add_argument(
        "--self-ensemble",
        "--self_ensemble",
        action="store_true",
        help="average over the eight flips: a little better, eight times slower",
    )
    denoise.add_argument(
        "--tile",
        type=_checked(parse_tile),
        default="auto",
        metavar="auto|whole|N",
        help="side of the tiles of large pictures in pixels; the result does not depend on it "
        "(default: auto, what the memory allows)",
    )
    denoise.add_argument(
        "--max-memory",
        "--max_memory",
        type=_checked(parse_memory),
        metavar="SIZE",
        help="what --tile=auto may use, such as 1.5GB (default: 2GB where it suffices)",
    )
    denoise.add_argument(
        "--quality",
        type=_quality,
        help="of JPEG and lossy WebP and AVIF, 1 to 100 (default: as the input, at least 90)",
    )
    denoise.add_argument(
        "--no-recursive", action="store_true", help="leave out what lies below an input folder"
    )
    denoise.add_argument(
        "--overwrite", action="store_true", help="replace results that exist (default: skip them)"
    )
    denoise.add_argument(
        "--dry-run", action="store_true", help="print what would be done, and do nothing"
    )
    denoise.add_argument(
        "--max-megapixels",
        "--max_megapixels",
        type=_megapixels,
        default=MAX_MEGAPIXELS,
        help=f"refuse larger pictures (default: {MAX_MEGAPIXELS:g})",
    )
    denoise.set_defaults(run=_denoise)


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


def _denoise(arguments: argparse.Namespace) -> int:
    from gradnet_tf.inference.denoise_files import (
        FileOptions,
        denoise_files,
        denoise_stream,
        dry_run,
    )
    from gradnet_tf.inference.denoise_plan import plan_jobs

    options = FileOptions(
        arguments.strength == 0.0 or arguments.luma == arguments.chroma == 0.0,
        arguments.quality,
        arguments.overwrite,
        arguments.max_megapixels,
    )
    load = functools.partial(_load_for_files, arguments)
    if arguments.inputs == ["-"]:
        if arguments.output not in (None, "-"):
            raise UserError(f"--output={arguments.output}: with - as INPUT leave the flag out.")
        return denoise_stream(sys.stdin.buffer, sys.stdout.buffer, load, options)
    if "-" in arguments.inputs:
        raise UserError("INPUT: - (standard input) stands alone. Received: other inputs beside it.")
    if arguments.output is None:
        raise UserError("--output: expected a folder for the results. Received: none.")
    plan = plan_jobs(arguments.inputs, arguments.output, not arguments.no_recursive)
    if arguments.dry_run:
        return dry_run(plan, arguments.overwrite)
    return denoise_files(plan, load, options)


def _load_for_files(arguments: argparse.Namespace):
    """Loads the model and returns the function that `denoise_files` applies to pixels."""
    from gradnet_tf.inference.load import load_denoiser
    from gradnet_tf.inference.quick_start import quick_start

    with quick_start():
        denoiser = load_denoiser(arguments.model)
    if arguments.sigma is not None and not denoiser.needs_sigma:
        raise UserError(
            f"--sigma={arguments.sigma:g}: {denoiser.name} takes no noise level. "
            "Leave the flag out."
        )
    return functools.partial(
        denoiser,
        strength=arguments.strength,
        sigma=arguments.sigma,
        luma=arguments.luma,
        chroma=arguments.chroma,
        self_ensemble=arguments.self_ensemble,
        tiles=TileConfig(arguments.tile, arguments.max_memory),
    )


def _models(arguments: argparse.Namespace) -> int:
    from gradnet_tf.classical import CLASSICAL
    from gradnet_tf.inference.model_cards import card_text, cards_table

    if arguments.default:
        print(weights.DEFAULT)
        return EXIT_OK
    if arguments.name is not None:
        card = weights.find_card(arguments.name)
        if card is None:
            raise UserError(
                f"NAME: no weights of that name ship. Received: {arguments.name}.\n"
                f"These do: {weights.shipped_names()}."
            )
        print(card_text(card))
        return EXIT_OK
    cards = weights.list_weights()
    if cards:
        print(cards_table(cards))
        print(f"* the default: {weights.DEFAULT}")
        print("`gradnet models NAME` prints a card: data, terms, recipe, limits.")
    else:
        print("No weights ship with this version.")
    print("Without weights:")
    for name, description in CLASSICAL.items():
        print(f"  {name}: {description}")
    return EXIT_OK
