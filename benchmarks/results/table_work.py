"""Makes the cells of the results table, and writes it as Markdown and CSV after each."""

import csv
import dataclasses
import io
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.results.cells import Cells
from benchmarks.results.table_models import CLASSICAL, LITERATURE, OURS, Entry
from datasets.sets.catalog import find_dataset
from datasets.sets.image_set import ImageSet
from gradnet_tf.evaluation.evaluate_set import EvaluateConfig
from gradnet_tf.evaluation.tables import number
from gradnet_tf.reporting.result_folder import check_images
from gradnet_tf.reporting.watch import Watch
from gradnet_tf.utils.console import format_seconds
from gradnet_tf.utils.containers import MOST_JSON, parse_json, read_regular
from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.files import atomic_write, jsonable
from gradnet_tf.utils.ownership import (
    MANIFEST,
    is_recorded,
    read_object,
    record,
    require_replaceable,
)

NOTE = (
    "A cell has the PSNR in dB of the float output, that after rounding to 8 bits, and SSIM: means "
    "over the images, seed {seed}, the noise not clipped, PSNR in {colors}. Bold: the best of the "
    "rows that were run. MACs are multiply-accumulates of the convolutions per pixel."
)
LITERATURE_NOTE = (
    "Rows in italics are **from the literature**, not run here: {sources}. In brackets the gap: "
    "the best row of ours less theirs."
)
FIELDS = (
    "dataset images sigma model group parameters macs_per_pixel psnr psnr_uint8 ssim "
    "psnr_noisy ssim_noisy seconds_per_image precision weights"
).split()


def _of(rows: Sequence[dict], **wanted: Any) -> list[dict]:
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def _best(rows: Sequence[dict]) -> dict | None:
    scored = [row for row in rows if row["psnr"] is not None]
    return max(scored, key=lambda row: row["psnr"], default=None)


def gap(rows: Sequence[dict], psnr: float) -> float | None:
    """Returns the PSNR of our best row minus a published one, dB.

    Args:
        rows: of one set and σ.
        psnr: the published one.

    Returns:
        The gap, or `None` without a row of ours for the whole set.
    """
    ours = _best(_of(rows, group=OURS, whole=True))
    return None if ours is None else ours["psnr"] - psnr


def _scores(row: dict | None, bold: bool, short: bool) -> str:
    if row is None:
        return ""
    text = number(row["psnr"], 2)
    text = f"**{text}**" if bold else text
    if short:
        return text
    return f"{text} / {number(row['psnr_uint8'], 2)} / {number(row['ssim'], 4)}"


