"""What `gradnet denoise` is to do: which files, and where each result goes."""

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
from gradnet_tf.utils.console import note
from gradnet_tf.utils.errors import EXIT_OK, EXIT_SOME_FAILED, UserError

#: Takes colour pixels, returns them denoised; the number format stays.
Denoise = Callable[[np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class FileOptions:
    """How files are treated.

    Attributes:
        changes_nothing: the strength is 0: files are copied byte for byte once they have
            been read, since encoding a JPEG again would not give its pixels back.
        quality: of JPEG and lossy WebP and AVIF; see `encode_photo`.
        overwrite: denoises again what has a result already, instead of skipping it.
        max_megapixels: larger pictures fail.
        jobs: files on their way at once: one in the network, the others read or written.
        waiting_memory: bytes for the pictures on their way; by default a quarter of the
            machine's memory. One is always let in, however large.
        settings: what decides the results, kept beside them; see `EarlierResults`.
    """

    changes_nothing: bool = False
    quality: int | None = None
    overwrite: bool = False
    max_megapixels: float = MAX_MEGAPIXELS
    jobs: int = 1
    waiting_memory: float | None = None
    settings: Mapping[str, Any] | None = None


DEFAULTS = FileOptions()

#: By these names people keep pictures that are not read here.
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
    """What is to be done.

    Attributes:
        jobs: file by file.
        failures: what could not be looked into: a line for each.
        notes: what folders hold and was left out: a line for each kind.
        folder: where the results go; every target lies below it.
    """

    jobs: list[Job]
    failures: list[str]
    notes: list[str]
    folder: Path


class _Findings:
    """What is met on the way through the inputs, beside photographs."""

    def __init__(self):
        self.failures: list[str] = []
        self.results: list[Path] = []
        self.strange: collections.Counter[str] = collections.Counter()

    def notes(self) -> list[str]:
        """Returns a line for each kind of what was left out."""
        lines = [f"left out, results of an earlier run: {folder}" for folder in self.results]
        if self.strange:
            kinds = ", ".join(f"{count} {kind}" for kind, count in self.strange.most_common())
            lines.append(f"left out, pictures of other kinds: {kinds}; convert them first")
        return lines


def plan_jobs(inputs: Sequence[str], output: str, recursive: bool = True) -> Plan:
    """Lists what is to be done, without reading a pixel.

    A folder stands for the photographs in it and below, told by their
    suffixes; hidden ones, the output folder and folders of earlier results
    below it are left out. A pattern (`*`, `?`, `[…]`, `**`) stands for what it
    matches. Results keep their place below the folder, or below the part of the
    pattern before its first wildcard.

    Raises:
        UserError: a missing input, a folder without photographs, an output that is no
            folder, a result that would overwrite an input or another result.
    """
    folder = Path(output)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--output={output}: expected a folder. Received: a file.")
    if folder.suffix.lower() in PHOTO_SUFFIXES and not folder.exists():
        raise UserError(
            f"--output={output}: expected a folder for the results, which keep their names. "
            "Received: the name of a picture."
        )
    findings = _Findings()
    sources = list(_sources(inputs, folder, recursive, findings))
    taken = {source.resolve() for source, _ in sources}
    jobs: dict[Path, Job] = {}
    for source, name in sources:
        job = Job(source, folder / name)
        place = job.target.resolve()
        if place in taken:
            raise UserError(
                f"--output={output}: {job.target} is one of the inputs, and inputs are never "
                "overwritten. Give another folder."
            )
        if place in jobs and jobs[place].source.resolve() != source.resolve():
            raise UserError(
                f"{source}: would be written to {job.target}, as would {jobs[place].source}.\n"
                "Denoise folders with equal file names one by one, each to its own --output."
            )
        jobs.setdefault(place, job)
    return Plan(list(jobs.values()), findings.failures, findings.notes(), folder)


def _sources(
    inputs: Sequence[str], output: Path, recursive: bool, findings: _Findings
) -> Iterator[tuple[Path, Path]]:
    """Yields (file, its name below the output folder)."""
    for text in inputs:
        path = Path(text)
        if path.is_dir():
            before = len(findings.failures)
            found = list(_walk(path, output, recursive, findings))
            if not found and len(findings.failures) == before:
                raise UserError(f"{path}: no images in this folder ({', '.join(PHOTO_SUFFIXES)}).")
            yield from ((file, file.relative_to(path)) for file in found)
        elif path.exists():
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
    output = output.resolve()
    files = [
        path
        for path in found
        if path.is_file()
        and path.suffix.lower() in PHOTO_SUFFIXES
        and output not in path.resolve().parents
    ]
    if not files:
        raise UserError(f"{pattern}: matches no images ({', '.join(PHOTO_SUFFIXES)}).")
    for path in sorted(files, key=os.fsencode):
        yield path, path.relative_to(base)


def _walk(folder: Path, output: Path, recursive: bool, findings: _Findings) -> Iterator[Path]:
    """Yields the photographs of a folder in byte order; a folder without access is a failure."""

    def failed(error: OSError) -> None:
        findings.failures.append(
            f"{error.filename}: cannot look into this folder: {error.strerror}"
        )

    output = output.resolve()
    for place, folders, names in os.walk(folder, onerror=failed):
        if recursive:
            folders[:] = sorted(
                (
                    name
                    for name in folders
                    if not name.startswith(".") and Path(place, name).resolve() != output
                ),
                key=os.fsencode,
            )
            earlier = [name for name in folders if os.path.isfile(Path(place, name, RESULTS))]
            findings.results += [Path(place, name) for name in earlier]
            folders[:] = [name for name in folders if name not in earlier]
        else:
            folders.clear()
        for name in sorted(names, key=os.fsencode):
            path = Path(place, name)
            suffix = path.suffix.lower()
            if name.startswith(".") or not path.is_file():
                continue
            if suffix in PHOTO_SUFFIXES:
                yield path
            elif suffix in OTHER_PICTURES:
                findings.strange[suffix] += 1


def dry_run(plan: Plan, overwrite: bool) -> int:
    """Prints what `denoise_files` would do, and does nothing."""
    skipped = 0
    for failure in plan.failures:
        print(f"failed: {failure}", file=sys.stderr)
    for text in plan.notes:
        note(text)
    for job in plan.jobs:
        skip = not overwrite and job.target.exists()
        skipped += skip
        what = f"skipped: {job.target} exists" if skip else f"-> {job.target}"
        print(f"{job.source} {what}")
    print(f"{len(plan.jobs) - skipped} to write, {skipped} to skip; nothing was done")
    return EXIT_SOME_FAILED if plan.failures else EXIT_OK
