"""Denoises photographs into a folder: the work of `gradnet denoise`."""

import contextlib
import dataclasses
import functools
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

from gradnet_tf.cli.denoise_plan import DEFAULTS, Denoise, FileOptions, Job, Plan
from gradnet_tf.cli.earlier_results import FOREIGN, EarlierResults
from gradnet_tf.cli.file_stages import FAILURES, run_in_stages
from gradnet_tf.images.photo import Photo
from gradnet_tf.images.photo_files import (
    decode_photo,
    encode_result,
    estimate_megapixels,
    read_photo,
)
from gradnet_tf.tiling.machine import available_memory
from gradnet_tf.tiling.tiler import OnTile
from gradnet_tf.utils.console import NAME_ESCAPES, Pace, ProgressLine, duration_text, inform, note
from gradnet_tf.utils.errors import (
    EXIT_OK,
    EXIT_SOME_FAILED,
    EXIT_USAGE,
    Stopped,
    UserError,
)
from gradnet_tf.utils.files import require_writable, write_file
from gradnet_tf.utils.ownership import Inputs

#: Seconds of work that needs no progress lines in a log file.
_SHORT = 30.0


class FileProgress:
    """A progress line over files and tiles.

    On a terminal the line is rewritten in place; elsewhere a new line is printed every now and
    then, and none during the first `_SHORT` seconds.

    The remaining time is estimated from the remaining megapixels and the speed so far. The speed
    is measured from the first finished tile on, so that loading and compiling do not count.

    Args:
        line: where the progress is shown.
        clock: a monotonic clock, in seconds.
    """

    def __init__(
        self, line: ProgressLine | None = None, clock: Callable[[], float] = time.monotonic
    ):
        self._line = line  # created when it is first shown
        self._clock = clock
        self._files = self._total = 0
        self._left = self._done = 0.0
        self._name = ""
        self._is_shown = False
        self._size = self._part = 0.0
        stream = sys.stderr if line is None else line.stream
        self._quiet_until = 0.0 if stream.isatty() else clock() + _SHORT

    @functools.cached_property
    def _pace(self) -> Pace:
        return Pace(self._clock)

    def begin(self, done: int, sizes: Sequence[float]) -> None:
        """Sets the amount of work.

        Args:
            done: number of files that need no work.
            sizes: estimated megapixels of each of the other files.
        """
        self._files, self._total = done, done + len(sizes)
        self._left = sum(sizes)

    def loading(self) -> None:
        """Shows that the model is being loaded."""
        self._show(f"{self._files} of {self._total} files  loading the model")

    def start(self, name: str, estimated: float, megapixels: float) -> None:
        """Reports that the network starts on a file.

        Args:
            name: the file's name.
            estimated: the megapixels that `begin` was given for it.
            megapixels: the megapixels it actually has.
        """
        # Messages of the network itself should start on a new line.
        self.clear()
        self._left += megapixels - estimated
        self._name, self._size, self._part = name, megapixels, 0.0

    def on_tile(self, done: int, total: int) -> None:
        """Reports that part of the current file is done; see `Denoiser.__call__`."""
        self._part = done / max(total, 1)
        if done >= total and self._total == 1:
            return  # the only file is done
        finished = self._done + self._part * self._size
        if not self._pace.marked:
            self._pace.mark(finished)
        else:
            self._show(self._text(finished))

    def worked(self) -> None:
        """Reports that the network is done with the current file."""
        self._done += self._size
        self._left -= self._size
        self._size = self._part = 0.0
        if self._total > 1:
            self._pace.mark(self._done)

    def finish(self, estimated: float = 0.0) -> None:
        """Reports that a file was written or has failed.

        Args:
            estimated: the megapixels that `begin` was given, for a file that failed before it
                reached the network.
        """
        self._left -= estimated
        self._files += 1
        if 0 < self._files < self._total:
            self._show(self._text(self._done + self._part * self._size))

    def clear(self) -> None:
        """Removes the progress line, so that other text can be printed."""
        if self._is_shown:
            self._line.clear()
            self._is_shown = False

    def _text(self, finished: float) -> str:
        words = [f"{self._files} of {self._total} files"]
        if self._size:
            words.append(f"{self._name} {self._part:.0%}")
        left = self._left - self._part * self._size
        rate = self._pace.rate(finished)
        if rate is not None:
            words.append(f"{rate:.3g} megapixels/s")
            words.append(f"{self._pace.left(finished, finished + max(left, 0.0))} left")
        return "  ".join(words)

    def _show(self, text: str) -> None:
        if self._clock() >= self._quiet_until:
            self._is_shown = True
            self._line = self._line or ProgressLine()
            self._line.show(text)


