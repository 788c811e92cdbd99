"""Loads a script of the root, which is in no package, and runs it in this process."""

import importlib.util
import sys
from pathlib import Path

import pytest

from gradnet_tf.utils.command import run_script

ROOT = Path(__file__).resolve().parents[2]


def loaded_script(name):
    """Returns the freshly loaded module of ROOT/`name`.py."""
    file = ROOT / f"{name}.py"
    specification = importlib.util.spec_from_file_location(f"{file.stem}_under_test", file)
    module = importlib.util.module_from_spec(specification)
    sys.modules[module.__name__] = module
    specification.loader.exec_module(module)
    return module


def exit_code(script, *arguments):
    """Runs a script's `main` on a command line and returns its exit code.

    Args:
        script: a module with `main` and `COMMAND_LINE`.
        *arguments: without the program's name.
    """
    with pytest.raises(SystemExit) as stop:
        argv = [f"{script.__name__}.py", *arguments]
        run_script(script.main, script.__doc__, script.COMMAND_LINE, argv)
    return stop.value.code
