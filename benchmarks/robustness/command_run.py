"""Runs the `gradnet` command on a folder, in this process or in one of its own, with a time limit.

What hangs is named: the first file of the folder of which the command has said nothing.
"""

import dataclasses
import faulthandler
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
    from gradnet_tf.cli import main as cli

    screen = os.fdopen(os.dup(2), "w")
    done = threading.Event()

    def watch():
        size, since = -1, time.monotonic()
        while not done.wait(0.5):
            grown = output.size() + errors.size()
            if grown != size:
                size, since = grown, time.monotonic()
            elif time.monotonic() - since > limit + _START:
                text = output.text() + errors.text()
                print(f"hangs: {_silent(arguments[1], text)}", file=screen, flush=True)
                os._exit(1)

    code, wrong = -1, []
    with screen, _Captured(1, "stdout") as output, _Captured(2, "stderr") as errors:
        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        # A decoder that hangs may never let the watcher run.
        seconds = _START + limit * (1 + len(os.listdir(arguments[1])))
        faulthandler.dump_traceback_later(seconds, exit=True, file=screen)
        try:
            code = cli.main(list(arguments))
        except SystemExit as error:
            code = error.code
        except BaseException:
            wrong.append(traceback.format_exc())
        finally:
            done.set()
            watcher.join()
            faulthandler.cancel_dump_traceback_later()
        told = errors.text()
    return Ended(code, told, wrong)


class _Captured:
    """Sends a stream to a file, with what libraries of C write to its descriptor."""

    def __init__(self, descriptor: int, name: str):
        self._descriptor, self._name = descriptor, name

    def __enter__(self):
        self._old = getattr(sys, self._name)
        self._old.flush()
        self._file = tempfile.TemporaryFile("w+", buffering=1)
        self._saved = os.dup(self._descriptor)
        os.dup2(self._file.fileno(), self._descriptor)
        setattr(sys, self._name, self._file)
        return self

    def __exit__(self, *_):
        setattr(sys, self._name, self._old)
        os.dup2(self._saved, self._descriptor)
        os.close(self._saved)
        self._file.close()

    def size(self) -> int:
        return os.fstat(self._file.fileno()).st_size

    def text(self) -> str:
        self._file.flush()
        return os.pread(self._file.fileno(), self.size(), 0).decode(errors="replace")


def own_process(arguments: Sequence[str], limit: float) -> Ended:
    """Runs the command as people do; see `in_process`."""
    command = [sys.executable, "-m", "gradnet_tf", *arguments]
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, stdout=output, stderr=errors)
        size, since = -1, time.monotonic()
        wrong, peak = [], 0.0
        while process.poll() is None:
            peak = max(peak, _peak(process.pid))
            grown = os.fstat(output.fileno()).st_size + os.fstat(errors.fileno()).st_size
            if grown != size:
                size, since = grown, time.monotonic()
            elif not wrong and time.monotonic() - since > limit + _START:
                wrong.append("hangs")
                process.kill()
            time.sleep(0.1)
        output.seek(0), errors.seek(0)
        text, told = output.read(), errors.read()
        if wrong:
            wrong = [f"hangs: {_silent(arguments[1], text + told)}"]
        return Ended(process.returncode, told, wrong, peak)


def _peak(pid: int) -> float:
    """Returns the peak of a process in MB (Linux; 0 elsewhere).

    What the system tells at its end counts the memory that it had as a copy of this one, too.
    """
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((float(line.split()[1]) / 1e3 for line in lines if line.startswith("VmHWM")), 0.0)


# Seconds that imports and the loading of a network may take in addition.
_START = 60.0


def _silent(folder: str, text: str) -> str:
    """Returns the first file of a folder whose name is not in the text."""
    return next((name for name in sorted(os.listdir(folder)) if name not in text), "after the last")
