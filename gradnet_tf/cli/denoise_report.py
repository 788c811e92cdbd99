"""`--report`: what became of each file, collected while they are denoised, for one HTML page."""

import dataclasses
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gradnet_tf.cli.before_after import Comparison, compare
from gradnet_tf.cli.denoise_plan import Job, Plan
from gradnet_tf.cli.file_stages import FAILURES
from gradnet_tf.cli.report_page import Row, report_page, settings_text
from gradnet_tf.images.channels import is_grey
from gradnet_tf.images.photo import Photo
from gradnet_tf.images.photo_files import read_photo
from gradnet_tf.reporting.page import MADE_BY
from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.files import atomic_write

#: So many photographs are shown, and no more once they take so many bytes: a browser has to
#: hold the page. The others are rows of its table.
MOST_SHOWN = 40
MOST_BYTES = 48_000_000


def check_report_path(path: str, plan: Plan) -> Path:
    """Returns the path of a report that may be written.

    Raises:
        UserError: no HTML file by its name, a folder, a file that no report was written to,
            one of the inputs or results, or a place without a folder.
    """
    report = Path(path)
    wanted = "expected a new file NAME.html"
    if report.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"--report={path}: {wanted}.")
    if report.is_dir():
        raise UserError(f"--report={path}: {wanted}. Received: a folder.")
    place = report.resolve()
    if any(place in (job.source.resolve(), job.target.resolve()) for job in plan.jobs):
        raise UserError(f"--report={path}: {wanted}. Received: an input or a result.")
    if report.exists():
        with open(report, "rb") as file:
            if MADE_BY.encode() not in file.read(1000):
                raise UserError(f"--report={path}: {wanted}. Received: a file that is no report.")
    return report


class DenoiseReport:
    """Collects what `gradnet denoise` does; the methods may be called by several threads.

    Args:
        path: the page.
        plan: what is to be done; rows are in its order.
        settings: of this run, by name.
        names: models of colour and of grey pictures.
        command: what was typed.
    """

    def __init__(
        self,
        path: Path,
        plan: Plan,
        settings: Mapping[str, Any],
        names: tuple[str, str],
        command: Sequence[str] = (),
    ):
        self.path = path
        self._order = {job: number for number, job in enumerate(plan.jobs)}
        self._settings, self._names, self._command = settings, names, command
        self._rows: list[tuple[int, Row]] = []
        self._shown = self._bytes = 0
        self._lock = threading.Lock()

    def add_written(self, job: Job, photo: Photo, pixels: np.ndarray, seconds: float) -> None:
        """A result was written.

        Args:
            job: its file.
            photo: as it was read.
            pixels: denoised; as they were before a lossy format stored them.
            seconds: that it took.
        """
        model = self._names[is_grey(photo.pixels)]
        row = Row(str(job.source), "written", "", model, settings_text(self._settings), seconds)
        self._add(job, row, lambda: compare(photo, pixels))

    def add_failed(self, job: Job | None, reason: str) -> None:
        """A file failed; `None` for what could not be looked into."""
        row = Row(str(job.source) if job else "", "failed", reason)
        self._rows.append((self._order[job] if job else -1, row))

    def add_skipped(
        self, jobs: Sequence[Job], settings_of: Callable[[Path], Mapping[str, Any] | None]
    ) -> None:
        """Adds results that existed; while there is room, both files are read and shown.

        Args:
            jobs: their files.
            settings_of: tells what a result was made with, if that is known.
        """
        for job in jobs:
            known = settings_of(job.target) or {}
            text = settings_text(known) if known else ""
            names = known.get("model", ""), known.get("gray") or known.get("model", "")
            row = Row(str(job.source), "skipped", "", str(names[_looks_grey(job.source)]), text)
            self._add(job, row, lambda job=job: _from_disk(job))

    def write(self, summary: str) -> None:
        """Writes the page, whole or not at all.

        Raises:
            UserError: it cannot be written.
        """
        rows = [row for _, row in sorted(self._rows, key=lambda pair: pair[0])]
        text = report_page(rows, summary, self._settings, self._names, self._command)
        try:
            atomic_write(self.path, text)
        except OSError as error:
            raise UserError(
                f"--report={self.path}: cannot be written: {error.strerror or error}."
            ) from error

    def _add(self, job: Job, row: Row, comparison: Callable[[], Comparison | None]) -> None:
        found = None
        with self._lock:
            shown = self._shown < MOST_SHOWN and self._bytes < MOST_BYTES
            self._shown += shown
        if shown:
            try:
                found = comparison()
            except FAILURES:
                found = None  # The result itself is not touched by that.
        with self._lock:
            self._shown -= shown and found is None
            self._bytes += found.num_bytes if found else 0
            self._rows.append((self._order[job], dataclasses.replace(row, comparison=found)))


def _from_disk(job: Job) -> Comparison | None:
    before, after = read_photo(job.source), read_photo(job.target)
    if before.pixels.shape != after.pixels.shape or before.pixels.dtype != after.pixels.dtype:
        return None
    return compare(before, after.pixels)


def _looks_grey(source: Path) -> bool:
    """Whether a file's picture is grey; one that cannot be read any more is not."""
    try:
        return is_grey(read_photo(source).pixels)
    except FAILURES:
        return False
