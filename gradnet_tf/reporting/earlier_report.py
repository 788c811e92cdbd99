"""The files of an earlier evaluation in a folder: a new one takes their place."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from gradnet_tf.reporting.result_names import IMAGE_KINDS, file_stems


@contextlib.contextmanager
def replacing(output: str | os.PathLike, stage: Path) -> Iterator[None]:
    """Removes from `output` what an earlier evaluation wrote and the one in the block does not.

    What else lies in the folder is left alone, and nothing is removed when the
    block fails.

    Args:
        output: the folder of results.
        stage: where the new files stand at the beginning of the block; they are
            in `output` at its end.
    """
    output = Path(output)
    new = {path.relative_to(stage) for path in stage.rglob("*")}
    left = earlier_files(output) - new
    yield
    for path in left:
        with contextlib.suppress(OSError):
            (output / path).unlink()
    # From the innermost folder outwards; those that hold something else stay.
    for folder in sorted({parent for path in left for parent in path.parents}, reverse=True):
        if folder.parts:
            with contextlib.suppress(OSError):
                (output / folder).rmdir()


def earlier_files(output: Path) -> set[Path]:
    """Returns the files, relative to `output`, that an evaluation wrote there, as far as it tells.

    metrics.json and ranking.json tell; files that are no evaluation's are not read further.
    """
    files, stems = _of_one(output)
    ranking = _read(output / "ranking.json").get("ranking")
    if not isinstance(ranking, list):
        return files
    files |= {Path("ranking.json"), Path("report.html")}
    for entry in ranking:
        folder = entry.get("folder") if isinstance(entry, dict) else None
        # A name alone: nothing leads out of the folder.
        plain = isinstance(folder, str) and Path(folder).name == folder
        if plain and not (output / folder).is_symlink():
            inside, more = _of_one(output / folder)
            files |= {Path(folder) / path for path in inside}
            stems |= more
    return files | {Path("gallery") / f"{stem}.png" for stem in stems}


def _of_one(folder: Path) -> tuple[set[Path], set[str]]:
    """Returns the files of one model's evaluation and its images' stems."""
    images = _read(folder / "metrics.json").get("images")
    rows = images if isinstance(images, list) else []
    names = [row["name"] for row in rows if isinstance(row, dict) and "name" in row]
    if not names:
        return set(), set()
    stems = set(file_stems([str(name) for name in names]))
    files = {Path(name) for name in ("metrics.json", "metrics.csv", "report.html")}
    pictures = {Path("images") / f"{stem}_{kind}.png" for stem in stems for kind in IMAGE_KINDS}
    return files | pictures, stems


def _read(path: Path) -> dict:
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
