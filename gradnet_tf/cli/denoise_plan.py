"""Plans `gradnet denoise`: which files to denoise, and where each result goes."""

import collections
import dataclasses
import fnmatch
import glob
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gradnet_tf.cli.earlier_results import FOREIGN, JOURNAL, EarlierResults
from gradnet_tf.cli.earlier_results import NAME as RESULTS
from gradnet_tf.images import MAX_MEGAPIXELS
from gradnet_tf.images.photo_files import PHOTO_SUFFIXES
from gradnet_tf.images.raw.raw_photo import RAW_SUFFIXES
from gradnet_tf.utils.console import NAME_ESCAPES, note
from gradnet_tf.utils.errors import EXIT_OK, EXIT_SOME_FAILED, UserError
from gradnet_tf.utils.ownership import DRAWN_BY, MANIFEST, is_drawn_by, is_recorded

#: Maps pixels to denoised pixels of the same shape and dtype.
Denoise = Callable[[np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class FileOptions:
    """How files are processed.

    Attributes:
        changes_nothing: the strength is 0: valid files are copied byte for byte, since
            encoding a JPEG again would change its pixels.
        quality: quality of JPEG and of lossy WebP and AVIF; see `encode_photo`.
        overwrite: replace existing results instead of skipping them.
        max_megapixels: larger pictures are refused.
        jobs: files in flight; reading and writing overlap with the network.
        waiting_memory: memory budget in bytes for the files in flight; by default a quarter
            of the machine's memory. At least one file is always admitted.
        settings: the settings that determine the results; they are recorded in the output
            folder, see `EarlierResults`.
    """

    changes_nothing: bool = False
    quality: int | None = None
    overwrite: bool = False
    max_megapixels: float = MAX_MEGAPIXELS
    jobs: int = 1
    waiting_memory: float | None = None
    settings: Mapping[str, Any] | None = None


DEFAULTS = FileOptions()

#: Suffixes of pictures that are not supported.
OTHER_PICTURES = tuple(
    ".heic .heif .gif .jp2 .jxl .psd .dng .cr2 .cr3 .nef .arw .raf .orf .rw2".split()
)


@dataclasses.dataclass(frozen=True)
class Job:
    """One file to denoise and where the result goes."""

    source: Path
    target: Path


@dataclasses.dataclass(frozen=True)
class Plan:
    """The files to denoise.

    Attributes:
        jobs: one for each file.
        failures: one line for each folder that could not be read, and each link to a photograph
            that is not there.
        notes: one line for each kind of entry that was left out and may have been wanted.
        folder: the output folder; all targets are below it.
        left_out: how many entries were left out in all, by kind; "" if none were.
    """

    jobs: list[Job]
    failures: list[str]
    notes: list[str]
    folder: Path
    left_out: str = ""

    def tell(self) -> None:
        """Prints the failures and the notes to standard error."""
        for failure in self.failures:
            print(f"failed: {failure}".translate(NAME_ESCAPES), file=sys.stderr)
        for text in self.notes:
            note(text)


class _Findings:
    """What else was found in the inputs: every entry that is not denoised is counted."""

    def __init__(self):
        self.failures: list[str] = []
        self.results: list[Path] = []
        self.links: list[Path] = []
        self.strange: collections.Counter[str] = collections.Counter()
        self.others: collections.Counter[str] = collections.Counter()

    def add(self, path: Path, is_named: bool = False) -> bool:
        """Sorts an entry that is no folder; returns whether it is a photograph to denoise.

        Args:
            path: the entry.
            is_named: its hidden name, if it is one, was asked for.
        """
        suffix = path.suffix.lower()
        if path.name in _OWN_NAMES:
            return False
        if path.name.startswith(".") and not is_named:
            self.others["hidden"] += 1
        elif suffix in PHOTO_SUFFIXES and path.is_file():
            if not is_named and path.stem.endswith("_preview") and is_recorded(path):
                self.others["sheets of --preview"] += 1
                return False
            if not is_named and suffix == ".png" and is_drawn_by(path, DRAWN_BY):
                self.others["charts of gradnet"] += 1
                return False
            return True
        elif path.is_symlink() and not path.exists():
            if suffix in PHOTO_SUFFIXES:
                target = os.readlink(path)
                self.failures.append(f"{path}: this link leads nowhere: {target} does not exist")
            else:
                self.others["links that lead nowhere"] += 1
        elif not path.is_file():
            self.others["pipes and devices"] += 1
        elif suffix in OTHER_PICTURES:
            self.strange[suffix] += 1
        else:
            self.others[suffix or "without a suffix"] += 1
        return False

    def left_out(self) -> str:
        """Returns "7 left out (.txt: 4, .heic: 2, hidden: 1)", "" if nothing was left out.

        Failures are counted as such.
        """
        counts = self.strange + self.others
        counts["links to folders"] = len(self.links)
        counts["folders of earlier results"] = len(self.results)
        counts = +counts
        common = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        words = ", ".join(f"{kind}: {count}" for kind, count in common)
        return f"{counts.total()} left out ({words})" if counts else ""

    def notes(self) -> list[str]:
        """Returns a line for each kind of entry that was left out and may have been wanted."""
        lines = [f"left out, results of an earlier run: {folder}" for folder in self.results]
        if self.strange:
            kinds = ", ".join(f"{count} {kind}" for kind, count in self.strange.most_common())
            lines.append(f"left out, pictures of other kinds: {kinds}; convert them first")
        if self.links:
            named = ", ".join(map(str, self.links[:_MOST_NAMED]))
            more = len(self.links) - _MOST_NAMED
            named += f" and {more} more" if more > 0 else ""
            lines.append(f"left out, links to folders: {named}; name them as inputs to follow them")
        return lines


_OWN_NAMES = (RESULTS, JOURNAL, MANIFEST)
_MOST_NAMED = 5


def plan_jobs(inputs: Sequence[str], output: str, recursive: bool = True) -> Plan:
    """Lists the files to denoise, without reading any of them.

    A folder means all photographs in it and in its subfolders, recognized by their suffixes.
    Hidden files, the output folder and folders with earlier results are left out. A pattern
    (`*`, `?`, `[…]`, `**`) means the files that match it. Links to files are read; links to
    folders are followed only where they are an input themselves, or in the part of a pattern
    before its first wildcard. What is left out is counted. Results keep their relative path below
    the folder, or below the part of the pattern before its first wildcard.

    Raises:
        UserError: a missing input, a folder without photographs, an output that is not a
            folder, or a result that would overwrite an input or another result.
    """
    folder = Path(output)
    if os.path.lexists(folder) and not os.path.isdir(folder):
        os.stat(folder)  # raises the system's reason, for a circle of links or no access
        raise UserError(f"--output={output}: expected a folder. Received: a file.")
    if folder.suffix.lower() in PHOTO_SUFFIXES and not folder.exists():
        raise UserError(
            f"--output={output}: expected a folder for the results, which keep their names. "
            "Received: the name of a picture."
        )
    findings = _Findings()
    sources = list(_sources(inputs, folder, recursive, findings))
    taken = {os.path.realpath(source) for source, _ in sources}
    jobs: dict[str, Job] = {}
    for source, name in sources:
        # What is developed from a raw file is a TIFF.
        name = name.with_suffix(".tif") if name.suffix.lower() in RAW_SUFFIXES else name
        job = Job(source, folder / name)
        place = os.path.realpath(job.target)
        if place in taken:
            raise UserError(
                f"--output={output}: {job.target} is one of the inputs, and inputs are never "
                "overwritten. Give another folder."
            )
        if place in jobs and not os.path.samefile(jobs[place].source, source):
            raise UserError(
                f"{source}: would be written to {job.target}, as would {jobs[place].source}.\n"
                "Denoise folders with equal file names one by one, each to its own --output."
            )
        jobs.setdefault(place, job)
    return Plan(
        list(jobs.values()), findings.failures, findings.notes(), folder, findings.left_out()
    )


def photos_in(folder: str) -> tuple[list[str], int]:
    """Lists the photographs that `plan_jobs` finds in a folder, and prints what may be missed.

    Returns:
        The files, and how many entries could not be read.

    Raises:
        UserError: there are neither.
    """
    findings = _Findings()
    found = [str(file) for file, _ in _sources([folder], Path(os.devnull), True, findings)]
    Plan([], findings.failures, findings.notes(), Path(folder)).tell()
    return found, len(findings.failures)


def _sources(
    inputs: Sequence[str], output: Path, recursive: bool, findings: _Findings
) -> Iterator[tuple[Path, Path]]:
    """Yields (file, path of its result relative to the output folder)."""
    for text in inputs:
        if not text:
            raise UserError("INPUT: expected a file, a folder or a pattern. Received: no text.")
        path = Path(text)
        if path.is_dir():
            before = len(findings.failures)
            found = list(_walk(path, output, recursive, findings))
            if not found and len(findings.failures) == before:
                raise _no_images(f"{path}: no images in this folder", findings)
            yield from ((file, file.relative_to(path)) for file in found)
        elif os.path.lexists(path):
            os.stat(path)  # raises the system's reason, for a circle of links or no access
            yield path, Path(path.name)
        elif glob.has_magic(text):
            yield from _matches(text, output, findings)
        else:
            raise UserError(f"{path}: no such file or folder.")


def _matches(pattern: str, output: Path, findings: _Findings) -> Iterator[tuple[Path, Path]]:
    """Yields the photographs that match a pattern, in byte order."""
    parts = Path(pattern).parts
    fixed = next(number for number, part in enumerate(parts) if glob.has_magic(part))
    # A folder that exists by that name is meant, as among whole inputs: "photos [2024]/*.jpg".
    while fixed < len(parts) - 1 and Path(*parts[: fixed + 1]).is_dir():
        fixed += 1
    base = Path(*parts[:fixed])
    found = _glob(base, parts[fixed:], findings)
    output = Path(os.path.realpath(output))
    # A link to itself has no path that `Path.resolve` would return.
    real = [Path(os.path.realpath(path)) for path in found]
    below = [
        path
        for path, place in zip(found, real, strict=True)
        if output not in (place, *place.parents)
    ]
    before = len(findings.failures)
    files = [path for path in below if not path.is_dir() and findings.add(path, True)]
    if not files and len(findings.failures) == before:
        raise _no_images(f"{pattern}: matches no images", findings)
    for path in files:
        yield path, path.relative_to(base)


def _glob(base: Path, parts: Sequence[str], findings: _Findings) -> list[Path]:
    """Returns what matches a pattern below a folder, in byte order.

    As in a shell, names with a leading dot match only patterns with a leading dot. Links to
    folders are not followed: they may lead back to the folder itself, or to everything.
    """
    # Within a name, ** is the same as *; at the end it means everything below.
    wanted = [part if part == "**" else re.sub(r"\*\*+", "*", part) for part in parts]
    if wanted[-1] == "**":
        wanted.append("*")
    found, links, seen = set(), set(), set()
    waiting = [(base, 0)]
    while waiting:
        place, depth = waiting.pop()
        if (place, depth) in seen:  # "**/**" comes to a folder in several ways
            continue
        seen.add((place, depth))
        part, is_last = wanted[depth], depth == len(wanted) - 1
        if part == "**":
            waiting.append((place, depth + 1))
        for path in _entries(place, part, findings):
            if path.is_dir() and path.is_symlink():
                links.add(path)
            elif part == "**":
                if path.is_dir():
                    waiting.append((path, depth))
            elif is_last:
                found.add(path)
            elif path.is_dir():
                waiting.append((path, depth + 1))
    findings.links += sorted(links, key=os.fsencode)
    return sorted(found, key=os.fsencode)


def _entries(folder: Path, part: str, findings: _Findings) -> Iterator[Path]:
    """Yields what one part of a pattern matches in a folder."""
    if not glob.has_magic(part):
        path = folder / part
        if os.path.lexists(path):
            yield path
        return
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        failure = f"{folder}: cannot read this folder: {error.strerror}"
        if failure not in findings.failures:  # "**" comes to a folder twice
            findings.failures.append(failure)
        return
    for name in names:
        if name.startswith(".") and not part.startswith("."):
            continue
        if part == "**" or fnmatch.fnmatch(name, part):
            yield folder / name


def _no_images(text: str, findings: _Findings) -> UserError:
    """Returns the error for an input without photographs, with what was there instead."""
    others = findings.left_out()
    received = f"\nReceived: {others}." if others else ""
    return UserError(f"{text} ({', '.join(PHOTO_SUFFIXES)}).{received}")


def _walk(folder: Path, output: Path, recursive: bool, findings: _Findings) -> Iterator[Path]:
    """Yields the photographs in a folder in byte order; unreadable folders are failures."""

    output_place = os.path.realpath(output)
    # Without recursion, which Python limits to some hundreds of levels.
    waiting = [folder]
    while waiting:
        place = waiting.pop()
        try:
            with os.scandir(place) as listed:
                entries = sorted(listed, key=lambda entry: os.fsencode(entry.name))
        except OSError as error:
            findings.failures.append(f"{place}: cannot read this folder: {error.strerror}")
            continue
        folders = []
        for entry in entries:
            path = Path(place, entry.name)
            try:
                if not path.is_dir():
                    if findings.add(path):
                        yield path
                elif recursive and os.path.realpath(path) != output_place:
                    _sort_folder(path, folders, findings)
            except OSError as error:
                findings.failures.append(f"{path}: {error.strerror}")
        waiting += reversed(folders)


def _sort_folder(path: Path, folders: list[Path], findings: _Findings) -> None:
    """Adds a folder to those that are looked through, or to what is left out."""
    if path.name.startswith("."):
        findings.others["hidden"] += 1
    elif path.is_symlink():
        # It may lead back to the folder itself, or to everything.
        findings.links.append(path)
    elif os.path.isfile(path / RESULTS) or os.path.isfile(path / JOURNAL):
        findings.results.append(path)
    else:
        folders.append(path)


def dry_run(plan: Plan, overwrite: bool, settings: Mapping[str, Any]) -> int:
    """Prints what `denoise_files` would do, without doing it."""
    earlier = EarlierResults(plan.folder, settings)
    skipped = refused = 0
    plan.tell()
    for job in plan.jobs:
        skip = not overwrite and os.path.lexists(job.target)
        foreign = overwrite and earlier.is_foreign(job.target)
        skipped, refused = skipped + skip, refused + foreign
        if foreign:
            line = f"failed: {job.source}: {job.target} {FOREIGN}"
            print(line.translate(NAME_ESCAPES), file=sys.stderr)
            continue
        what = f"skipped: {job.target} exists" if skip else f"-> {job.target}"
        print(f"{job.source} {what}".translate(NAME_ESCAPES))
    counts = [f"{len(plan.jobs) - skipped - refused} to write", f"{skipped} to skip", plan.left_out]
    counts.insert(2, f"{refused} to refuse" if refused else "")
    print(f"{', '.join(filter(None, counts))}; nothing was done")
    return EXIT_SOME_FAILED if plan.failures or refused else EXIT_OK
