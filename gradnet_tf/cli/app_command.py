"""`gradnet app`: its options, and how the page is started."""

import argparse

from gradnet_tf.utils.errors import EXIT_OK, UserError


def add_app(commands) -> argparse.ArgumentParser:
    """Adds the command to argparse subcommands; returns its parser."""
    parser = commands.add_parser(
        "app",
        help="open a page with sliders in the browser; needs the extra [app]",
        description="Serves a page on this computer: drop a photograph, move strength, luma, "
        "chroma and detail, and save the result at full size with its metadata.",
    )
    parser.add_argument("--model", default="default", help="a name or a path (default: default)")
    parser.add_argument("--port", type=int, help="port of the page (default: from 7860 on)")
    parser.add_argument("--no-browser", action="store_true", help="do not open the browser")
    parser.set_defaults(run=run_app)
    return parser


def run_app(arguments: argparse.Namespace) -> int:
    """Runs the command until Ctrl-C.

    Raises:
        UserError: Gradio is not installed, there is no such model, or the port is taken.
    """
    try:
        import gradio  # noqa: F401
    except ModuleNotFoundError as error:
        raise UserError(
            "`gradnet app` needs gradio, which is not installed.\n"
            'Install it: pip install ".[app]" in a checkout.'
        ) from error
    from gradnet_tf.denoiser import Denoiser
    from gradnet_tf.steering.app_page import start

    denoiser = Denoiser(arguments.model)
    try:
        start(denoiser, arguments.port, not arguments.no_browser)
    except OSError as error:  # Gradio's own message names the ports it tried.
        raise UserError(
            f"--port={arguments.port}: {error}\nGive another port, or leave the flag out."
        ) from error
    return EXIT_OK