@dataclasses.dataclass(frozen=True)
class Written:
    """An output file that was written.

    Attributes:
        megapixels: size of the picture.
        seconds: time for denoising, encoding and writing.
        lost: what of the input is not in it; see `Photo.lost`.
        weights: what denoised it, with runtime and precision; see `Denoiser.label`.
        status: its status right after it was written.
        remaining: noise levels before and after if most of the noise remains.
    """

    megapixels: float
    seconds: float
    lost: tuple[str, ...] = ()
    weights: str = ""
    status: os.stat_result | None = None
    remaining: tuple[float, float] | None = None


class Results:
    """Counts the results and prints one line per file.

    Results and skipped files go to standard output, failures to standard error.
    """

    def __init__(self, progress: FileProgress, left_out: str = ""):
        self.left_out = left_out
        self.written = self.skipped = self.failed = self.readable = 0
        self._megapixels = 0.0
        self._progress = progress
        self._lost: dict[str, list[Path]] = {}
        self._noisy: list[Path] = []
        self._start: float | None = None

    def start(self) -> None:
        """Starts the clock, unless it runs already; loading the model does not count."""
        if self._start is None:
            self._start = time.perf_counter()

    def fail(self, name: object, error: Exception | str) -> str:
        """Reports a failure; returns the reason as one line."""
        self.failed += 1
        name, reason = str(name), str(error).strip() or type(error).__name__
        # A message may have several lines; a line break in the name is not the end of one.
        reason = reason.replace(name, name.translate(NAME_ESCAPES)) if name.strip() else reason
        reason, name = " ".join(reason.split()), name.translate(NAME_ESCAPES)
        self._progress.clear()
        line = reason if name in reason else f"{name}: {reason}"
        print(f"failed: {line}", file=sys.stderr, flush=True)
        return reason

    def write(self, job: Job, outcome: Written) -> None:
        self.written += 1
        self._megapixels += outcome.megapixels
        for what in outcome.lost:
            self._lost.setdefault(what, []).append(job.source)
        if outcome.remaining:
            self._noisy.append(job.source)
        self._progress.clear()
        rate = f"{outcome.megapixels / max(outcome.seconds, 1e-9):.3g} megapixels/s"
        line = f"{job.source} -> {job.target}  {rate}  {outcome.weights}".rstrip()
        print(line.translate(NAME_ESCAPES), flush=True)

    def skip(self, job: Job) -> None:
        self.skipped += 1
        self._progress.clear()
        line = f"{job.source} skipped: {job.target} exists (use --overwrite to replace it)"
        print(line.translate(NAME_ESCAPES), flush=True)

    def notes(self) -> list[str]:
        """Returns a line for each kind of thing to know about the results."""
        lines = [lost_note(what, sorted(sources)) for what, sources in self._lost.items()]
        if self._noisy:
            # Sorted, because files are finished in any order with several jobs.
            lines.append(f"{_REMAINS} in {_named(sorted(self._noisy))}: {_WHY_IT_REMAINS}")
        return lines

    def summary(self) -> str:
        """Returns the counts and, if files were written, their total size and the time taken."""
        counts = f"{self.written} written, {self.skipped} skipped, {self.failed} failed"
        if self.left_out:
            counts += f", {self.left_out}"
        if not self.written:
            return counts
        seconds = time.perf_counter() - (self._start or time.perf_counter())
        taken = f"{seconds:.1f} s" if seconds < 60 else duration_text(seconds)
        return f"{counts}, {self._megapixels:.3g} megapixels in {taken}"


