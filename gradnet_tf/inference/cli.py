"""The `gradnet` command: `gradnet denoise` and `gradnet models`."""

import argparse
import functools
from collections.abc import Sequence

from gradnet_tf import weights
from gradnet_tf.command import ArgumentParser, guarded
from gradnet_tf.errors import EXIT_OK, UserError


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
    denoise.set_defaults(run=_denoise)

    models = commands.add_parser(
        "models",
        help="list the weights that ship",
        description="Lists the trained weights that ship, with sizes and scores.",
    )
    models.add_argument(
        "--default", action="store_true", help="print only the name that --model=default means"
    )
    models.set_defaults(run=_models)
    return parser


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

    def load():
        denoiser = load_denoiser(arguments.model)
        if arguments.sigma is None:
            return denoiser
        if not denoiser.needs_sigma:
            raise UserError(
                f"--sigma={arguments.sigma:g}: {denoiser.name} takes no noise level. "
                "Leave the flag out."
            )
        return functools.partial(denoiser, sigma=arguments.sigma)

    return denoise_files(jobs, load, arguments.strength)


def _models(arguments: argparse.Namespace) -> int:
    if arguments.default:
        print(weights.DEFAULT)
        return EXIT_OK
    cards = weights.list_weights()
    if not cards:
        print("No weights ship with this version.")
        return EXIT_OK
    rows = [("name", "parameters", "size", "sigma", "PSNR in dB")]
    rows += [_row(card) for card in cards]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())
    print(f"* the default: {weights.DEFAULT}")
    return EXIT_OK


def _row(card: dict) -> tuple[str, ...]:
    mark = "*" if card["name"] == weights.DEFAULT else ""
    levels = sorted({card["sigma_min"], card["sigma_max"]})
    scores = (
        f"{image_set} at {sigma}: {value:.2f}"
        for image_set, by_sigma in card.get("scores", {}).items()
        for sigma, value in by_sigma.items()
    )
    return (
        card["name"] + mark,
        f"{card['parameters']:,}",
        f"{card['bytes'] / 1e6:.1f} MB",
        "-".join(f"{level:g}" for level in levels),
        ", ".join(scores) or "-",
    )
