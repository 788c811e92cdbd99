"""Every command with the flags of it that take paths, and paths that no command can use."""

import contextlib
import importlib
import io
import os
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from script_case import loaded_script

from gradnet_tf.utils.command import run_script
from gradnet_tf.utils.errors import (
    EXIT_INTERRUPTED,
    EXIT_NAN,
    EXIT_OK,
    EXIT_SOME_FAILED,
    EXIT_USAGE,
)
from gradnet_tf.utils.options import PATH_NAMES

#: Seconds after which a command counts as waiting without end. Imports of Keras take some.
LIMIT = 30
CODES = (EXIT_OK, EXIT_SOME_FAILED, EXIT_USAGE, EXIT_NAN, EXIT_INTERRUPTED)


def hostile_paths(folder: Path) -> dict[str, str]:
    """Makes what can be made of paths that no command can use; returns them by what they are."""
    folder.mkdir()
    (folder / "loop").symlink_to(folder / "loop")
    (folder / "dangling").symlink_to(folder / "nowhere")
    os.mkfifo(folder / "fifo")
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as server:
        # The path of a socket may have about a hundred bytes.
        here = os.getcwd()
        os.chdir(folder)
        server.bind("socket")
        os.chdir(here)
    (folder / "text").write_text("nothing that anybody expects\n")
    (folder / "empty").write_bytes(b"")
    (folder / "empty folder").mkdir()
    odd = os.fsencode(folder) + b"/no\xff\xfeutf"
    os.mkdir(odd)
    return {
        "no text": "",
        "too long a name": str(folder / ("n" * 300)),
        "too long a path": str(folder) + "/d" * 2500,
        "a circle of links": str(folder / "loop"),
        "below a circle": str(folder / "loop" / "x.html"),
        "a dangling link": str(folder / "dangling"),
        "a pipe": str(folder / "fifo"),
        "a socket": str(folder / "socket"),
        "a device": "/dev/zero",
        "a text": str(folder / "text"),
        "below a file": str(folder / "text" / "x.html"),
        "an empty file": str(folder / "empty"),
        "an empty folder": str(folder / "empty folder"),
        "no UTF-8": os.fsdecode(odd),
        "below no UTF-8": os.fsdecode(odd) + "/x.png",
        "control characters": str(folder / "a\nb\x1b[31m\x07c"),
        "a NUL": "a\0b",
        "brackets": str(folder / "[a" / "b]*?"),
    }


class Command:
    """One command: how it is run in this process, and its flags that take paths.

    Args:
        name: as it is shown.
        run: takes arguments and returns the exit code.
        usual: arguments by flag with which it would do a little work; `{out}` is a new folder.
        paths: flags, or "INPUT" for positional arguments, that take paths.
        first: arguments before all others.
    """

    def __init__(
        self,
        name: str,
        run: Callable[[list[str]], int],
        usual: Mapping[str, str],
        paths: Sequence[str],
        first: Sequence[str] = (),
    ):
        self.name, self.run, self.usual, self.paths = name, run, usual, paths
        self.first = list(first)

    def arguments(self, flag: str, value: str, out: str) -> list[str]:
        """Returns the command line with `value` for one flag."""
        given = {**self.usual, flag: value}
        texts = {key: text.replace("{out}", out) for key, text in given.items()}
        positional = [texts.pop("INPUT")] if "INPUT" in texts else []
        return [*self.first, *positional, *(f"--{key}={text}" for key, text in texts.items())]


def script(name: str, usual: Mapping[str, str]) -> Command:
    """A command of a module with `main` and `COMMAND_LINE`; its dataclasses name the paths."""
    module = importlib.import_module(name) if "." in name else None

    def loaded():
        return module or loaded_script(name)

    def run(arguments: list[str]) -> int:
        found = loaded()
        return run_script(found.main, found.__doc__, found.COMMAND_LINE, [name, *arguments])

    options = loaded().COMMAND_LINE.options.values()
    return Command(name, run, usual, [each.name for each in options if each.is_path])


def sub_commands(prog: str, main, parser, usual: Mapping[str, Mapping[str, str]]) -> list[Command]:
    """The commands of an argparse parser with subcommands."""
    (action,) = [each for each in parser._actions if isinstance(each.choices, dict)]
    found = []
    for name, own in action.choices.items():
        paths = [
            "INPUT" if not each.option_strings else each.dest
            for each in own._actions
            if each.dest in PATH_NAMES
        ]
        if paths and name in usual:
            found.append(Command(f"{prog} {name}", main, usual[name], paths, [name]))
    return found


def outcome(command: Command, arguments: list[str], limit: int = LIMIT) -> tuple[int, str]:
    """Runs a command in this process; returns its exit code and what it printed as an error.

    Raises:
        Exception: what the command did not handle.
        AssertionError: it took longer than `limit` seconds.
    """

    def late(*_):
        raise AssertionError(f"no end after {limit} s")

    errors = io.TextIOWrapper(io.BytesIO(), "utf-8")
    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(limit)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(errors):
            try:
                code = command.run(arguments)
            except SystemExit as leave:
                code = leave.code
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    errors.flush()
    return code, errors.buffer.getvalue().decode("utf-8")


def complaint(code: int, text: str) -> str | None:
    """Returns what is wrong with an outcome, `None` if nothing is."""
    if code not in CODES:
        return f"exit code {code}"
    if "Traceback" in text:
        return "a traceback"
    if any(letter < " " and letter not in "\n\r\t" for letter in text):
        return "control characters"
    lines = text.splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith("error: ")]
    if code == EXIT_USAGE and not (starts or any(line.startswith("failed: ") for line in lines)):
        return "no error line"
    if starts and len(lines) - starts[-1] > 3:
        return f"{len(lines) - starts[-1]} lines"
    return None
