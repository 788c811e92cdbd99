"""Runs `gradnet denoise` on mutated files and checks everything that it guarantees.

Example:
  python -m benchmarks.robustness.fuzz_command --mutations=10000 --seed=0

The mutants are those of `benchmarks.robustness.fuzz_photos`, in folders of some hundreds. Each must
result in a readable output of the same size and depth, or in one line on standard error. The exit
code must match; no other files may be left, except for the command's own settings; the inputs must
not change; no file may take longer than --limit seconds; memory must not grow from folder to
folder. Every --process_every-th folder is processed in a separate process. Prints a table and a
line for each violation with the seed and number that reproduce it; the exit code is 1 if there is
one.

A share of the mutants (--others) are not photographs but model files, settings, run folders and
streams; see `benchmarks.robustness.fuzz_others`.
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
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.measuring import process_memory
from benchmarks.robustness import fuzz_others, fuzz_photos
from benchmarks.robustness.fuzz_photos import make_files, mutant
from gradnet_tf.cli.earlier_results import NAME as SETTINGS_NAME
from gradnet_tf.utils.command import run_script
from gradnet_tf.utils.errors import EXIT_OK, EXIT_SOME_FAILED, EXIT_USAGE, UserError
from gradnet_tf.utils.files import sha256_of
from gradnet_tf.utils.options import CommandLine, Given, option


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a run ended.

    Attributes:
        code: the exit code.
        errors: standard error.
        wrong: violations: a traceback, a hang.
        peak: the peak resident memory of a separate process in MB, else `None`.
    """

    code: int
    errors: str
    wrong: list[str]
    peak: float | None = None


