"""The `gradnet` command: denoise, noise, models, bench and app."""

import argparse
from collections.abc import Sequence

import gradnet_tf
from gradnet_tf import weights
from gradnet_tf.cli.app_command import AppOptions, run_app
from gradnet_tf.cli.denoise_command import add_denoise, denoise
from gradnet_tf.cli.noise_command import NoiseOptions, noise
from gradnet_tf.utils.command import guarded
from gradnet_tf.utils.errors import EXIT_OK, UserError, install_command
from gradnet_tf.utils.options import ArgumentParser, add_options


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code.

    Args:
        argv: arguments without the program's name; `sys.argv` by default.

    Raises:
        SystemExit: `--help`, or arguments that argparse refuses.
    """

    def parse_and_run() -> int:
        parser = _parser()
        arguments = parser.parse_args(argv)
        if arguments.command is None:
            parser.print_help()
            return EXIT_OK
        return arguments.run(arguments)

    return guarded(parse_and_run, argv)


def _parser() -> argparse.ArgumentParser:
    parser = ArgumentParser(prog="gradnet", description="Denoises photographs with GradNet.")
    version = f"gradnet_tf {gradnet_tf.__version__}"
    parser.add_argument("--version", action="version", version=version, help="print the version")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")

    add_denoise(commands).set_defaults(run=denoise)
    analysis = commands.add_parser(
        "noise",
        help="say what noise photographs have, and which model removes it",
        description="Measures the noise of photographs: its level against brightness, its grain, "
        "its share of color. Says in words what it is, and recommends a model.",
    )
    add_options(analysis, NoiseOptions, dashes=True)
    analysis.set_defaults(run=noise)

    app = commands.add_parser(
        "app",
        help="open a page with sliders in the browser; needs the extra [app]",
        description="Serves a page on this computer: drop a photograph, move strength, luma, "
        "chroma and detail, and save the result at full size with its metadata.",
    )
    add_options(app, AppOptions, dashes=True)
    app.set_defaults(run=run_app)

    models = commands.add_parser(
        "models",
        help="list the shipped weights, or print the model card of one",
        description="Lists the trained weights that ship with this package, with sizes and scores. "
        "With a name, prints its model card: data, terms, recipe, scores, limits.",
    )
    models.add_argument("name", nargs="?", metavar="NAME", help="weights whose model card to print")
    models.add_argument(
        "--default", action="store_true", help="print only the name of the default weights"
    )
    models.set_defaults(run=_models)

    bench = commands.add_parser(
        "bench",
        help="time every runtime and precision on this machine",
        description="Times every installed runtime and precision on this machine in one or "
        "two minutes, prints a table, and keeps the fastest whose quality allows it as what "
        "`gradnet denoise` and `Denoiser` use here (--precision=auto).",
    )
    bench.add_argument("--model", default="default", help="name of shipped weights")
    bench.add_argument("--side", type=int, default=768, help="side of the picture (default: 768)")
    bench.add_argument("--rounds", type=int, default=5, help="the best one counts (default: 5)")
    bench.add_argument("--no-keep", action="store_true", help="do not keep the fastest")
    bench.set_defaults(run=_bench)
    return parser


def _bench(arguments: argparse.Namespace) -> int:
    from gradnet_tf.cli.bench_command import bench

    options = arguments.model, arguments.side, arguments.rounds
    return bench(*options, keep=not arguments.no_keep)


def _missing_runtime(cards: list[dict]) -> str:
    """Returns which weights nothing that is installed can run; empty if there are none."""
    from gradnet_tf.runtimes.choose_runtime import has_backend, is_installed

    if has_backend():
        return ""
    if not (is_installed("litert") or is_installed("openvino")):
        return f"Nothing that runs them is installed: {install_command('ai_edge_litert')}"
    names = [card["name"] for card in cards if weights.tflite_path(card) is None]
    needs = f"needs TensorFlow or JAX: {install_command('tensorflow')}"
    return f"{', '.join(names)} {needs}" if names else ""


def _models(arguments: argparse.Namespace) -> int:
    from gradnet_tf.models.classical import CLASSICAL
    from gradnet_tf.weights.model_cards import card_text, cards_table

    if arguments.default:
        print(weights.DEFAULT)
        return EXIT_OK
    if arguments.name is not None:
        card = weights.find_card(arguments.name)
        if card is None:
            raise UserError(
                f"NAME: there are no shipped weights of that name. Received: {arguments.name}.\n"
                f"Expected one of {weights.shipped_names()}."
            )
        print(card_text(card))
        return EXIT_OK
    cards = weights.list_weights()
    if cards:
        print(cards_table(cards))
        print(f"* the default: {weights.DEFAULT}; auto takes {weights.CAMERA} for a camera's noise")
        print("`gradnet models NAME` prints a model card: data, terms, recipe, limits.")
        if missing := _missing_runtime(cards):
            print(missing)
    else:
        print("This version ships no weights.")
    print("Without weights:")
    for name, description in CLASSICAL.items():
        print(f"  {name}: {description}")
    return EXIT_OK
