"""The boundary between a command and the operating system.

Every command runs inside `guarded`, which turns what the system refuses (a folder that cannot be
entered, a name that is too long, a full disk) and users' errors into one to three lines and an exit
code. It also gives the command streams that always accept text: closed standard streams, consoles
that lack a letter, readers that leave early and control characters in file names are handled here
and nowhere else. Other exceptions are faults of the program and keep their traceback.
"""

import contextlib
import errno
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TextIO

from gradnet_tf.utils.console import ESCAPES, NAME_ESCAPES, quiet
from gradnet_tf.utils.errors import (
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_USAGE,
    EXTRAS,
    Interrupted,
    NotFiniteError,
    Stopped,
    UserError,
    install_command,
)
from gradnet_tf.utils.options import CommandLine, Given


class OutputStream:
    """Standard output or standard error for text that must not fail.

    Control characters, which could reprogram a terminal, are escaped, and so are letters that the
    stream's encoding lacks. Once the stream fails, what is written to it is discarded, so that the
    work continues; `failure` tells why.

    Args:
        stream: the stream, `None` if it was closed before the program started.

    Attributes:
        stream: where the text goes.
        is_closed: whether there was no stream.
        failure: why text is discarded now, if it is.
    """

    def __init__(self, stream: TextIO | None):
        self.is_closed = stream is None
        self.failure: Exception | None = None
        # Opened and never closed: it stands for a stream of the whole process.
        self.stream = open(os.devnull, "w") if stream is None else stream  # noqa: SIM115
        self.isatty = getattr(self.stream, "isatty", lambda: False)

    def write(self, text: str) -> int:
        """Writes `text`; see the class."""
        if self.failure is not None:
            return len(text)
        shown = text.translate(ESCAPES)
        try:
            try:
                self.stream.write(shown)
            except UnicodeEncodeError:
                encoding = self.stream.encoding or "ascii"
                self.stream.write(shown.encode(encoding, "backslashreplace").decode(encoding))
        except (OSError, ValueError) as error:  # ValueError: the stream object is closed
            self.fail(error)
        return len(text)

    def flush(self) -> None:
        """Passes on what was written; does not fail either."""
        if self.failure is None:
            try:
                self.stream.flush()
            except (OSError, ValueError) as error:
                self.fail(error)

    def __getattr__(self, name: str):
        return getattr(self.stream, name)

    def fail(self, error: Exception) -> None:
        """Discards what is not written yet, and all that follows."""
        self.failure = error
        # What the stream still holds would be written at exit and fail again.
        with contextlib.suppress(OSError, ValueError, AttributeError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self.stream.fileno())
            os.close(null)


def report_error(error: Exception, arguments: Sequence[str] | None = None) -> int:
    """Prints `error` on standard error and returns its exit code; see `guarded`."""
    _print_error(str(error), arguments, "" if isinstance(error, Stopped) else "error: ")
    return getattr(error, "exit_code", EXIT_USAGE)


def _print_error(message: str, arguments: Sequence[str] | None, start: str = "error: ") -> None:
    # A line break in a path must not look like the end of a message's line.
    for argument in sys.argv[1:] if arguments is None else arguments:
        value = argument.partition("=")[2] if argument.startswith("-") else argument
        if value.strip() and value.translate(NAME_ESCAPES) != value:
            message = message.replace(value, value.translate(NAME_ESCAPES))
    print(f"{start}{message}", file=sys.stderr)


def guarded(main: Callable[[], int | None], arguments: Sequence[str] | None = None) -> int:
    """Calls `main`; converts users' errors and refusals of the system into a message and a code.

    Inside, `sys.stdout` and `sys.stderr` are an `OutputStream` each.

    Args:
        main: does the work; returns an exit code, or `None` for success.
        arguments: the command line, `sys.argv[1:]` by default. Control characters in it are
            escaped where an error message repeats them.
    """
    saved = sys.stdin, sys.stdout, sys.stderr
    _occupy_descriptors()
    output, errors = (
        stream if isinstance(stream, OutputStream) else OutputStream(stream) for stream in saved[1:]
    )
    sys.stdout, sys.stderr = output, errors
    if sys.stdin is None:
        sys.stdin = open(os.devnull)  # noqa: SIM115  stays open, see OutputStream
    try:
        code = _called(main, output, arguments)
        output.flush()
        # A reader who has left (`… | head`) has seen enough, and the work is done.
        if output.failure is not None and not isinstance(output.failure, BrokenPipeError):
            reason = _reason(output.failure)
            if code == EXIT_OK:  # otherwise a message was printed already
                print(f"error: cannot write standard output: {reason}.", file=sys.stderr)
                code = EXIT_USAGE
        return code
    finally:
        output.flush()
        errors.flush()
        # After a traceback, the interpreter prints to the program's own streams.
        sys.stdin, sys.stdout, sys.stderr = saved