def in_process(arguments: Sequence[str], limit: float) -> Ended:
    """Runs `main` of the command in this process, which a hang ends after a line of output.

    Args:
        arguments: the command's arguments; the second is the folder.
        limit: maximum seconds between two lines of output.
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
        # A hanging decoder may hold the GIL, so that the watcher never runs.
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
        text = errors.text()
    return Ended(code, text, wrong)


class _Captured:
    """Redirects a stream to a file, including output of C libraries to its descriptor."""

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
    """Runs the command as a separate process; see `in_process`."""
    command = [sys.executable, "-m", "gradnet_tf", *arguments]
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, stdout=output, stderr=errors)
        size, since = -1, time.monotonic()
        wrong, peak = [], 0.0
        while process.poll() is None:
            peak = max(peak, process_memory(process.pid, peak=True) / 1e6)
            grown = os.fstat(output.fileno()).st_size + os.fstat(errors.fileno()).st_size
            if grown != size:
                size, since = grown, time.monotonic()
            elif not wrong and time.monotonic() - since > limit + _START:
                wrong.append("hangs")
                process.kill()
            time.sleep(0.1)
        output.seek(0), errors.seek(0)
        printed, failed = output.read(), errors.read()
        if wrong:
            wrong = [f"hangs: {_silent(arguments[1], printed + failed)}"]
        return Ended(process.returncode, failed, wrong, peak)


# Additional seconds for imports and for loading a network.
_START = 60.0


def _silent(folder: str, text: str) -> str:
    """Returns the first file of a folder that the text does not mention."""
    return next((name for name in sorted(os.listdir(folder)) if name not in text), "after the last")


@dataclasses.dataclass(frozen=True)
class Options(fuzz_photos.Options):
    """The command's options.

    Attributes:
        folder: mutants per folder.
        process_every: use a separate process for every so many folders; 0 for never.
        model: path or name of the model.
        growth: maximum growth of the memory after the first two folders, in MB.
        others: share of the mutants that are not photographs.
    """

    folder: int = option(500, least=1)
    process_every: int = 4
    model: str = "gradnet_tiny_color_blind"
    growth: float = 100.0
    others: float = option(0.2, least=0.0, most=1.0)


COMMAND_LINE = CommandLine(Options)


#: Mutants may have any size; larger ones are refused, so that the network does not dominate.
MAX_MEGAPIXELS = 0.05
_SUFFIXES = {"jpeg": ".jpg", "tiff": ".tif"}


def write_mutants(folder: Path, numbers: range, seed: int) -> dict[str, str]:
    """Writes mutants into a folder; returns the name of the original by file name."""
    originals = make_files()
    written = {}
    for number in numbers:
        name, data = mutant(originals, seed, number)
        kind = name.split()[0]
        file = f"{number:07d}{_SUFFIXES.get(kind, '.' + kind)}"
        (folder / file).write_bytes(data)
        written[file] = name
    return written


def outcomes(source: Path, target: Path, errors: str) -> dict[str, str]:
    """Returns "written", "refused" or a violation for every file of a folder."""
    lines = errors.splitlines()
    found = {}
    for path in sorted(source.iterdir()):
        # Notes say what is odd about a file, or not in its result.
        mentions = sum(path.name in line for line in lines if not line.startswith("note: "))
        result = target / path.name
        if result.exists() and mentions:
            found[path.name] = f"a result and {mentions} lines on standard error"
        elif result.exists():
            found[path.name] = _compare(path, result)
        elif mentions != 1:
            found[path.name] = f"no result and {mentions} lines"
        else:
            found[path.name] = "no result, although it is readable" if _opens(path) else "refused"
    return found


def _opens(path: Path) -> bool:
    from gradnet_tf.images.photo_files import read_photo

    try:
        read_photo(path, MAX_MEGAPIXELS)
    except UserError:
        return False
    return True


def _compare(path: Path, result: Path) -> str:
    from gradnet_tf.images.photo_files import read_photo

    try:
        before, after = read_photo(path), read_photo(result)
    except UserError as error:
        return f"a result that cannot be read: {error}"
    same = after.array.shape == before.array.shape and after.array.dtype == before.array.dtype
    if not same or after.format != before.format:
        return f"{before.format} {before.array.shape} became {after.format} {after.array.shape}"
    return "written"


def complaints(
    source: Path, target: Path, hashes: dict[str, str], code: int, errors: str, counts: Counter
) -> list[str]:
    """Returns the violations of a folder as a whole."""
    wanted = EXIT_SOME_FAILED if counts["refused"] else EXIT_OK
    if not counts["written"]:
        wanted = EXIT_USAGE
    found = [] if code == wanted else [f"exit code {code}, expected {wanted}"]
    inputs = {path.name: sha256_of(path) for path in source.iterdir()}
    if inputs != hashes:
        found.append("the inputs have changed")
    results = {path.name for path in target.rglob("*")} if target.exists() else set()
    strays = results - set(inputs) - {SETTINGS_NAME}
    if strays:
        found.append(f"unexpected files: {sorted(strays)}")
    known = ("failed: ", "note: ")
    strange = [line for line in errors.splitlines() if line and not line.startswith(known)]
    if strange:
        found.append(f"{len(strange)} other lines on standard error: {strange[0]}")
    return found


def fuzz_folder(numbers: range, seed: int, model: str, limit: float, alone: bool):
    """Runs the command on one folder of mutants.

    Returns:
        Counts by (original, outcome), a list of violations, and the peak memory of a separate
        process in MB, or `None`.
    """
    with tempfile.TemporaryDirectory() as temporary:
        source, target = Path(temporary, "mutants"), Path(temporary, "results")
        source.mkdir()
        originals = write_mutants(source, numbers, seed)
        hashes = {path.name: sha256_of(path) for path in source.iterdir()}
        options = [f"--output={target}", f"--model={model}", f"--max-megapixels={MAX_MEGAPIXELS}"]
        run = own_process if alone else in_process
        ended = run(["denoise", str(source), *options], limit)
        by_file = outcomes(source, target, ended.errors)
        counts = Counter(by_file.values())
        found = complaints(source, target, hashes, ended.code, ended.errors, counts)
        violations = [f"folder from {numbers.start}: {text}" for text in [*ended.wrong, *found]]
        table: Counter = Counter()
        for file, outcome in by_file.items():
            good = outcome in ("written", "refused")
            table[originals[file], outcome if good else "wrong"] += 1
            if not good:
                violations.append(f"{file}, seed {seed}, {originals[file]}: {outcome}")
        return table, violations, ended.peak


def fuzz_other_files(numbers: range, seed: int, limit: float) -> tuple[Counter, list[str]]:
    """Runs the command on mutants of other files than photographs.

    Returns:
        Counts by (kind, outcome), and a list of violations.
    """
    table: Counter = Counter()
    violations = []
    with tempfile.TemporaryDirectory() as temporary:
        (originals := Path(temporary, "originals")).mkdir()
        valid = fuzz_others.Originals(originals)
        for number in numbers:
            kind = fuzz_others.KINDS[number % len(fuzz_others.KINDS)]
            random = np.random.default_rng((seed, number))
            with tempfile.TemporaryDirectory(dir=temporary) as folder:
                outcome = fuzz_others.run_mutant(valid, kind, Path(folder), random, limit + _START)
            good = outcome in ("written", "refused", "interrupted")
            table[kind, outcome if good else "wrong"] += 1
            if not good:
                violations.append(f"number {number}, seed {seed}, {kind}: {outcome}")
                print(violations[-1], flush=True)
            if table.total() % 100 == 0:
                _show_progress(table)
    return table, violations


def _show_progress(table: Counter) -> None:
    """Prints how many mutants came to which end so far."""
    ends: Counter = Counter()
    for (_, outcome), count in table.items():
        ends[outcome] += count
    print(f"{ends.total()} done: {dict(ends)}", file=sys.stderr, flush=True)


def main(given: Given) -> int:
    """Processes all folders and prints the table; returns the exit code."""
    options = given.make(Options)
    table: Counter = Counter()
    violations: list[str] = []
    memory, peaks = [], []
    start = time.perf_counter()
    stop = options.first + options.mutations
    count_others = round(options.mutations * options.others)
    if count_others:
        # First, because this process cannot be forked once it has loaded a network.
        numbers = range(options.first, options.first + count_others)
        table, violations = fuzz_other_files(numbers, options.seed, options.limit)
        stop -= count_others
    for count, first in enumerate(range(options.first, stop, options.folder)):
        numbers = range(first, min(first + options.folder, stop))
        alone = bool(options.process_every) and (count + 1) % options.process_every == 0
        counts, found, peak = fuzz_folder(
            numbers, options.seed, options.model, options.limit, alone
        )
        table += counts
        violations += found
        _show_progress(table)
        for text in found:
            print(text, flush=True)
        if alone:
            peaks.append(peak)
        else:
            memory.append(process_memory() / 1e6)
    # The color and the gray network are loaded by the end of the second folder.
    if len(memory) > 2 and memory[-1] > memory[1] + options.growth:
        violations.append(f"the memory grew from {memory[1]:.0f} to {memory[-1]:.0f} MB")
        print(violations[-1])
    kinds = ("written", "refused", "interrupted", "wrong")
    for name in [*dict.fromkeys(key[0] for key in table), "all"]:
        row = [sum(n for k, n in table.items() if name in (k[0], "all") and k[1] == kind)
               for kind in kinds]  # fmt: skip
        print(f"{name:22}" + "".join(f"{n:7} {k}" for n, k in zip(row, kinds, strict=True)))
    print(f"{len(violations)} violations in {time.perf_counter() - start:.0f} s")
    print("memory after folders in MB: " + " ".join(f"{value:.0f}" for value in memory))
    print("peaks of separate processes in MB: " + " ".join(f"{peak:.0f}" for peak in peaks))
    return EXIT_SOME_FAILED if violations else EXIT_OK


if __name__ == "__main__":
    run_script(main, __doc__, COMMAND_LINE)
