"""Runs the `gradnet` command on a folder, in this process or in one of its own, with a time limit.

What hangs is named: the first file of the folder of which the command has said nothing.
"""

import contextlib
import dataclasses
import faulthandler
import io
import os
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Sequence
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a run ended.

    Attributes:
        code: the exit code.
        errors: standard error.
        wrong: what no run should do: a traceback, a hang.
        peak: the largest resident memory of a process of its own in MB, else `None`.
    """

    code: int
    errors: str
    wrong: list[str]
    peak: float | None = None


def resident() -> float:
    """Returns the resident memory of this process in MB (Linux; 0 elsewhere)."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def in_process(arguments: Sequence[str], limit: float) -> Ended:
    """Runs `main` of the command here. What hangs ends this process, after a line.

    Args:
        arguments: of the command; the second is the folder.
        limit: seconds without a line about the next file.
    """
    from gradnet_tf.inference import cli

    output, errors = io.StringIO(), io.StringIO()
    screen = sys.stderr
    done = threading.Event()

    def watch():
        size, since = -1, time.monotonic()
        while not done.wait(0.5):
            grown = output.tell() + errors.tell()
            if grown != size:
                size, since = grown, time.monotonic()
            elif time.monotonic() - since > limit + _START:
                text = output.getvalue() + errors.getvalue()
                print(f"hangs: {_silent(arguments[1], text)}", file=screen, flush=True)
                os._exit(1)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    # A decoder that hangs may never let the watcher run.
    seconds = _START + limit * (1 + len(os.listdir(arguments[1])))
    faulthandler.dump_traceback_later(seconds, exit=True, file=screen)
    code, wrong = -1, []
    try:
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
            code = cli.main(list(arguments))
    except SystemExit as error:
        code = error.code
    except BaseException:
        wrong.append(traceback.format_exc())
    finally:
        done.set()
        watcher.join()
        faulthandler.cancel_dump_traceback_later()
    return Ended(code, errors.getvalue(), wrong)


def own_process(arguments: Sequence[str], limit: float) -> Ended:
    """Runs the command as people do; see `in_process`."""
    command = [sys.executable, "-m", "gradnet_tf", *arguments]
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, stdout=output, stderr=errors)
        size, since = -1, time.monotonic()
        wrong = []
        while True:
            ended, status, usage = os.wait4(process.pid, os.WNOHANG)
            if ended:
                break
            grown = os.fstat(output.fileno()).st_size + os.fstat(errors.fileno()).st_size
            if grown != size:
                size, since = grown, time.monotonic()
            elif not wrong and time.monotonic() - since > limit + _START:
                wrong.append("hangs")
                process.kill()
            time.sleep(0.1)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0), errors.seek(0)
        text, told = output.read(), errors.read()
        if wrong:
            wrong = [f"hangs: {_silent(arguments[1], text + told)}"]
        return Ended(process.returncode, told, wrong, usage.ru_maxrss / 1e3)


# Seconds that imports and the loading of a network may take in addition.
_START = 60.0


def _silent(folder: str, text: str) -> str:
    """Returns the first file of a folder whose name is not in the text."""
    return next((name for name in sorted(os.listdir(folder)) if name not in text), "after the last")
