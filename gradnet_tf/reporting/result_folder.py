"""Evaluates models and writes metrics, tables, pictures and pages, completely or not at all."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from gradnet_tf.evaluation.evaluate_set import (
    Denoiser,
    EvaluateConfig,
    ImageSet,
    evaluate,
    has_clean,
)
from gradnet_tf.evaluation.score_journal import JOURNAL, ScoreJournal, settings_key
from gradnet_tf.evaluation.scores import Example
from gradnet_tf.evaluation.tables import (
    metrics_csv,
    noise_text,
    number,
    rank,
    ranking_precision,
)
from gradnet_tf.images.image_files import (
    read_image,
    require_one_size,
    to_uint8,
    write_image,
)
from gradnet_tf.reporting.earlier_report import replacing, require_room
from gradnet_tf.reporting.figures import Panel, busiest_box, side_by_side
from gradnet_tf.reporting.gallery import gallery_figure
from gradnet_tf.reporting.model_page import comparison_html, report_html
from gradnet_tf.reporting.page_pictures import Picture, common_scale, with_error_maps
from gradnet_tf.reporting.result_names import IMAGE_KINDS, file_stems
from gradnet_tf.utils.console import note
from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.files import atomic_write, write_json
from gradnet_tf.utils.ownership import Inputs, read_object

_FIRST_IMAGES = 3
#: How the names of temporary folders begin; the file in it that a running evaluation locks.
_STAGE, _LOCK = ".partial-", ".lock"
#: Where the temporary folders of killed evaluations are while their scores are used again.
_EARLIER = ".earlier"
_HIDDEN = {_LOCK, _EARLIER, JOURNAL}


@contextlib.contextmanager
def staged_folder(output: str | os.PathLike, inputs: Inputs | tuple[()] = ()) -> Iterator[Path]:
    """Yields a temporary folder inside `output`, whose files move into `output` on success.

    They replace the files of an earlier evaluation (see `earlier_report`), but no others. On
    failure the temporary folder is removed, and `output`, too, if it was created here; after Ctrl-C
    it stays if there are scores in it. One that was left behind is moved into the next one's, where
    `unfinished` finds it, and removed with that.

    Args:
        output: the folder of results.
        inputs: files that are neither replaced nor removed.

    Raises:
        UserError: if `output` is a file or cannot be created, or a file would replace one that is
            not of an earlier evaluation; then none is moved.
    """
    output = Path(output)
    existed = output.exists()
    try:
        output.mkdir(parents=True, exist_ok=True)
        name = tempfile.mkdtemp(prefix=_STAGE, dir=output)
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"--output={output}: cannot create the folder: {reason}") from error
    try:
        with FileLock(Path(name) / _LOCK):
            _take_leftovers(output, Path(name))
            yield Path(name)
            found = [path for path in sorted(Path(name).rglob("*")) if path.is_file()]
            files = [path for path in found if not _HIDDEN & {*path.relative_to(name).parts}]
            require_room(output, [path.relative_to(name) for path in files], inputs)
            with replacing(output, Path(name), inputs):
                # The manifests go first, so that an interruption leaves no unknown files.
                for path in sorted(files, key=lambda path: path.suffix != ".json"):
                    target = output / path.relative_to(name)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    os.replace(path, target)
        shutil.rmtree(name)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) and any(Path(name).rglob(JOURNAL)):
            note("the same command resumes with the images that were scored")
            raise
        shutil.rmtree(name, ignore_errors=True)
        if not existed:
            with contextlib.suppress(OSError):
                output.rmdir()
        raise


def _take_leftovers(output: Path, stage: Path) -> None:
    """Moves temporary folders whose evaluation no longer runs into `stage`."""
    for order, folder in enumerate(sorted(output.glob(f"{_STAGE}*"))):
        if folder == stage or not (folder / _LOCK).is_file() or folder.is_symlink():
            continue
        with contextlib.suppress(OSError, Timeout):
            with FileLock(folder / _LOCK, timeout=0):
                pass
            (stage / _EARLIER).mkdir(exist_ok=True)
            os.replace(folder, stage / _EARLIER / str(order))


def unfinished(stage: Path) -> list[Path]:
    """Returns the folders of results, with scores, of evaluations that were not finished.

    Args:
        stage: see `staged_folder`.
    """
    return [path.parent for path in sorted((stage / _EARLIER).rglob(JOURNAL))]


def chosen_images(result: dict[str, Any]) -> dict[int, str]:
    """Returns index and badge of the images in a report: worst, median, best and the first few.

    Images with broken output count as the worst.
    """
    rows = result["images"]
    worth = [
        -np.inf if row["problem"] else np.inf if row["psnr"] is None else row["psnr"]
        for row in rows
    ]
    order = np.argsort(worth, kind="stable")
    chosen: dict[int, str] = {}
    marks = []
    if result.get("has_clean", True):
        marks = [("worst", order[0]), ("median", order[(len(order) - 1) // 2]), ("best", order[-1])]
    marks += [(f"image {index + 1}", index) for index in range(min(_FIRST_IMAGES, len(rows)))]
    for badge, index in marks:
        chosen.setdefault(int(index), badge if len(rows) > 1 else "the only image")
    return chosen


def check_images(image_set: ImageSet) -> None:
    """Decodes every image once, so that a bad file raises its error before a model is loaded."""
    for index, name in enumerate(image_set.names):
        noisy = image_set.noisy(index)
        if not has_clean(image_set):
            continue
        clean = image_set.load(index)
        if noisy is not None:
            require_one_size(name, clean, noisy)


def evaluate_into(
    output: str | os.PathLike,
    denoisers: dict[str, Denoiser],
    image_set: ImageSet,
    config: EvaluateConfig,
    extra: dict[str, Any] | None = None,
    progress: Callable[[str, dict[str, Any]], None] | None = None,
    on_result: Callable[[dict[str, Any]], None] | None = None,
) -> list[dict[str, Any]]:
    """Evaluates models on the same images and writes the folder of results.

    One model: metrics.json, metrics.csv, report.html and images/ in `output`. Several: the same in
    `output`/<folder> each; `output` gets ranking.json, a report.html that compares them, and
    gallery/ with a figure of each picture in it.

    Args:
        output: folder to write; see `staged_folder`.
        denoisers: the models by the name of their folder.
        image_set: the images.
        config: noise, seed and so on.
        extra: further fields of metrics.json, such as the command and the versions.
        progress: called with the model's folder and the row of each image.
        on_result: called with the result of each model.

    Returns:
        The results, in the order of `denoisers`.

    Raises:
        UserError: a file in `output` must not be replaced; see `require_room`.
    """
    stems = file_stems(image_set.names)
    folders = list(denoisers)
    single = len(folders) == 1
    results = []
    inputs = Inputs(_files_of(image_set))
    require_room(Path(output), _names(folders, stems), inputs)
    names = [denoiser.name for denoiser in denoisers.values()]
    note(_replaced(Path(output), names, image_set.name))
    with staged_folder(output, inputs) as stage:
        for folder, denoiser in denoisers.items():
            place = stage if single else stage / folder
            writer = _ImageWriter(place / "images", image_set.names, stems)
            show = None if progress is None else (lambda row, folder=folder: progress(folder, row))
            key = settings_key(denoiser, config)
            journal = ScoreJournal(place, key, unfinished(stage))
            scores = evaluate(denoiser, image_set, config, show, writer, journal)
            if journal.reused:
                note(f"{folder}: {journal.reused} images were scored by an earlier, killed run")
            result = {**scores, **(extra or {})}
            results.append(result)
            pictures = [
                _picture(image_set, stems[index], index, badge, {"denoised": place}, [result])
                for index, badge in chosen_images(result).items()
            ]
            _write_panels(place / "images", stems, image_set.names, pictures)
            write_json(place / "metrics.json", result)
            atomic_write(place / "metrics.csv", metrics_csv(result))
            atomic_write(place / "report.html", report_html(result, pictures))
            if on_result:
                on_result(result)
        if not single:
            _write_comparison(stage, folders, results, image_set, stems)
    return results


def _replaced(output: Path, names: Sequence[str], dataset: str) -> str:
    """Returns a note if the evaluation of other models, or on another set, is replaced."""
    one, several = (read_object(output / name) for name in ("metrics.json", "ranking.json"))
    found, ranking = several or one, several.get("ranking")
    entries = ranking if isinstance(ranking, list) else [one]
    models = [str(each.get("model")) for each in entries if isinstance(each, dict)]
    there = sorted(models), found.get("dataset")
    if not found or there == (sorted(names), dataset):
        return ""
    what = f"{', '.join(models)} on {found.get('dataset')}"
    return f"{output} has the evaluation of {what}, which is replaced; --output=DIR keeps both"


def _names(folders: Sequence[str], stems: Sequence[str]) -> list[str]:
    """Returns the names of all files that an evaluation may write."""
    images = [f"images/{stem}_{kind}.png" for stem in stems for kind in IMAGE_KINDS]
    names = ["metrics.json", "metrics.csv", "report.html", *images]
    if len(folders) == 1:
        return names
    shared = ["ranking.json", "report.html", *(f"gallery/{stem}.png" for stem in stems)]
    return shared + [f"{folder}/{name}" for folder in folders for name in names]


def _files_of(image_set: ImageSet) -> list[Path]:
    """Returns the files that a set reads."""
    fields = ("paths", "noisy_paths")
    return [path for field in fields for path in getattr(image_set, field, None) or ()]


def _write_comparison(stage, folders, results, image_set, stems) -> None:
    ranking = rank(results, folders)
    places = {entry["folder"]: stage / entry["folder"] for entry in ranking}
    ordered = [results[folders.index(folder)] for folder in places]
    pictures = [
        _picture(image_set, stems[index], index, badge, places, ordered)
        for index, badge in chosen_images(ordered[0]).items()
    ]
    shared = "dataset split available_images has_clean protocol sigma degradation seed clip_noisy"
    head = {key: ordered[0][key] for key in shared.split()}
    head["precision"] = ranking_precision(ranking)
    write_json(stage / "ranking.json", {**head, "ranking": ranking})
    galleries = {}
    for picture in pictures:
        stem = stems[image_set.names.index(picture.name)]
        galleries[picture.name] = f"gallery/{stem}.png"
        box = busiest_box(picture.base.image)
        # The last one is shown whole: the clean image, else the noisy one.
        panels = [panel for panel in picture.panels if panel is not picture.base] + [picture.base]
        title = f"{picture.name} of {head['dataset']} ({head['split']}), {noise_text(head)}"
        write_image(stage / galleries[picture.name], gallery_figure(panels, box, title))
    atomic_write(stage / "report.html", comparison_html(ordered, ranking, pictures, galleries))


class _ImageWriter:
    """Writes NAME_noisy.png, NAME_naive.png and NAME_denoised.png of each image."""

    def __init__(self, folder: Path, names: Sequence[str], stems: Sequence[str]):
        self._folder = folder
        self._stems = dict(zip(names, stems, strict=True))

    def __call__(self, example: Example) -> list[Path]:
        """Writes the pictures; returns their paths."""
        written = []
        for key in ("noisy", "naive", "denoised"):
            image = getattr(example, key)
            if image is not None:
                # NaN becomes black; the report mentions it.
                path = self._folder / f"{self._stems[example.name]}_{key}.png"
                write_image(path, to_uint8(np.nan_to_num(image)))
                written.append(path)
        return written


def _picture(image_set, stem, index, badge, places, results) -> Picture:
    """Collects the panels of an image; with a single result, also its naive estimate."""
    rows = [result["images"][index] for result in results]
    channels = image_set.channels
    first = next(iter(places.values())) / "images"

    def panel(key: str, title: str, path: Path, score: str, row: dict) -> Panel:
        note = f"{number(row[score], 2)} dB" if has_clean(image_set) else ""
        note = row["problem"] if row["problem"] and score == "psnr" else note
        return Panel(key, title, read_image(path, channels), note)

    panels = [panel("noisy", "noisy", first / f"{stem}_noisy.png", "psnr_noisy", rows[0])]
    if len(results) == 1 and (first / f"{stem}_naive.png").exists():
        panels.append(panel("naive", "naive", first / f"{stem}_naive.png", "psnr_naive", rows[0]))
    for (key, place), row in zip(places.items(), rows, strict=True):
        panels.append(panel(key, key, place / "images" / f"{stem}_denoised.png", "psnr", row))
    if has_clean(image_set):
        panels.append(Panel("clean", "clean", image_set.load(index)))
    estimates = list(places) if has_clean(image_set) else []
    return Picture(image_set.names[index], badge, panels, estimates)


def _write_panels(folder, stems, names, pictures) -> None:
    """Writes NAME_panel.png, the comparison as a single picture."""
    scale = common_scale(pictures)
    for picture in pictures:
        panels = with_error_maps(picture, scale)
        box = busiest_box(picture.base.image)
        title = f"{picture.name} ({picture.badge})"
        if picture.estimates:
            title += f"; error map from 0 to {scale} of 255 levels"
        path = folder / f"{stems[names.index(picture.name)]}_panel.png"
        write_image(path, side_by_side(panels, box, title))