def _count(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def set_table(
    rows: Sequence[dict], dataset: str, speed: Sequence[dict] = (), short: bool = False
) -> str:
    """Makes the Markdown table of one set: a row for each model, a column for each σ.

    Args:
        rows: rows of results.jsonl; those of other sets are ignored.
        dataset: name of the set.
        speed: rows of speed.json.
        short: only the PSNR of the float output, and no time.

    Returns:
        Lines without a trailing newline; empty when the set has no rows.
    """
    rows = _of(rows, dataset=dataset)
    if not rows:
        return ""
    sigmas = sorted({row["sigma"] for row in rows})
    channels = rows[0]["channels"]
    timed = [] if short else _of(speed, channels=channels)
    precisions = list(dict.fromkeys(row["precision"] for row in timed))
    head = ["model", "parameters", "MACs per pixel"]
    head += [f"ms per MP, {precision}" for precision in precisions]
    lines = [[*head, *(f"σ = {sigma:g}" for sigma in sigmas)]]
    lines.append(["---"] + ["---:"] * (len(lines[0]) - 1))
    blank = ["–"] * (len(head) - 1)
    at = {sigma: _of(rows, sigma=sigma) for sigma in sigmas}
    noisy = [at[sigma][0] for sigma in sigmas]
    lines.append(
        ["noisy input", *blank]
        + [
            number(row["psnr_noisy"], 2)
            + ("" if short else f" / – / {number(row['ssim_noisy'], 4)}")
            for row in noisy
        ]
    )
    best = {sigma: _best(at[sigma]) for sigma in sigmas}
    for name in dict.fromkeys(row["name"] for row in rows):
        own = {row["sigma"]: row for row in _of(rows, name=name)}
        first = next(iter(own.values()))
        line = [first["model"], _count(first["parameters"]), _count(first["macs_per_pixel"])]
        for precision in precisions:
            found = _of(timed, name=name, precision=precision)
            line.append(_count(found[0]["ms_per_megapixel"] if found else None))
        line += [_scores(own.get(s), own.get(s) is best[s], short) for s in sigmas]
        lines.append(line)
    for item in LITERATURE:
        known = item.psnr.get(dataset, {})
        if any(sigma in known for sigma in sigmas):
            cells = [_published(at[s], known.get(s)) for s in sigmas]
            lines.append([f"*{item.method}, from the literature*", *blank, *cells])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _published(rows: Sequence[dict], psnr: float | None) -> str:
    if psnr is None:
        return ""
    difference = gap(rows, psnr)
    shown = "" if difference is None else f" ({difference:+.2f})".replace("-", "−")
    return f"*{psnr:.2f}*{shown}"


def markdown(
    rows: Sequence[dict], remarks: Sequence[str] = (), speed: dict[str, Any] | None = None
) -> str:
    """Makes table.md: a heading and a table for each set, then notes.

    Args:
        rows: rows of results.jsonl.
        remarks: additional sentences, such as the omitted rows.
        speed: contents of speed.json.
    """
    speed = speed or {"rows": [], "note": ""}
    parts = []
    for dataset in dict.fromkeys(row["dataset"] for row in rows):
        row = _of(rows, dataset=dataset)[0]
        colors = "RGB" if row["channels"] == 3 else "gray"
        some = "" if row["whole"] else f"the first {row['images']} images only, "
        title = f"### {row['title']} ({some or str(row['images']) + ' images, '}{colors})"
        parts.append(title + "\n\n" + set_table(rows, dataset, speed["rows"]))
    parts.append(NOTE.format(seed=rows[0]["seed"], colors="RGB (gray sets in gray)"))
    sources = "; ".join(f"{item.method}: {item.source}" for item in LITERATURE)
    parts.append(LITERATURE_NOTE.format(sources=sources))
    if not all(row["whole"] for row in rows):
        parts.append("No gaps for partly scored sets: they cannot be compared with the literature.")
    if speed["note"]:
        parts.append(speed["note"])
    other = {row["precision"] for row in rows} - {"float32"}
    parts += [f"Networks in {precision}." for precision in sorted(other)]
    broken = dict.fromkeys(row["model"] for row in rows if row["nan_outputs"])
    parts += [f"{model}: some outputs have NaN values." for model in broken]
    return "\n\n".join([*parts, *remarks]) + "\n"


def csv_table(rows: Sequence[dict]) -> str:
    """Makes table.csv: a line for each model, set and σ, unrounded, then the literature's."""
    text = io.StringIO()
    writer = csv.DictWriter(text, FIELDS, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: "" if value is None else value for key, value in row.items()})
    for dataset, sigma in dict.fromkeys((row["dataset"], row["sigma"]) for row in rows):
        for item in LITERATURE:
            psnr = item.psnr.get(dataset, {}).get(sigma)
            if psnr is not None:
                place = {"dataset": dataset, "sigma": sigma, "group": "literature"}
                writer.writerow({**place, "model": item.method, "psnr": psnr})
    return text.getvalue()


@dataclasses.dataclass(frozen=True)
class Job:
    """One cell: a row's model on a set at a noise level."""

    entry: Entry
    spec: str
    image_set: ImageSet
    sigma: float

    @property
    def pace(self) -> tuple[str, int]:
        """Jobs of equal pace take about the same time per image."""
        return self.entry.name, self.image_set.channels


def find_sets(names: Sequence[str], data_dir, max_images: int | None) -> list[ImageSet]:
    """Finds the sets and decodes each image once, to report a bad file immediately.

    Raises:
        UserError: from `find_dataset`, or for a set without added noise.
    """
    image_sets = [find_dataset(name, data_dir, None, max_images) for name in names]
    for image_set in image_sets:
        check_images(image_set)
        if image_set.noisy(0) is not None:
            raise UserError(
                f"`sets` must be sets that noise is added to. Received: {image_set.name}, whose "
                "noise is real.\nScore it with evaluate.py."
            )
    return image_sets


def plan(entries: Sequence[Entry], image_sets: Sequence[ImageSet], sigmas) -> list[Job]:
    """Lists the cells by set and σ; sets only get models for their number of channels."""
    return [
        Job(entry, spec, image_set, sigma)
        for image_set in image_sets
        for sigma in sigmas
        for entry in entries
        if image_set.channels in entry.channels and (spec := entry.spec(sigma)) is not None
    ]


def seconds_left(jobs: Sequence[Job], pace: dict[tuple[str, int], float]) -> float:
    """Estimates the time of the remaining jobs from the seconds per image of finished ones.

    An unknown pace counts as the mean of the known ones.
    """
    usual = sum(pace.values()) / max(len(pace), 1)
    return sum(pace.get(job.pace, usual) * len(job.image_set.names) for job in jobs)


