"""`--report`: collects the outcome of each file and writes one HTML page."""

import dataclasses
import shlex
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gradnet_tf.cli.before_after import LARGEST, Comparison, compare
from gradnet_tf.cli.denoise_plan import Job, Plan
from gradnet_tf.cli.earlier_results import WEIGHTS
from gradnet_tf.cli.file_stages import FAILURES
from gradnet_tf.images import MAX_MEGAPIXELS
from gradnet_tf.images.photo import Photo
from gradnet_tf.images.photo_files import read_photo
from gradnet_tf.reporting.page import MADE_BY, embedded, frame_style, picture_style, render
from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.files import atomic_write

#: Limits on the number of photographs shown and on their size in bytes, so that browsers can
#: display the page. The other photographs appear only in its table.
MOST_SHOWN = 40
MOST_BYTES = 48_000_000
#: Settings that say what may run; which weights a picture got, in which precision, is in its row.
_OF_MODEL = ("model", "gray", "camera", "precision", WEIGHTS)
_SHOWN_WIDTH, _SHOWN_HEIGHT = 1080, 720


@dataclasses.dataclass(frozen=True)
class Row:
    """The outcome for one file.

    Attributes:
        name: path of the input file.
        state: "written", "skipped" or "failed".
        reason: why it failed.
        model: the weights that denoised it, with runtime and precision.
        settings: such as "strength 0.7".
        seconds: time for denoising, encoding and writing.
        comparison: the pictures to show, if any.
        notes: what to know about the result, one line each.
    """

    name: str
    state: str
    reason: str = ""
    model: str = ""
    settings: str = ""
    seconds: float | None = None
    comparison: Comparison | None = None
    notes: tuple[str, ...] = ()


