"""Counts the project's files that `gradnet denoise` on one photograph passes through.

    python -m benchmarks.call_trace PHOTO [OUTPUT [FLAGS...]]

Prints the files in the order in which they are first entered, how many there are, and how many
calls go from one file to another. Both numbers measure how hard it is to follow a photograph
through the program. Calls are counted from the start of the command to its exit code; the bodies
of modules, which run when they are imported, are not.
"""

import inspect
import sys
import tempfile
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


class Trace:
    """A profile function that records which project files are entered, and every change of file."""

    def __init__(self, folder: Path):
        self.folder = str(folder) + "/"
        #: Files of which a function was called, in the order of first calls, with their calls.
        self.files: dict[str, int] = {}
        #: Files that were imported during the trace.
        self.imported: set[str] = set()
        #: Calls into another file than the one entered last in the same thread.
        self.switches = 0
        self._last: dict[int, str] = {}

    def __call__(self, frame, event, argument):
        """Takes one event of `sys.setprofile`."""
        name = frame.f_code.co_filename
        if event != "call" or not name.startswith(self.folder):
            return
        if frame.f_code.co_name == "<module>":
            self.imported.add(name)
            return
        # The bodies of classes, and comprehensions at module level, run while their module is
        # imported.
        caller = frame.f_back
        is_module_level = caller is not None and caller.f_code.co_name == "<module>"
        if not frame.f_code.co_flags & inspect.CO_NEWLOCALS or (
            is_module_level and caller.f_code.co_filename == name
        ):
            return
        thread = threading.get_ident()
        self.files[name] = self.files.get(name, 0) + 1
        last = self._last.get(thread)
        if last is not None and last != name:
            self.switches += 1
        self._last[thread] = name


def trace_command(arguments: list[str]) -> tuple[Trace, int]:
    """Runs `gradnet` with `arguments` in this process; returns the trace and the exit code."""
    import gradnet_tf
    from gradnet_tf.__main__ import main

    trace = Trace(Path(gradnet_tf.__file__).resolve().parent)
    threading.setprofile(trace)
    sys.setprofile(trace)
    try:
        code = main(arguments)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return trace, code


def main() -> int:
    """Traces one photograph; returns the command's exit code."""
    if len(sys.argv) < 2:
        print(
            "PHOTO is missing: python -m benchmarks.call_trace PHOTO [OUTPUT [FLAGS...]]",
            file=sys.stderr,
        )
        return 2
    with tempfile.TemporaryDirectory() as folder:
        output = sys.argv[2] if len(sys.argv) > 2 else folder
        trace, code = trace_command(["denoise", sys.argv[1], "--output", output, *sys.argv[3:]])
    for name, calls in trace.files.items():
        print(f"{calls:6}  {Path(name).relative_to(ROOT)}")
    entered = len(trace.imported | set(trace.files))
    print(f"{len(trace.files)} files, {trace.switches} switches between files; ", end="")
    print(f"{entered} files with those that were only imported")
    return code


if __name__ == "__main__":
    sys.exit(main())
