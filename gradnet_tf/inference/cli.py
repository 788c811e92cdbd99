"""The `gradnet` command: `gradnet denoise` and `gradnet models`."""

import argparse
import functools
from collections.abc import Callable, Sequence
from typing import Any

from gradnet_tf import weights
from gradnet_tf.command import ArgumentParser, guarded
from gradnet_tf.errors import EXIT_OK, UserError
from gradnet_tf.inference.tile_config import TileConfig, parse_memory, parse_tile


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

    denoise = commands.add_parser(
        "denoise",
        help="denoise image files and folders",
        description="Denoises 8-bit images (RGB or grey) as they are; no noise is ever added.",
    )
    denoise.add_argument("inputs", nargs="+", metavar="INPUT", help="image file or folder of them")
    denoise.add_argument(
        "--output", required=True, metavar="DIR", help="folder for the results, named as the inputs"
    )
    denoise.add_argument(
        "--model", default="default", help="name, or path of a run or an exported file"
    )
    denoise.add_argument(
        "--strength", type=_strength, default=1.0, help="0 (nothing) to 1 (all, the default)"
    )
    denoise.add_argument(
        "--sigma",
        type=_sigma,
        help="noise level, standard deviation on the 0-255 scale, for a model that needs one "
        "(default: estimated, picture by picture)",
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
        "--max_memory",
        type=_checked(parse_memory),
        metavar="SIZE",
        help="what --tile=auto may use, such as 1.5GB (default: 2GB where it suffices)",
    )
    denoise.set_defaults(run=_denoise)

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


def _checked(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """Makes the errors of `parse` those of argparse, which names the flag itself."""

    def parsed(text: str):
        try:
            return parse(text)
        except UserError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return parsed


def _strength(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    # Written this way round, NaN is refused too.
    if not 0.0 <= value <= 1.0:
        raise argparse.ArgumentTypeError(f"expected a number in [0, 1]. Received: {text}")
    return value


def _sigma(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 <= value <= 255.0:
        raise argparse.ArgumentTypeError(f"expected a number in [0, 255]. Received: {text}")
    return value


def _denoise(arguments: argparse.Namespace) -> int:
    from gradnet_tf.inference.denoise_files import denoise_files, plan_jobs
    from gradnet_tf.inference.load import load_denoiser

    jobs = plan_jobs(arguments.inputs, arguments.output)
    tiles = TileConfig(arguments.tile, arguments.max_memory)

    def load():
        denoiser = load_denoiser(arguments.model)
        if arguments.sigma is None:
            return functools.partial(denoiser, tiles=tiles)
        if not denoiser.needs_sigma:
            raise UserError(
                f"--sigma={arguments.sigma:g}: {denoiser.name} takes no noise level. "
                "Leave the flag out."
            )
        return functools.partial(denoiser, sigma=arguments.sigma, tiles=tiles)

    return denoise_files(jobs, load, arguments.strength)


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
