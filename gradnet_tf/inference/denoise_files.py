"""Denoises photographs into a folder, or from stdin to stdout: the work of `gradnet denoise`."""

import dataclasses
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np

from gradnet_tf.errors import (
    EXIT_OK,
    EXIT_SOME_FAILED,
    EXIT_USAGE,
    Interrupted,
    UserError,
)
from gradnet_tf.inference.denoise_plan import Job, Plan
from gradnet_tf.photos import MAX_MEGAPIXELS
from gradnet_tf.photos.files import decode_photo, encode_photo, read_photo, write_encoded
from gradnet_tf.photos.photo import Photo
from gradnet_tf.progress import ProgressLine, format_seconds

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
    """

    changes_nothing: bool = False
    quality: int | None = None
    overwrite: bool = False
    max_megapixels: float = MAX_MEGAPIXELS


class _Tally:
    """Counts what happened and says so, a line at a time."""

    def __init__(self, total_bytes: int):
        self.written = self.skipped = self.failed = self.readable = 0
        self.megapixels = self.seconds = 0.0
        self._bytes = total_bytes
        self._done_bytes = 0
        self._timed_bytes = 0
        self._line = ProgressLine()

    def fail(self, name: object, error: Exception | str) -> None:
        self.failed += 1
        reason = " ".join(str(error).split()) or type(error).__name__
        line = reason if str(name) in reason else f"{name}: {reason}"
        self._line.end()
        print(f"failed: {line}", file=sys.stderr, flush=True)

    def write(self, job: Job, photo: Photo, seconds: float) -> None:
        self.written += 1
        size = photo.pixels.shape[0] * photo.pixels.shape[1] / 1e6
        self.megapixels, self.seconds = self.megapixels + size, self.seconds + seconds
        self._timed_bytes += len(photo.encoded)
        self._line.end()
        rate = f"{size / max(seconds, 1e-9):.3g} megapixels/s"
        print(f"{job.source} -> {job.target}  {rate}", flush=True)

    def skip(self, job: Job) -> None:
        self.skipped += 1
        self._line.end()
        print(f"{job.source} skipped: {job.target} exists (--overwrite makes it anew)", flush=True)

    def progress(self, done: int, total: int, num_bytes: int) -> None:
        """Shows how far the work is, and the time left by the bytes that are still to be read."""
        self._done_bytes += num_bytes
        if total < 2 or done == total or not self._timed_bytes or not self._line.stream.isatty():
            return
        left = self.seconds * (self._bytes - self._done_bytes) / self._timed_bytes
        rate = self.megapixels / max(self.seconds, 1e-9)
        self._line.show(
            f"{done} of {total} files  {rate:.3g} megapixels/s  {format_seconds(left)} left"
        )

    def summary(self) -> str:
        counts = f"{self.written} written, {self.skipped} skipped, {self.failed} failed"
        if not self.written:
            return counts
        return f"{counts}, {self.megapixels:.3g} megapixels in {self.seconds:.1f} s"


def denoise_files(
    plan: Plan, load: Callable[[], Denoise], options: FileOptions = FileOptions()
) -> int:
    """Denoises file by file; a failure costs one line and does not stop the rest.

    Standard output gets a line per result and a summary, standard error a line
    per failure, and the progress on a terminal.

    Args:
        plan: from `plan_jobs`.
        load: returns the denoiser; called once, when the first image has been read.
        options: how files are treated.

    Returns:
        0 when all were written or skipped, 2 when no input was a readable image, else 1.

    Raises:
        Interrupted: by Ctrl-C, after the summary.
    """
    sizes = [_size_of(job.source) for job in plan.jobs]
    tally = _Tally(sum(sizes))
    for failure in plan.failures:
        tally.fail("", failure)
    denoise = None
    try:
        for number, (job, size) in enumerate(zip(plan.jobs, sizes, strict=True), start=1):
            if not options.overwrite and job.target.exists():
                tally.skip(job)
            else:
                denoise = _do(job, denoise, load, options, tally)
            tally.progress(number, len(plan.jobs), size)
    except KeyboardInterrupt:
        print(tally.summary(), flush=True)
        raise Interrupted(
            "interrupted: no file is half written; the same command goes on with the rest."
        ) from None
    print(tally.summary())
    if not tally.readable and not tally.skipped:
        return EXIT_USAGE
    return EXIT_SOME_FAILED if tally.failed else EXIT_OK


def _do(
    job: Job,
    denoise: Denoise | None,
    load: Callable[[], Denoise],
    options: FileOptions,
    tally: _Tally,
) -> Denoise | None:
    """Denoises one file; returns the denoiser, if it is loaded by now."""
    try:
        photo = read_photo(job.source, options.max_megapixels)
    except (UserError, OSError, MemoryError) as error:
        tally.fail(job.source, error)
        return denoise
    tally.readable += 1
    if denoise is None and not options.changes_nothing:
        _make_folder(job.target.parent)
        denoise = load()
    start = time.perf_counter()
    try:
        write_encoded(job.target, _denoised(photo, denoise, options))
    except (UserError, OSError, MemoryError) as error:
        tally.fail(job.source, error)
    else:
        tally.write(job, photo, time.perf_counter() - start)
    return denoise


def denoise_stream(
    source: BinaryIO, target: BinaryIO, load: Callable[[], Denoise], options: FileOptions
) -> int:
    """Denoises one photograph from a stream to a stream, in its own format.

    Raises:
        UserError: the input is no readable photograph.
    """
    photo = decode_photo(source.read(), "standard input", options.max_megapixels)
    denoise = None if options.changes_nothing else load()
    target.write(_denoised(photo, denoise, options))
    target.flush()
    return EXIT_OK


def dry_run(plan: Plan, overwrite: bool) -> int:
    """Prints what `denoise_files` would do, and does nothing."""
    skipped = 0
    for failure in plan.failures:
        print(f"failed: {failure}", file=sys.stderr)
    for job in plan.jobs:
        skip = not overwrite and job.target.exists()
        skipped += skip
        what = f"skipped: {job.target} exists" if skip else f"-> {job.target}"
        print(f"{job.source} {what}")
    print(f"{len(plan.jobs) - skipped} to write, {skipped} to skip; nothing was done")
    return EXIT_SOME_FAILED if plan.failures else EXIT_OK


def _denoised(photo: Photo, denoise: Denoise | None, options: FileOptions) -> bytes:
    if denoise is None:
        return photo.encoded
    return encode_photo(photo.with_pixels(denoise(photo.pixels)), options.quality)


def _make_folder(folder: Path) -> None:
    """Makes the output folder before the model loads, which takes seconds."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"--output={folder}: cannot be made: {error.strerror}. Give a folder that can."
        ) from error


def _size_of(path: Path) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
