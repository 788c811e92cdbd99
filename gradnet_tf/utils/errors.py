"""Errors that are shown to users, and the exit codes of all commands."""

EXIT_OK = 0
EXIT_SOME_FAILED = 1
EXIT_USAGE = 2
EXIT_NAN = 3
EXIT_INTERRUPTED = 75


class UserError(ValueError):
    """Bad input or usage.

    The message is one to three lines: what was received, what was expected
    and what to do next.
    """

    exit_code = EXIT_USAGE


class NotFiniteOutputError(UserError):
    """A network returned NaN or infinities for a valid picture."""

    exit_code = EXIT_NAN


class NotFiniteError(RuntimeError):
    """Training stopped because of NaN or an infinity."""

    exit_code = EXIT_NAN


class Interrupted(RuntimeError):
    """Work was interrupted; running the same command again resumes it."""

    exit_code = EXIT_INTERRUPTED


class Stopped(Interrupted):
    """The user stopped the work, and nothing is wrong: the message is no error."""


#: The optional modules, and the extra of pyproject.toml that brings each.
EXTRAS = {
    "ai_edge_litert": "litert",
    "apache_beam": "batch",
    "bm3d": "bm3d",
    "gradio": "app",
    "huggingface_hub": "hub",
    "imagecodecs": "tiff",
    "jax": "jax",
    "kagglehub": "hub",
    "matplotlib": "plot",
    "openvino": "openvino",
    "rawpy": "raw",
    "safetensors": "safetensors",
    "scipy": "mat",
    "tensorboard": "tensorflow",
    "tensorflow": "tensorflow",
}


def install_command(module: str | None) -> str:
    """Returns how to install a module that an import did not find.

    The package is on no index, so that an extra is installed from a checkout.

    Args:
        module: its name in an import; submodules count as their package.
    """
    package = (module or "").partition(".")[0]
    if package in EXTRAS:
        return f'pip install ".[{EXTRAS[package]}]" in a checkout'
    return f"pip install {package}"
