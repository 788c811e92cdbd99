"""`gradnet app`: starts the page."""

import argparse
import dataclasses

from gradnet_tf.images import MAX_MEGAPIXELS
from gradnet_tf.utils.errors import EXIT_OK, UserError, install_command
from gradnet_tf.utils.options import make_config, option


@dataclasses.dataclass(frozen=True)
class AppOptions:
    """Options of `gradnet app`.

    Attributes:
        model: a name or a path.
        port: port of the page (default: from 7860 on).
        no_browser: do not open the browser.
        max_megapixels: refuse larger pictures.
    """

    model: str = "auto"
    port: int | None = option(None, least=1, most=65535)
    no_browser: bool = False
    max_megapixels: float = option(MAX_MEGAPIXELS, least=1e-6, most=1e6)


def run_app(arguments: argparse.Namespace) -> int:
    """Runs the command until Ctrl-C.

    Raises:
        UserError: Gradio is not installed, there is no such model, or the port is taken.
    """
    options = make_config(AppOptions, arguments)
    try:
        import gradio  # noqa: F401
    except ModuleNotFoundError as error:
        raise UserError(
            "`gradnet app` needs gradio, which is not installed.\n"
            f"Install it: {install_command('gradio')}."
        ) from error
    from gradnet_tf.denoiser import Denoiser
    from gradnet_tf.steering.app_page import start

    denoiser = Denoiser(options.model)
    try:
        start(
            denoiser,
            options.port,
            not options.no_browser,
            max_megapixels=options.max_megapixels,
        )
    except OSError as error:  # Gradio's own message names the ports it tried.
        raise UserError(
            f"--port={options.port}: {error}\nGive another port, or leave the flag out."
        ) from error
    return EXIT_OK
