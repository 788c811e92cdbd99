"""Plans `gradnet denoise`: which files to denoise, and where each result goes."""

import collections
import dataclasses
import glob
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gradnet_tf.cli.earlier_results import NAME as RESULTS
from gradnet_tf.images import MAX_MEGAPIXELS
from gradnet_tf.images.photo_files import PHOTO_SUFFIXES
from gradnet_tf.utils.console import NAME_ESCAPES, note
from gradnet_tf.utils.errors import EXIT_OK, EXIT_SOME_FAILED, UserError

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
        failures: one line for each folder that could not be read.
        notes: one line for each kind of file that was skipped.
        folder: the output folder; all targets are below it.
    """

    jobs: list[Job]
    failures: list[str]
    notes: list[str]
    folder: Path


class _Findings:
    """What else was found in the input folders."""

    def __init__(self):
        self.failures: list[str] = []
        self.results: list[Path] = []
        self.strange: collections.Counter[str] = collections.Counter()

    def notes(self) -> list[str]:
        """Returns a line for each kind of file that was left out."""
        lines = [f"left out, results of an earlier run: {folder}" for folder in self.results]
        if self.strange:
            kinds = ", ".join(f"{count} {kind}" for kind, count in self.strange.most_common())
            lines.append(f"left out, pictures of other kinds: {kinds}; convert them first")
        return lines


def plan_jobs(inputs: Sequence[str], output: str, recursive: bool = True) -> Plan:
    """Lists the files to denoise, without reading any of them.

    A folder means all photographs in it and in its subfolders, recognized by their suffixes.
    Hidden files, the output folder and folders with earlier results are left out. A pattern
    (`*`, `?`, `[…]`, `**`) means the files that match it. Results keep their relative path below
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
    return Plan(list(jobs.values()), findings.failures, findings.notes(), folder)


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
                raise UserError(f"{path}: no images in this folder ({', '.join(PHOTO_SUFFIXES)}).")
            yield from ((file, file.relative_to(path)) for file in found)
        elif os.path.lexists(path):
            os.stat(path)  # raises the system's reason, for a circle of links or no access
            yield path, Path(path.name)
        elif glob.has_magic(text):
            yield from _matches(text, output)
        else:
            raise UserError(f"{path}: no such file or folder.")


def _matches(pattern: str, output: Path) -> Iterator[tuple[Path, Path]]:
    parts = Path(pattern).parts
    fixed = next(number for number, part in enumerate(parts) if glob.has_magic(part))
    base = Path(*parts[:fixed])
    found = [Path(name) for name in glob.glob(pattern, recursive=True)]
    output = Path(os.path.realpath(output))
    files = [
        path
        for path in found
        if path.is_file()
        and path.suffix.lower() in PHOTO_SUFFIXES
        and output not in Path(os.path.realpath(path)).parents
    ]
    if not files:
        raise UserError(f"{pattern}: matches no images ({', '.join(PHOTO_SUFFIXES)}).")
    for path in sorted(files, key=os.fsencode):
        yield path, path.relative_to(base)


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
            suffix = path.suffix.lower()
            if entry.name.startswith("."):
                continue
            if _is_folder(entry):
                if recursive and os.path.realpath(path) != output_place:
                    is_result = os.path.isfile(path / RESULTS)
                    (findings.results if is_result else folders).append(path)
                continue
            try:
                is_file = path.is_file()
            except OSError as error:
                findings.failures.append(f"{path}: {error.strerror}")
                continue
            if is_file and suffix in PHOTO_SUFFIXES:
                yield path
            elif is_file and suffix in OTHER_PICTURES:
                findings.strange[suffix] += 1
        waiting += reversed(folders)


def _is_folder(entry: os.DirEntry) -> bool:
    """Whether it is a folder, and no link to one, which might lead back to where it is."""
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False


def dry_run(plan: Plan, overwrite: bool) -> int:
    """Prints what `denoise_files` would do, without doing it."""
    skipped = 0
    for failure in plan.failures:
        print(f"failed: {failure}", file=sys.stderr)
    for text in plan.notes:
        note(text)
    for job in plan.jobs:
        skip = not overwrite and os.path.lexists(job.target)
        skipped += skip
        what = f"skipped: {job.target} exists" if skip else f"-> {job.target}"
        print(f"{job.source} {what}".translate(NAME_ESCAPES))
    print(f"{len(plan.jobs) - skipped} to write, {skipped} to skip; nothing was done")
    return EXIT_SOME_FAILED if plan.failures else EXIT_OK