def lost_note(what: str, sources: Sequence[object]) -> str:
    """Returns the line about something that was not written again; see `Photo.lost`."""
    results = "results" if len(sources) > 1 else "result"
    return f"not in the {results} of {_named(sources)}: {what}"


def _named(sources: Sequence[object]) -> str:
    more = len(sources) - _MOST_NAMED
    return ", ".join(map(str, sources[:_MOST_NAMED])) + (f" and {more} more" if more > 0 else "")


_MOST_NAMED = 3
#: Stands for the weights where the picture went through no network.
_UNTOUCHED = "no weights: nothing to remove"
_REMAINS = "most of the estimated noise remains"
_WHY_IT_REMAINS = "fine texture, or noise that the model does not remove, such as coarse grain"

# Memory per pixel of a picture that waits while another one is in the network: 8-bit RGB before
# and after, and two encoded files of about that size.
_BYTES_PER_PIXEL = 12
_DARK = (
    "uses only the darkest eighth of its 16-bit range; the networks were trained on the full "
    "range, so rescale its values first"
)


def denoise_files(
    plan: Plan,
    load: Callable[[OnTile], Denoise],
    options: FileOptions = DEFAULTS,
    report=None,
    progress: FileProgress | None = None,
) -> int:
    """Denoises file by file; a failure is reported in one line and does not stop the rest.

    Results and the summary go to standard output, failures and the progress to standard error.

    Args:
        plan: from `plan_jobs`.
        load: returns the denoiser; called once, when the first image has been read, with a
            function for the denoiser to report its progress; see `Denoiser.__call__`.
        options: how files are treated.
        report: a `gradnet_tf.cli.folder_report.DenoiseReport` to write at the end, if wanted.
        progress: shows the progress; on standard error by default.

    Returns:
        The exit code: 0 if all files were written or skipped, 2 if no input was a readable
        image, otherwise 1.

    Raises:
        UserError: `load` raised it, or the output folder cannot be created or written.
        Interrupted: Ctrl-C was pressed; raised after the summary.
    """
    changed = _handle_as_ctrl_c()
    try:
        return _Run(plan, load, options, report, progress).run()
    finally:
        for each in changed:
            signal.signal(each, signal.SIG_DFL)


def _handle_as_ctrl_c() -> list[signal.Signals]:
    """Handles SIGTERM and SIGHUP (a closed terminal) like Ctrl-C; returns those it changed."""

    def stop(*_):
        raise KeyboardInterrupt

    wanted = [getattr(signal, name, None) for name in ("SIGTERM", "SIGHUP")]
    changed = []
    # Only the main thread may set handlers. Signals that are ignored (nohup) stay ignored.
    if threading.current_thread() is threading.main_thread():
        changed = [each for each in wanted if each and signal.getsignal(each) is signal.SIG_DFL]
    for each in changed:
        signal.signal(each, stop)
    return changed