def _called(
    main: Callable[[], int | None], output: OutputStream, arguments: Sequence[str] | None
) -> int:
    try:
        return main() or EXIT_OK
    except (UserError, NotFiniteError, Interrupted) as error:
        return report_error(error, arguments)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except Exception as error:
        message = refusal(error)
        if message is None:
            raise
        if isinstance(error, OSError) and error.filename is None and error.errno in _OF_OUTPUT:
            output.fail(error)  # a picture that was written as bytes
            message = f"cannot write standard output: {_reason(error)}."
        _print_error(message, arguments)
        return EXIT_USAGE


def _occupy_descriptors() -> None:
    """Opens closed standard descriptors.

    Otherwise the next file that is opened would get the number 1 or 2, and libraries that print
    there would write into it.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number


def refusal(error: BaseException) -> str | None:
    """Returns a message of up to two lines if the system caused an exception, otherwise `None`.

    Args:
        error: an exception that no part of the command expected.
    """
    if isinstance(error, OSError):
        names = [_shown(name) for name in (error.filename, error.filename2) if name is not None]
        return f"{' -> '.join(names) + ': ' if names else ''}{_reason(error)}."
    if isinstance(error, UnicodeEncodeError | UnicodeDecodeError):
        return (
            f"{_shown(error.object)[:200]}: not valid UTF-8, which is needed here.\n"
            "Rename the file or the folder, or give another one."
        )
    if isinstance(error, MemoryError):
        return "there is not enough memory. Free some, or use smaller files."
    if isinstance(error, RecursionError):
        return "folders or data are nested too deep."
    if isinstance(error, ModuleNotFoundError) and (error.name or "").split(".")[0] in EXTRAS:
        return f"needs {error.name}, which is not installed.\nRun: {install_command(error.name)}"
    if isinstance(error, ImportError) and "cannot open shared object" in str(error):
        return f"a library cannot be loaded: {_line(error)}.\nIs a limit on memory too low?"
    # pathlib reports circles of links and NUL bytes by exceptions of general kinds.
    if isinstance(error, RuntimeError) and str(error).startswith("Symlink loop"):
        return f"{_line(error)}: the link leads to itself. Give another path."
    if isinstance(error, ValueError) and "embedded null" in str(error):
        return "a path contains a NUL byte. Give another path."
    if "tensorflow" in sys.modules and _is_tensorflow_refusal(error):
        return f"TensorFlow cannot read or write a file: {_line(error)[:300]}."
    return None


#: Errors by which TensorFlow's file system reports that a file cannot be read or written.
_FILE_ERRORS = (
    "AlreadyExistsError",
    "DataLossError",
    "FailedPreconditionError",
    "NotFoundError",
    "PermissionDeniedError",
    "ResourceExhaustedError",
    "UnavailableError",
    "UnknownError",
)


def _is_tensorflow_refusal(error: BaseException) -> bool:
    kind = type(error)
    return kind.__module__.startswith("tensorflow.") and kind.__name__ in _FILE_ERRORS


#: Errors of a stream; those of files come with a name.
_OF_OUTPUT = (errno.ENOSPC, errno.EDQUOT, errno.EPIPE, errno.EBADF)


def _reason(error: Exception) -> str:
    """Returns the system's words for an error, with a lower-case first letter."""
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full"
    reason = getattr(error, "strerror", None) or _line(error)
    return reason[:1].lower() + reason[1:] if reason[1:2].islower() else reason


def _line(error: BaseException) -> str:
    return (" ".join(str(error).split()) or type(error).__name__).rstrip(".")


def _shown(name: object) -> str:
    text = os.fsdecode(name) if isinstance(name, str | bytes | os.PathLike) else str(name)
    text = text.translate(NAME_ESCAPES)
    return text if len(text) <= 300 else f"{text[:200]}…{text[-60:]}"


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

    def parse_and_run() -> int | None:
        if any(argument in ("--help", "-h", "--helpfull", "-help") for argument in argv[1:]):
            print((doc or "").strip() + "\n\n" + command_line.help())
            return EXIT_OK
        try:
            given = command_line.parse(argv)
        except UserError as error:
            help = f"See: python {argv[0]} --help"
            return report_error(UserError(f"{error}\n{help}"), argv[1:])
        with quiet(given["quiet"]):
            return main(given)

    sys.exit(guarded(parse_and_run, argv[1:]))
