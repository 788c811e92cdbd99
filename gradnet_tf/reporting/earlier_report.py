"""Recognizes the files of an earlier evaluation in a folder, which a new one replaces.

metrics.json and ranking.json serve as manifests if they have the fields that an evaluation writes.
report.html and metrics.csv have marks of their own.
"""

import contextlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from gradnet_tf.reporting.page import MADE_BY
from gradnet_tf.reporting.result_names import IMAGE_KINDS, file_stems
from gradnet_tf.utils.ownership import Inputs, read_object, require_replaceable

#: Fields that metrics.json and ranking.json have had in every version.
_RESULT = {"dataset", "model", "images", "mean", "nan_outputs", "seconds_per_image"}
_RANKING = {"dataset", "sigma", "seed", "ranking"}
#: The beginnings of metrics.csv, and of report.html from versions without `MADE_BY`.
_TABLE = b"name,height,width,"
_OLDER_PAGE = re.compile(
    rb'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<meta name="viewport" '
    rb'content="width=device-width, initial-scale=1">\n<title>[^\n]*</title>\n<style>'
)


def require_room(
    output: Path, names: Iterable[str | os.PathLike], inputs: Inputs | tuple[()] = ()
) -> None:
    """Raises unless `names` may be written into the folder `output`.

    Raises:
        UserError: one of the files exists and is not of an earlier evaluation, or is an input.
    """
    names = sorted(map(Path, names))
    earlier = earlier_files(output) if any(os.path.lexists(output / name) for name in names) else ()
    for name in names:
        is_own = name in earlier and _has_mark(output / name)
        require_replaceable(output / name, f"--output={output}", lambda _, own=is_own: own, inputs)


def _has_mark(path: Path) -> bool:
    """Whether the beginning of a file matches its name."""
    try:
        if not path.is_file():  # a pipe would block
            return False
        with open(path, "rb") as file:
            start = file.read(1000)
    except OSError:
        return False
    if path.name == "report.html":
        return MADE_BY.encode() in start or bool(_OLDER_PAGE.match(start))
    return path.name != "metrics.csv" or start.startswith(_TABLE)


@contextlib.contextmanager
def replacing(
    output: str | os.PathLike, stage: Path, inputs: Inputs | tuple[()] = ()
) -> Iterator[None]:
    """Removes files of an earlier evaluation from `output` that the block does not replace.

    Other files are kept, and nothing is removed if the block fails.

    Args:
        output: the folder of results.
        stage: the folder from which the block moves the new files to `output`.
        inputs: files that are never removed.
    """
    output = Path(output)
    new = {path.relative_to(stage) for path in stage.rglob("*")}
    earlier = earlier_files(output)
    left = {path for path in earlier - new if _has_mark(output / path)}
    yield
    for path in left:
        if output / path not in inputs:
            with contextlib.suppress(OSError):
                (output / path).unlink()
    # From the innermost folder outwards; folders that are not empty remain.
    for folder in sorted({parent for path in left for parent in path.parents}, reverse=True):
        if folder.parts:
            with contextlib.suppress(OSError):
                (output / folder).rmdir()


def earlier_files(output: Path) -> set[Path]:
    """Returns the files, relative to `output`, that metrics.json and ranking.json account for."""
    files, stems = _of_one(output)
    content = read_object(output / "ranking.json")
    ranking = content.get("ranking")
    if not isinstance(ranking, list) or not content.keys() >= _RANKING:
        return files
    files |= {Path("ranking.json"), Path("report.html")}
    for entry in ranking:
        folder = entry.get("folder") if isinstance(entry, dict) else None
        # Only plain names, which cannot point outside of the folder.
        plain = isinstance(folder, str) and Path(folder).name == folder
        if plain and not (output / folder).is_symlink():
            inside, more = _of_one(output / folder)
            files |= {Path(folder) / path for path in inside}
            stems |= more
    return files | {Path("gallery") / f"{stem}.png" for stem in stems}


def _of_one(folder: Path) -> tuple[set[Path], set[str]]:
    """Returns the files of the evaluation of one model, and the stems of its images."""
    content = read_object(folder / "metrics.json")
    images = content.get("images")
    rows = images if isinstance(images, list) and content.keys() >= _RESULT else []
    names = [row["name"] for row in rows if isinstance(row, dict) and "name" in row]
    if not names:
        return set(), set()
    stems = set(file_stems([str(name) for name in names]))
    files = {Path(name) for name in ("metrics.json", "metrics.csv", "report.html")}
    pictures = {Path("images") / f"{stem}_{kind}.png" for stem in stems for kind in IMAGE_KINDS}
    return files | pictures, stems
