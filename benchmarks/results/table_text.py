"""The results table as text: Markdown with literature and gaps, and CSV."""

import csv
import io
from collections.abc import Sequence
from typing import Any

from benchmarks.results.literature import LITERATURE
from benchmarks.results.table_models import OURS
from gradnet_tf.evaluation.tables import number

NOTE = (
    "A cell has the PSNR in dB of the float output, that after rounding to 8 bits, and SSIM: means "
    "over the images, seed {seed}, the noise not clipped, PSNR in {colours}. Bold: the best of the "
    "rows that were run. MACs are multiply-accumulates of the convolutions for a pixel."
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
    """Returns the PSNR of our best row less a published one, dB.

    Args:
        rows: of one set and σ.
        psnr: the published one.

    Returns:
        `None` without a row of ours, and where not the whole set was scored.
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
        rows: see `benchmarks.results.results_table`; those of other sets are left alone.
        dataset: name of the set.
        speed: rows of speed.json.
        short: PSNR of the float output alone, and no time.

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
    """Makes table.md: a heading and a table for each set, then what a reader must know.

    Args:
        rows: see `benchmarks.results.results_table`.
        remarks: more sentences, such as what was left out.
        speed: contents of speed.json.
    """
    speed = speed or {"rows": [], "note": ""}
    parts = []
    for dataset in dict.fromkeys(row["dataset"] for row in rows):
        row = _of(rows, dataset=dataset)[0]
        colours = "RGB" if row["channels"] == 3 else "gray"
        some = "" if row["whole"] else f"the first {row['images']} images only, "
        title = f"### {row['title']} ({some or str(row['images']) + ' images, '}{colours})"
        parts.append(title + "\n\n" + set_table(rows, dataset, speed["rows"]))
    parts.append(NOTE.format(seed=rows[0]["seed"], colours="RGB (gray sets in gray)"))
    sources = "; ".join(f"{item.method}: {item.source}" for item in LITERATURE)
    parts.append(LITERATURE_NOTE.format(sources=sources))
    if not all(row["whole"] for row in rows):
        parts.append("Sets of which a part was scored do not compare with the literature: no gap.")
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