def make_table(
    entries: Sequence[Entry],
    image_sets: Sequence[ImageSet],
    sigmas: Sequence[float],
    load,
    options: dict[str, Any],
    output: Path,
    remarks: Sequence[str],
    speed: dict[str, Any],
) -> list[dict[str, Any]]:
    """Makes the missing cells and writes all output files after each.

    Args:
        entries: the rows.
        image_sets: the tables.
        sigmas: the columns.
        load: called with a spec, returns its denoiser; `load.macs` its MACs per pixel.
        options: fields of `EvaluateConfig`: `seed`, `precision`, `max_images`.
        output: output folder.
        remarks: sentences below the table.
        speed: contents of speed.json.

    Returns:
        The rows of results.jsonl.

    Raises:
        UserError: when no row fits any of the sets and levels.
    """
    jobs = plan(entries, image_sets, sigmas)
    if not jobs:
        raise UserError(
            "No model fits these sets and noise levels: see --models, --sets, --sigmas."
        )
    for job in jobs:  # to report a damaged file now, not after hours
        load(job.spec)
    cells, rows = Cells(output / "cells"), []
    pace: dict[tuple[str, int], float] = {}
    for count, job in enumerate(jobs, 1):
        denoiser, size = load(job.spec), len(job.image_set.names)
        fields = dict(options)
        if job.entry.group == CLASSICAL:
            fields["precision"] = "float32"
        config = EvaluateConfig(dataset=job.image_set.name, sigma=job.sigma, **fields)
        watch = Watch(size, show_model=True)
        start = time.monotonic()
        name = f"{count}/{len(jobs)} {job.image_set.name} σ={job.sigma:g} {job.entry.name}"
        cell = cells.score(denoiser, job.image_set, config, lambda row, w=watch, n=name: w(n, row))
        # A cached cell has the seconds of its evaluation.
        pace[job.pace] = cell["seconds"] / size
        rows.append(_row(job, cell, load.macs(job.spec)))
        if time.monotonic() - start > 0.5 or count == len(jobs):
            left = format_seconds(seconds_left(jobs[count:], pace))
            psnr = number(cell["mean"]["psnr"], 2)
            print(f"{name}: {psnr} dB; about {left} left", file=sys.stderr, flush=True)
            _write(output, rows, remarks, speed)
    return rows


def _row(job: Job, cell: dict[str, Any], macs: float | None) -> dict[str, Any]:
    info, size = job.image_set.info, len(job.image_set.names)
    scores = ("psnr", "psnr_uint8", "ssim", "psnr_noisy", "ssim_noisy")
    same = ("seed", "precision", "parameters", "conversion", "seconds_per_image", "nan_outputs")
    return {
        "dataset": job.image_set.name,
        "title": info.title,
        "channels": job.image_set.channels,
        "images": size,
        "whole": info.counts.get(job.image_set.split, -1) == size,
        "sigma": job.sigma,
        "name": job.entry.name,
        "model": job.entry.label,
        "group": job.entry.group,
        "macs_per_pixel": macs,
        **{key: cell["mean"][key] for key in scores},
        **{key: cell[key] for key in same},
        "weights": cell["key"]["weights"],
    }


def _write(output: Path, rows: Sequence[dict], remarks, speed) -> None:
    """Writes the table as far as it is done; its colour set, or the first, is the short one."""
    lines = [json.dumps(jsonable(row), ensure_ascii=False, allow_nan=False) for row in rows]
    head = next((row for row in rows if row["channels"] == 3), rows[0])["dataset"]
    texts = (
        markdown(rows, remarks, speed),
        csv_table(rows),
        "\n".join(lines) + "\n",
        set_table(rows, head, short=True) + "\n",
    )
    require_own_table(output)
    for name, text in zip(TABLE_FILES, texts, strict=True):
        atomic_write(output / name, text)
        record(output / name)


#: What a table is written as.
TABLE_FILES = ("table.md", "table.csv", "results.jsonl", "head.md")


def require_own_table(output: Path) -> None:
    """Raises `UserError` where a file of the table would replace one that is no earlier table's."""
    # Tables from before there was a manifest have their rows to tell them by.
    known = read_object(output / MANIFEST).get("files", {})
    older = not {*TABLE_FILES} & {*known} and _has_rows(output / "results.jsonl")
    for name in TABLE_FILES:
        require_replaceable(
            output / name, f"--output={output}", lambda path: older or is_recorded(path)
        )


def _has_rows(path: Path) -> bool:
    try:
        first = parse_json(read_regular(path, MOST_JSON).split(b"\n", 1)[0])
    except (OSError, ValueError):
        return False
    keys = {"dataset", "sigma", "model", "psnr", "weights", "macs_per_pixel"}
    return isinstance(first, dict) and first.keys() >= keys
