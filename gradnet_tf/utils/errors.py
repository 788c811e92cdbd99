"""Errors that reach a person, and the exit codes of every command."""

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
    """A network made NaN or an infinity of a sound picture."""

    exit_code = EXIT_NAN


class NotFiniteError(RuntimeError):
    """Training met a NaN or an infinity and stopped."""

    exit_code = EXIT_NAN


class Interrupted(RuntimeError):
    """Work was interrupted and the same command resumes it."""

    exit_code = EXIT_INTERRUPTED