class _Run:
    """One call of `denoise_files`."""

    def __init__(self, plan, load, options, report, progress):
        self._plan, self._load, self._options, self._report = plan, load, options, report
        self._progress = progress or FileProgress()
        self._results = Results(self._progress, plan.left_out)
        self._earlier = EarlierResults(plan.folder, options.settings or {})
        self._denoise: Denoise | None = None
        self._ahead: dict[Job, float] = {}  # megapixels of files that have not been denoised yet
        self._written: dict[Path, os.stat_result | None] = {}

    def run(self) -> int:
        for text in self._plan.notes:
            note(text)
        for failure in self._plan.failures:
            self._fail(None, failure)
        skipped = [job for job in self._plan.jobs if self._is_skipped(job)]
        for job in skipped:
            self._results.skip(job)
        if skipped:
            self._earlier.note_differences([job.target for job in skipped])
        foreign = [job for job in self._plan.jobs if self._is_foreign(job)]
        for job in foreign:
            self._fail(job, f"{job.target} {FOREIGN}")
        try:
            try:
                self._denoise_remaining({*skipped, *foreign})
            finally:
                if self._options.settings is not None:
                    self._earlier.save(self._written)
            if self._report:
                self._report.add_skipped(skipped, self._earlier.settings_of)
        except KeyboardInterrupt:
            if self._report:
                self._report.add_skipped(skipped, self._earlier.settings_of, shown=False)
            self._end("interrupted")
            raise Stopped(
                "interrupted: no partial files were left; run the same command again to continue."
            ) from None
        self._end()
        if not self._results.readable and not self._results.skipped and not foreign:
            return EXIT_USAGE
        return EXIT_SOME_FAILED if self._results.failed else EXIT_OK

    def _is_skipped(self, job: Job) -> bool:
        return not self._options.overwrite and os.path.lexists(job.target)

    def _is_foreign(self, job: Job) -> bool:
        """Whether the target exists and was not written by this command."""
        return self._options.overwrite and self._earlier.is_foreign(job.target)

    def _denoise_remaining(self, skipped: set[Job]) -> None:
        jobs = [job for job in self._plan.jobs if job not in skipped]
        paths = [job.source for job in jobs]
        # A single file needs no estimate: its size is known before it is denoised.
        estimates = [0.0] * len(jobs)
        if len(jobs) > 1:
            estimates = estimate_megapixels(paths, [_size_of(path) for path in paths])
        # Files above the limit will be refused, so they take neither time nor memory.
        most = self._options.max_megapixels
        sizes = {job: size * (size <= most) for job, size in zip(jobs, estimates, strict=True)}
        self._ahead = dict(sizes)
        room = float("inf")
        if self._options.jobs > 1:
            room = self._options.waiting_memory or available_memory() / 4
        self._progress.begin(len(skipped), list(sizes.values()))
        self._inputs = Inputs([job.source for job in self._plan.jobs])
        run_in_stages(
            jobs,
            lambda job: read_photo(job.source, most),
            self._work,
            self._write,
            self._done,
            self._options.jobs,
            lambda job: sizes[job] * 1e6 * _BYTES_PER_PIXEL,
            room,
        )

    def _work(self, job: Job, photo: Photo):
        """Returns (photo, pixels, weights, seconds), or the exception if this file failed."""
        if not self._results.readable:
            require_writable(self._plan.folder, f"--output={self._plan.folder}")
        self._results.readable += 1
        if self._denoise is None and not self._options.changes_nothing:
            self._progress.loading()
            self._denoise = self._load(self._progress.on_tile)
        self._results.start()
        self._progress.start(job.source.name, self._ahead.pop(job), _megapixels(photo))
        for text in photo.notes:
            note(f"{job.source}: {text}")
        start, used = time.perf_counter(), None
        try:
            pixels = photo.pixels
            if self._denoise is not None:
                if photo.is_dark:
                    note(f"{job.source}: {_DARK}")
                pixels = photo.denoised(self._denoise)
                used = getattr(self._denoise, "used", None)
        except FAILURES as error:
            return error
        finally:
            self._progress.worked()
        weights = "" if used is None else ", ".join(used) or _UNTOUCHED
        return photo, pixels, weights, time.perf_counter() - start

    def _write(self, job: Job, worked) -> Written:
        photo, pixels, weights, seconds = worked
        start = time.perf_counter()
        remaining = _remaining_noise(photo, pixels) if _removes_all(self._options) else None
        data, lost = photo.encoded, ()
        if not self._options.changes_nothing:
            data, lost = encode_result(photo, pixels, self._options.quality)
        modified = None
        with contextlib.suppress(OSError):  # Scans and screenshots have no other date.
            modified = os.stat(job.source).st_mtime_ns
        announce = functools.partial(
            self._earlier.announce,
            job.target,
            data,
            self._inputs,
            weights,
            self._options.overwrite,
        )
        status = write_file(job.target, data, announce, modified)
        self._written[job.target] = status  # At once: it is ours whatever interrupts the rest.
        seconds += time.perf_counter() - start
        written = Written(_megapixels(photo), seconds, lost, weights, status, remaining)
        if self._report:
            notes = self._notes(photo, lost, remaining)
            try:
                self._report.add_written(job, photo, pixels, seconds, notes, weights)
            except FAILURES:
                raise
            except BaseException:  # Ctrl-C, while the file is there already.
                self._results.write(job, written)
                raise
        return written

    def _notes(self, photo: Photo, lost: Sequence[str], remaining) -> tuple[str, ...]:
        """Returns what the report says about a result; see `Written` for the arguments."""
        notes = list(photo.notes)
        if photo.is_dark and not self._options.changes_nothing:
            notes.append(_DARK)
        notes += [f"not in the result: {what}" for what in lost]
        if remaining:
            levels = f"level {remaining[0]:.1f} before, {remaining[1]:.1f} after, in smooth parts"
            notes.append(f"{_REMAINS} ({levels}): {_WHY_IT_REMAINS}")
        return tuple(notes)

    def _done(self, job: Job, outcome) -> None:
        self._progress.finish(self._ahead.pop(job, 0.0))
        if isinstance(outcome, Written):
            self._results.write(job, outcome)
        else:
            self._fail(job, outcome)

    def _fail(self, job: Job | None, error: Exception | str) -> None:
        reason = self._results.fail(job.source if job else "", error)
        if self._report:
            self._report.add_failed(job, reason)

    def _end(self, how: str = "") -> None:
        self._progress.clear()
        for text in self._results.notes():
            note(text)
        summary = self._results.summary()
        print(summary, flush=True)
        if self._report:
            try:
                self._report.write(", ".join(filter(None, [summary, how])))
            except UserError as error:
                self._results.fail("--report", error)


