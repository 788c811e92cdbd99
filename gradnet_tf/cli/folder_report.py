"""`--report`: what became of each file, collected while they are denoised, for one HTML page."""

import dataclasses
import shlex
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gradnet_tf.cli.before_after import LARGEST, Comparison, compare
from gradnet_tf.cli.denoise_plan import Job, Plan
from gradnet_tf.cli.file_stages import FAILURES
from gradnet_tf.images.channels import is_grey
from gradnet_tf.images.photo import Photo
from gradnet_tf.images.photo_files import read_photo
from gradnet_tf.reporting.page import MADE_BY, embedded, frame_style, picture_style, render
from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.files import atomic_write

#: So many photographs are shown, and no more once they take so many bytes: a browser has to
#: hold the page. The others are rows of its table.
MOST_SHOWN = 40
MOST_BYTES = 48_000_000
_SHOWN_WIDTH, _SHOWN_HEIGHT = 1080, 720


@dataclasses.dataclass(frozen=True)
class Row:
    """What became of one file.

    Attributes:
        name: of the file, as it was found.
        state: "written", "skipped" or "failed".
        reason: why it failed.
        model: what denoised it.
        settings: such as "strength 0.7".
        seconds: for denoising, encoding and writing.
        comparison: what is shown of it, if it is shown.
    """

    name: str
    state: str
    reason: str = ""
    model: str = ""
    settings: str = ""
    seconds: float | None = None
    comparison: Comparison | None = None


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
        if not report.is_file():  # Opening a pipe would wait for ever.
            raise UserError(f"--report={path}: {wanted}. Received: a pipe, a socket or a device.")
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


def settings_text(settings: Mapping[str, Any]) -> str:
    """Writes settings for people, less the models and what is left as it is by default."""
    usual = {
        "strength": None,
        "luma": 1.0,
        "chroma": 1.0,
        "self_ensemble": False,
        "pooling": "auto",
    }
    shown = []
    for key, value in settings.items():
        if key in ("model", "sha256", "gray") or value is None or value == usual.get(key):
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


def report_page(
    rows: Sequence[Row],
    summary: str,
    settings: Mapping[str, Any],
    names: tuple[str, str],
    command: Sequence[str] = (),
) -> str:
    """Returns the page as text; nothing in it comes from elsewhere.

    Args:
        rows: one a file.
        summary: the line that ends the command's output.
        settings: of the run.
        names: models of colour and of grey pictures.
        command: what was typed.
    """
    states = [row.state for row in rows]
    photos = [_photo_values(row) for row in rows if row.comparison]
    colour, grey = names
    model = colour if grey == colour else f"{colour}, grey pictures {grey}"
    return render(
        "denoised.html",
        title="Denoised photographs",
        subtitle=f"{model} · {settings_text(settings)}",
        numbers=[(str(states.count(state)), state) for state in ("written", "skipped", "failed")],
        summary=summary,
        largest=LARGEST,
        photos=photos,
        more=len(rows) - states.count("failed") - len(photos),
        rows=[_row_values(row) for row in rows],
        command=shlex.join(command),
        settings=[
            ("model", model),
            *(
                (key.replace("_", "-"), str(value))
                for key, value in settings.items()
                if key != "model" and value is not None
            ),
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
        "pixels": f"{seen.width}×{seen.height}" if seen else "",
        "area": seen.width * seen.height if seen else None,
        "sigma": seen.sigma if seen else (None, None),
        "seconds": row.seconds,
        "model": row.model,
    }


def _photo_values(row: Row) -> dict[str, Any]:
    """Returns what the template shows of a photograph before and after."""
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
    # A few pixels are shown large enough to see, and no larger.
    most = min(_SHOWN_WIDTH, _SHOWN_HEIGHT * seen.width / seen.height, max(160, 8 * seen.width))
    return {
        "name": row.name,
        "badge": _badge(row),
        "size": size,
        "done": " · ".join(filter(None, [row.model, row.settings, noise, seconds])),
        "small": max(seen.size) < 160,
        "style": picture_style(most, *seen.size),
        "wholes": pair("whole picture", (seen.before, seen.after), "jpeg", seen.size),
        "boxes": [frame_style(crop.box, seen.height, seen.width) for crop in seen.crops],
        "crops": crops,
    }
