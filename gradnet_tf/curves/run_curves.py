"""Reads the logs of runs into arrays, a `Curve` for each stage of each run."""

import dataclasses
import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gradnet_tf.loading.run_folder import MOST_CONFIG
from gradnet_tf.utils.containers import parse_json, read_json
from gradnet_tf.utils.errors import UserError

# The fields of a row that are read; runs of older versions lack some.
FIELDS = ("loss", "psnr", "learning_rate", "examples_per_second", "input_wait", "skipped")


@dataclasses.dataclass(frozen=True)
class Curve:
    """One stage of a run.

    Attributes:
        name: the shortest distinct name of the run.
        naive: whether this is the stage of the naive denoiser.
        step: int64 [N], increasing.
        values: float64 [N] by field, NaN for missing values.
        resumes: steps at which the stage was resumed.
        batch_size: examples in a step, or `None` if config.json does not have it.
    """

    name: str
    naive: bool
    step: np.ndarray
    values: dict[str, np.ndarray]
    resumes: tuple[int, ...]
    batch_size: int | None = None

    def known(self, field: str) -> tuple[np.ndarray, np.ndarray]:
        """Returns the indices of the rows that have `field`, and its values."""
        index = np.flatnonzero(np.isfinite(self.values[field]))
        return index, self.values[field][index]

    def hours(self) -> np.ndarray:
        """Returns the hours of training up to each row, float64 [N].

        The log has no times, so they are computed from the examples per second, without validation
        and pauses.

        Raises:
            UserError: if the batch size or every speed is missing.
        """
        index, speed = self.known("examples_per_second")
        if self.batch_size is None or not (speed > 0).any():
            raise UserError(
                f"--x=hours needs train.batch_size in config.json and examples_per_second in "
                f"log.jsonl. Received: run {self.name}, which lacks one of them; use --x=step"
            )
        index, speed = index[speed > 0], speed[speed > 0]
        # Rows without a speed use the next row's, the last ones the previous one.
        nearest = np.minimum(np.searchsorted(index, np.arange(len(self.step))), len(index) - 1)
        examples = np.diff(self.step, prepend=0) * self.batch_size
        return np.cumsum(examples / speed[nearest]) / 3600.0


def _number(value) -> float:
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if plain else math.nan


def read_log(path: str | os.PathLike) -> tuple[list[dict], tuple[int, ...]]:
    """Reads a log.jsonl, even while it is being written.

    Returns:
        The rows by increasing step, one for each, and the steps of resumes, without lines that are
        not JSON objects, such as an incomplete last one.
    """
    rows, resumes = {}, set()
    # A line may end inside a character.
    for line in Path(path).read_text("utf-8", errors="replace").splitlines():
        try:
            row = parse_json(line)
        except ValueError:
            continue
        if not isinstance(row, dict) or not isinstance(row.get("step"), int):
            continue
        if row.get("event") == "resume":
            resumes.add(row["step"])
        elif "event" not in row:
            rows[row["step"]] = row
    return [rows[step] for step in sorted(rows)], tuple(sorted(resumes))


def _batch_size(run: Path) -> int | None:
    # A naive stage has its configuration in the parent folder.
    for folder in (run, run.parent) if run.name == "naive" else (run,):
        try:
            size = read_json(folder / "config.json", MOST_CONFIG)["train"]["batch_size"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        return size if isinstance(size, int) and size > 0 else None
    return None


def short_names(paths: Sequence[Path]) -> list[str]:
    """Names each path by its shortest suffix that distinguishes it from the others."""
    names = []
    for path in paths:
        others = [other.parts for other in paths if other != path]
        count = 1
        while count < len(path.parts) and any(
            other[-count:] == path.parts[-count:] for other in others
        ):
            count += 1
        names.append(str(Path(*path.parts[-count:])))
    return names


def _read_stage(run: Path, log: Path, name: str) -> Curve | None:
    try:
        rows, resumes = read_log(log)
    except OSError as error:
        raise UserError(f"{log} cannot be read: {error.strerror or error}") from error
    if not rows:
        return None
    values = {field: np.array([_number(row.get(field)) for row in rows]) for field in FIELDS}
    step = np.array([row["step"] for row in rows], np.int64)
    return Curve(name, log.parent != run, step, values, resumes, _batch_size(run))


def _logs(run: Path) -> list[Path]:
    return [log for log in (run / "naive/log.jsonl", run / "log.jsonl") if log.is_file()]


def _runs_in(folder: Path) -> list[Path]:
    """Returns the runs in a folder of runs; any other folder as it is."""
    if _logs(folder) or not folder.is_dir():
        return [folder]
    return [each for each in sorted(folder.iterdir()) if _logs(each)] or [folder]


def read_runs(folders: Sequence[str | os.PathLike]) -> list[Curve]:
    """Reads the stages of finished, stopped or active runs.

    Args:
        folders: run folders (`--workdir` of train.py), or folders of those; a run named twice
            counts once.

    Returns:
        The curves in the order given, a run's naive stage before its main one.

    Raises:
        UserError: for a folder that is missing, is a file or has no rows.
    """
    given = [Path(os.path.abspath(folder)) for folder in folders]
    paths = list(dict.fromkeys(run for folder in given for run in _runs_in(folder)))
    curves = []
    for path, name in zip(paths, short_names(paths), strict=True):
        if not path.is_dir():
            what = "is a file" if path.exists() else "does not exist"
            raise UserError(f"RUN must be the folder of a run. Received: {path}, which {what}")
        logs = _logs(path)
        if not logs:
            raise UserError(f"RUN must contain log.jsonl or naive/log.jsonl. Received: {path}")
        stages = [curve for log in logs if (curve := _read_stage(path, log, name))]
        if not stages:
            raise UserError(
                f"{logs[-1]} has no rows yet; the first comes after --log_every steps of train.py"
            )
        curves += stages
    return curves


def smoothed(step: np.ndarray, values: np.ndarray, length: float) -> np.ndarray:
    """Averages each value with the previous ones, weighted by exp(-distance / length).

    Args:
        step: [N], increasing.
        values: [N], finite.
        length: in units of `step`; 0 returns the values as float64.
    """
    if length == 0:
        return np.asarray(values, np.float64)
    averages, total, weight = [], 0.0, 0.0
    for gap, value in zip(np.diff(step, prepend=step[:1]), values, strict=True):
        decay = math.exp(-gap / length)
        total, weight = total * decay + value, weight * decay + 1.0
        averages.append(total / weight)
    return np.array(averages)
