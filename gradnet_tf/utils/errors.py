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