def _remaining_noise(photo: Photo, pixels) -> tuple[float, float] | None:
    """Returns `Photo.remaining_noise`, or `None` if the noise analysis finds a clean picture.

    The analysis tells texture from noise, but is slow, so it only confirms what would be reported.
    """
    remaining = photo.remaining_noise(pixels)
    if remaining is None:
        return None
    from gradnet_tf.analysis.noise_analysis import analyse_noise
    from gradnet_tf.analysis.noise_verdict import CLEAN, judge_noise

    return None if judge_noise(analyse_noise(photo.pixels)).kind == CLEAN else remaining


def _removes_all(options: FileOptions) -> bool:
    """Whether all noise is meant to be removed, and not a part of it."""
    settings = options.settings or {}
    weaker = any(settings.get(key, 1.0) < 1.0 for key in ("strength", "luma", "chroma"))
    weaker = weaker or settings.get("mask") or settings.get("detail")
    return not weaker and not options.changes_nothing


def _megapixels(photo: Photo) -> float:
    return photo.array.shape[0] * photo.array.shape[1] / 1e6


def _size_of(path: Path) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def denoise_stream(
    source: BinaryIO, target: BinaryIO, load: Callable[[], Denoise], options: FileOptions
) -> int:
    """Denoises one photograph from a stream to a stream, in its own format.

    Raises:
        UserError: the input is not a readable photograph.
    """
    photo = decode_photo(source.read(), "standard input", options.max_megapixels)
    data = photo.encoded
    for text in photo.notes:
        note(f"standard input: {text}")
    if not options.changes_nothing:
        denoise = load()
        if photo.is_dark:
            note(f"standard input: {_DARK}")
        pixels = photo.denoised(denoise)
        inform(f"standard input: {', '.join(getattr(denoise, 'used', ())) or _UNTOUCHED}")
        if _removes_all(options) and _remaining_noise(photo, pixels):
            note(f"{_REMAINS} in standard input: {_WHY_IT_REMAINS}")
        data, lost = encode_result(photo, pixels, options.quality)
        for what in lost:
            note(lost_note(what, ["standard input"]))
    target.write(data)
    target.flush()
    return EXIT_OK