def check_report_path(path: str, plan: Plan) -> Path:
    """Returns the path of a report after checking that it may be written.

    Raises:
        UserError: the name does not end in .html, or the path is a folder, an existing file
            that is not a report, or one of the inputs or results.
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
        if not report.is_file():  # Opening a pipe would wait for ever.
            raise UserError(f"--report={path}: {wanted}. Received: a pipe, a socket or a device.")
        with open(report, "rb") as file:
            if MADE_BY.encode() not in file.read(1000):
                raise UserError(
                    f"--report={path}: {wanted}. Received: a file that is not a report."
                )
    return report


class DenoiseReport:
    """Collects the outcomes of `gradnet denoise`; the methods are thread-safe.

    Args:
        path: where to write the page.
        plan: the files, in the order of the rows.
        settings: settings of this run, by name.
        command: the command line.
        max_megapixels: larger skipped photographs are not read, and only listed.
    """

    def __init__(
        self,
        path: Path,
        plan: Plan,
        settings: Mapping[str, Any],
        command: Sequence[str] = (),
        max_megapixels: float = MAX_MEGAPIXELS,
    ):
        self.path, self._max_megapixels = path, max_megapixels
        self._order = {job: number for number, job in enumerate(plan.jobs)}
        self._settings, self._command = settings, command
        self._rows: list[tuple[int, Row]] = []
        self._shown = self._bytes = 0
        self._lock = threading.Lock()

    def add_written(
        self,
        job: Job,
        photo: Photo,
        pixels: np.ndarray,
        seconds: float,
        notes: tuple[str, ...] = (),
        weights: str = "",
    ) -> None:
        """Adds a result that was written.

        Args:
            job: the file.
            photo: the input photograph.
            pixels: the denoised pixels, before any lossy encoding.
            seconds: time taken.
            notes: what to know about the result, one line each.
            weights: what denoised it, with runtime and precision.
        """
        settings = settings_text(self._settings)
        row = Row(str(job.source), "written", "", weights, settings, seconds, notes=notes)
        self._add(job, row, lambda: compare(photo, pixels))

    def add_failed(self, job: Job | None, reason: str) -> None:
        """Adds a file that failed; `None` for a folder that could not be read."""
        row = Row(str(job.source) if job else "", "failed", reason)
        self._rows.append((self._order[job] if job else -1, row))

    def add_skipped(
        self,
        jobs: Sequence[Job],
        settings_of: Callable[[Path], Mapping[str, Any] | None],
        shown: bool = True,
    ) -> None:
        """Adds results that existed already; both files are read and shown within the limits.

        Those that have a row are left out: an interrupted run adds the rest.

        Args:
            jobs: the files.
            settings_of: returns the settings of a result, `None` if unknown.
            shown: read and show the pictures, which takes time.
        """
        listed = {number for number, _ in self._rows}
        for job in jobs:
            if self._order[job] in listed:
                continue
            known = settings_of(job.target) or {}
            model = str(known.get(WEIGHTS) or known.get("model", ""))
            row = Row(str(job.source), "skipped", "", model, settings_text(known))
            self._add(job, row, lambda job=job: self._from_disk(job) if shown else None)

    def _from_disk(self, job: Job) -> Comparison | None:
        before, after = self._read(job.source), self._read(job.target)
        if before.pixels.shape != after.pixels.shape or before.pixels.dtype != after.pixels.dtype:
            return None
        return compare(before, after.pixels)

    def _read(self, path: Path) -> Photo:
        return read_photo(path, self._max_megapixels)

    def write(self, summary: str) -> None:
        """Writes the page atomically.

        Raises:
            UserError: the page cannot be written.
        """
        rows = [row for _, row in sorted(self._rows, key=lambda pair: pair[0])]
        text = report_page(rows, summary, self._settings, self._command)
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
                found = None  # The result itself is not affected.
        with self._lock:
            self._shown -= shown and found is None
            self._bytes += found.num_bytes if found else 0
            self._rows.append((self._order[job], dataclasses.replace(row, comparison=found)))


def settings_text(settings: Mapping[str, Any]) -> str:
    """Formats the settings for readers, without what chose the model and without defaults."""
    usual = {
        "strength": None,
        "luma": 1.0,
        "chroma": 1.0,
        "self_ensemble": False,
        "pooling": "auto",
    }
    shown = []
    for key, value in settings.items():
        is_usual = value is None or value == usual.get(key)
        if is_usual or key in _OF_MODEL or key.endswith("sha256"):
            continue
        name = key.replace("_", "-")
        shown.append(
            name
            if value is True
            else f"{name} {value:g}"
            if isinstance(value, float)
            else f"{name} {value}"
        )
    return ", ".join(shown)


def report_page(
    rows: Sequence[Row],
    summary: str,
    settings: Mapping[str, Any],
    command: Sequence[str] = (),
) -> str:
    """Returns the page as HTML text, without external resources.

    Args:
        rows: one for each file.
        summary: the last line of the command's output.
        settings: settings of the run.
        command: the command line.
    """
    states = [row.state for row in rows]
    photos = [_photo_values(row) for row in rows if row.comparison]
    used = "; ".join(dict.fromkeys(row.model for row in rows if row.model))
    return render(
        "denoised.html",
        title="Denoised photographs",
        subtitle=" · ".join(filter(None, [used or settings["model"], settings_text(settings)])),
        numbers=[(str(states.count(state)), state) for state in ("written", "skipped", "failed")],
        summary=summary,
        largest=LARGEST,
        photos=photos,
        more=len(rows) - states.count("failed") - len(photos),
        rows=[_row_values(row) for row in rows],
        command=shlex.join(command),
        settings=[
            (key.replace("_", "-"), str(value))
            for key, value in {**settings, "precision": None, WEIGHTS: used or None}.items()
            if value is not None
        ],
    )


def _badge(row: Row) -> str:
    return "made earlier" if row.state == "skipped" else row.state


def _row_values(row: Row) -> dict[str, Any]:
    """Returns a row of the table of all files."""
    seen = row.comparison
    return {
        "name": row.name,
        "result": f"{_badge(row)}: {row.reason}" if row.reason else _badge(row),
        "failed": row.state == "failed",
        "notes": row.notes,
        "pixels": f"{seen.width}×{seen.height}" if seen else "",
        "area": seen.width * seen.height if seen else None,
        "sigma": seen.sigma if seen else (None, None),
        "seconds": row.seconds,
        "model": row.model,
    }


def _photo_values(row: Row) -> dict[str, Any]:
    """Returns the template's values for one photograph before and after."""
    seen = row.comparison
    size = f"{seen.width}×{seen.height} pixels, {seen.kind}"
    if seen.size != (seen.height, seen.width):
        size += f", shown at {seen.size[1] / seen.width:.0%}"
    if seen.gain > 1:
        size += f", shown {seen.gain:.1f} times brighter"
    before, after = seen.sigma
    noise = f"estimated noise level {before:.1f} before, {after:.1f} after"
    seconds = "" if row.seconds is None else f"{row.seconds:.1f} s"

    def pair(part: str, files: tuple[bytes, bytes], kind: str, size: tuple[int, int]):
        sides = zip(("before", "after"), files, ("on", "on right"), strict=True)
        return [
            embedded(data, kind, size, f"{row.name}, {part}, {side}", shown=shown)
            for side, data, shown in sides
        ]

    crops = []
    for crop in seen.crops:
        height, width = crop.box.height, crop.box.width
        images = pair(crop.title, (crop.before, crop.after), "png", (height, width))
        crops.append({"title": crop.title, "height": height, "width": width, "images": images})
    # Tiny pictures are enlarged, but at most eightfold.
    most = min(_SHOWN_WIDTH, _SHOWN_HEIGHT * seen.width / seen.height, max(160, 8 * seen.width))
    return {
        "name": row.name,
        "badge": _badge(row),
        "size": size,
        "done": " · ".join(filter(None, [row.model, row.settings, noise, seconds])),
        "notes": row.notes,
        "small": max(seen.size) < 160,
        "style": picture_style(most, *seen.size),
        "wholes": pair("whole picture", (seen.before, seen.after), "jpeg", seen.size),
        "boxes": [frame_style(crop.box, seen.height, seen.width) for crop in seen.crops],
        "crops": crops,
    }
