"""`gradnet app`: starts the page; its options are in `gradnet_tf.cli.main`."""

import argparse

from gradnet_tf.utils.errors import EXIT_OK, UserError, install_command


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
            f"Install it: {install_command('gradio')}."
        ) from error
    from gradnet_tf.denoiser import Denoiser
    from gradnet_tf.steering.app_page import start

    denoiser = Denoiser(arguments.model)
    try:
        start(
            denoiser,
            arguments.port,
            not arguments.no_browser,
            max_megapixels=arguments.max_megapixels,
        )
    except OSError as error:  # Gradio's own message names the ports it tried.
        raise UserError(
            f"--port={arguments.port}: {error}\nGive another port, or leave the flag out."
        ) from error
    return EXIT_OK
