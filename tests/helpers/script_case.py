"""Loads a script of the root with flags of its own, so that scripts do not meet in one process."""

import contextlib
import importlib.util
import sys
from pathlib import Path

from absl import flags

ROOT = Path(__file__).resolve().parents[2]


def _take_flags():
    """Removes the flags of earlier scripts and returns them by module."""
    taken = {}
    for module, defined in list(flags.FLAGS.flags_by_module_dict().items()):
        if not module.startswith("absl"):
            taken[module] = list(defined)
            for flag in taken[module]:
                delattr(flags.FLAGS, flag.name)
    return taken


@contextlib.contextmanager
def loaded_script(name):
    """Yields the freshly loaded module of ROOT/`name`.py, with its flags alone."""
    earlier = _take_flags()
    specification = importlib.util.spec_from_file_location(
        f"{name}_under_test", ROOT / f"{name}.py"
    )
    module = importlib.util.module_from_spec(specification)
    sys.modules[module.__name__] = module
    try:
        specification.loader.exec_module(module)
        yield module
    finally:
        del sys.modules[module.__name__]
        _take_flags()
        flags.FLAGS.unparse_flags()
        for owner, defined in earlier.items():
            for flag in defined:
                flags.FLAGS[flag.name] = flag
                flags.FLAGS.register_flag_by_module(owner, flag)
