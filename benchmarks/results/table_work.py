"""Works through the cells of the results table and writes it after each."""

import dataclasses
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.results.cells import Cells
from benchmarks.results.table_models import CLASSICAL, Entry
from benchmarks.results.table_text import csv_table, markdown, set_table
from datasets.sets.catalog import find_dataset
from datasets.sets.image_set import ImageSet
from gradnet_tf.evaluation.evaluate_set import EvaluateConfig
from gradnet_tf.evaluation.tables import number
from gradnet_tf.reporting.result_folder import check_images
from gradnet_tf.reporting.watch import Watch
from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.files import atomic_write, jsonable
from gradnet_tf.utils.progress import format_seconds


@dataclasses.dataclass(frozen=True)
class Job:
    """One cell: a row's model on a set at a noise level."""

    entry: Entry
    spec: str
    image_set: ImageSet
    sigma: float

    @property
    def pace(self) -> tuple[str, int]:
        """What takes about the same time for an image."""
        return self.entry.name, self.image_set.channels


def find_sets(names: Sequence[str], data_dir, max_images: int | None) -> list[ImageSet]:
    """Finds the sets and decodes each image once, so that a bad file is named at once.

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
    """Lists the cells, set by set and σ by σ: grey sets have grey models only, and so on."""
    return [
        Job(entry, spec, image_set, sigma)
        for image_set in image_sets
        for sigma in sigmas
        for entry in entries
        if image_set.channels in entry.channels and (spec := entry.spec(sigma)) is not None
    ]


def seconds_left(jobs: Sequence[Job], pace: dict[tuple[str, int], float]) -> float:
    """Returns how long the jobs take at the seconds per image of those that are done.

    What has not been seen counts as the mean of what has.
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
    """Makes the cells that are not there and writes table.md and the rest after each.

    Args:
        entries: the rows.
        image_sets: the tables.
        sigmas: the columns.
        load: called with a spec, returns its denoiser; `load.macs` its MACs per pixel.
        options: fields of `EvaluateConfig`: `seed`, `precision`, `max_images`.
        output: folder to write.
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
    for job in jobs:  # a damaged file shows now, not after hours
        load(job.spec)
    cells, rows = Cells(output / "cells"), []
    pace: dict[tuple[str, int], float] = {}
    for count, job in enumerate(jobs, 1):
        denoiser, size = load(job.spec), len(job.image_set.names)
        more = {"precision": "float32"} if job.entry.group == CLASSICAL else {}
        config = EvaluateConfig(dataset=job.image_set.name, sigma=job.sigma, **{**options, **more})
        watch = Watch(size, show_model=True)
        start = time.monotonic()
        name = f"{count}/{len(jobs)} {job.image_set.name} σ={job.sigma:g} {job.entry.name}"
        cell = cells.score(denoiser, job.image_set, config, lambda row, w=watch, n=name: w(n, row))
        # A cell that was there says how long it took when it was made.
        pace[job.pace] = cell["seconds"] / size
        rows.append(_row(job, cell, load.macs(job.spec)))
        if time.monotonic() - start > 0.5 or count == len(jobs):
            left = format_seconds(seconds_left(jobs[count:], pace))
            psnr = number(cell["mean"]["psnr"], 2)
            print(f"{name}: {psnr} dB; about {left} left", file=sys.stderr, flush=True)
            _write(output, rows, remarks, speed)
    return rows


def _row(job: Job, cell: dict[str, Any], macs: float | None) -> dict[str, Any]:
    facts, size = job.image_set.facts, len(job.image_set.names)
    scores = ("psnr", "psnr_uint8", "ssim", "psnr_noisy", "ssim_noisy")
    same = ("seed", "precision", "parameters", "conversion", "seconds_per_image", "nan_outputs")
    return {
        "dataset": job.image_set.name,
        "title": facts.title,
        "channels": job.image_set.channels,
        "images": size,
        "whole": facts.counts.get(job.image_set.split, -1) == size,
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
    atomic_write(output / "table.md", markdown(rows, remarks, speed))
    atomic_write(output / "table.csv", csv_table(rows))
    lines = [json.dumps(jsonable(row), ensure_ascii=False, allow_nan=False) for row in rows]
    atomic_write(output / "results.jsonl", "\n".join(lines) + "\n")
    head = next((row for row in rows if row["channels"] == 3), rows[0])["dataset"]
    atomic_write(output / "head.md", set_table(rows, head, short=True) + "\n")
