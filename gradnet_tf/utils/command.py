"""Runs a script's `main`, and reports user errors without a traceback."""

import contextlib
import errno
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator

from gradnet_tf.utils.errors import (
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_USAGE,
    Interrupted,
    NotFiniteError,
    UserError,
)
from gradnet_tf.utils.options import CommandLine, Given


def report_error(error: Exception) -> int:
    """Prints `error` on standard error and returns its exit code."""
    print(f"error: {error}", file=sys.stderr)
    return getattr(error, "exit_code", EXIT_USAGE)


def guarded(main: Callable[[], int | None]) -> int:
    """Calls `main` and converts user errors into a message and an exit code."""
    try:
        code = main() or EXIT_OK
        sys.stdout.flush()  # raises if the reader of a pipe is gone
        return code
    except BrokenPipeError:  # The reader of the pipe has closed it (`… | head`).
        _discard_output()
        return EXIT_OK
    except (UserError, NotFiniteError, Interrupted) as error:
        return report_error(error)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT) or error.filename is not None:
            raise
        _discard_output()
        print("error: cannot write standard output: the disk is full.", file=sys.stderr)
        return EXIT_USAGE
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED


@contextlib.contextmanager
def remembered_interrupt() -> Iterator[None]:
    """Raises `KeyboardInterrupt` at the end of the block if a library swallowed it.

    TensorFlow's converters lose exceptions that are raised in their callbacks.
    """
    seen: list[int] = []

    def interrupt(number, frame):
        seen.append(number)
        raise KeyboardInterrupt

    usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not usual or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if seen:
        raise KeyboardInterrupt


def _discard_output() -> None:
    """Discards buffered output, which would be written at exit and fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def run_script(
    main: Callable[[Given], int | None],
    doc: str | None,
    command_line: CommandLine,
    argv: list[str] | None = None,
) -> None:
    """Parses the command line, runs `main` and exits with its code.

    Args:
        main: does the work for the parsed command line; returns an exit code, or `None` for
            success.
        doc: text printed above the flags by `--help`.
        command_line: the script's flags.
        argv: the arguments with the program's name, `sys.argv` by default.

    Raises:
        SystemExit: always, with an exit code of `gradnet_tf.utils.errors`.
    """
    argv = list(sys.argv if argv is None else argv)
    if any(argument in ("--help", "-h", "--helpfull", "-help") for argument in argv[1:]):
        print((doc or "").strip() + "\n\n" + command_line.help())
        sys.exit(EXIT_OK)
    try:
        given = command_line.parse(argv)
    except UserError as error:
        print(f"error: {error}\nSee: python {argv[0]} --help", file=sys.stderr)
        sys.exit(EXIT_USAGE)
    sys.exit(guarded(lambda: main(given)))
