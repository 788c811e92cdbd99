"""The scores of an evaluation as text: console tables and metrics.csv."""

import csv
import io
from collections.abc import Sequence
from typing import Any

from gradnet_tf.degradations.noise_level import scored_untrained
from gradnet_tf.evaluation.protocol import MAX_PSNR, departures, protocol_lines
from gradnet_tf.evaluation.scores import SCORES
from gradnet_tf.images.channels import REPLICATED
from gradnet_tf.weights import gray_partner

# Column title, score, decimals.
_COLUMNS = (
    ("noisy", "psnr_noisy", 2),
    ("naive", "psnr_naive", 2),
    ("denoised", "psnr", 2),
    ("noisy", "ssim_noisy", 4),
    ("naive", "ssim_naive", 4),
    ("denoised", "ssim", 4),
)
_SHOWN_IMAGES, _SHOWN_WORSE = 12, 3


def number(value: float | None, decimals: int) -> str:
    """Formats a score; a dash if it is undefined."""
    return "–" if value is None else f"{value:.{decimals}f}"


def noise_text(result: dict[str, Any]) -> str:
    """Describes the noise of a result: `σ = 25`, `real noise` or the degradation."""
    clipped = ", noisy input clipped" if result["clip_noisy"] else ""
    if result.get("degradation"):
        return f"noise {result['degradation']}{clipped}"
    return "real noise" if result["sigma"] is None else f"σ = {result['sigma']:g}{clipped}"


def images_text(result: dict[str, Any]) -> str:
    """Returns the number of scored images, and of how many."""
    count, available = len(result["images"]), result["available_images"]
    of = f"first {count} of {available}" if count < available else str(available)
    return f"{of} image{'' if available == 1 else 's'}"


def set_text(result: dict[str, Any]) -> str:
    """Returns the set and split of a result, and the number of images if it was cut."""
    cut = len(result["images"]) < result["available_images"]
    return f"{result['dataset']} ({result['split']})" + (f", {images_text(result)}" if cut else "")


def result_table(
    result: dict[str, Any], shown_images: int = _SHOWN_IMAGES, protocol: bool = True
) -> str:
    """Returns the console table of one model: a line per image and the mean.

    Args:
        result: see `gradnet_tf.evaluation.evaluate_set.evaluate`.
        shown_images: largest number of images; more are abbreviated in the middle.
        protocol: print the protocol of the set, too.
    """
    rows = result["images"]
    lines = [(row["name"], row) for row in rows]
    if len(rows) > shown_images:
        head = (shown_images + 1) // 2
        hidden = len(rows) - shown_images
        lines[head : head + hidden] = [(f"… {hidden} more …", None)]
    width = max([len("image"), len("mean")] + [len(name) for name, _ in lines])
    cell = 9
    title = f"{result['model']} on {set_text(result)}, {noise_text(result)}"
    rule = "-" * (width + len(_COLUMNS) * (cell + 1) + 2)
    half = len(_COLUMNS) // 2 * (cell + 1)

    def line(name: str, scores: dict[str, Any]) -> str:
        cells = [number(scores[key], decimals).rjust(cell) for _, key, decimals in _COLUMNS]
        return name.ljust(width) + " " + " ".join(cells[:3]) + "  " + " ".join(cells[3:])

    text = [title, rule, " " * width + "PSNR, dB".rjust(half) + "SSIM".rjust(half + 1)]
    titles = [title.rjust(cell) for title, _, _ in _COLUMNS]
    text += ["image".ljust(width) + " " + " ".join(titles[:3]) + "  " + " ".join(titles[3:]), rule]
    text += [name if row is None else line(name, row) for name, row in lines]
    text += [rule, line("mean", result["mean"])]
    text += notes(result) + (protocol_lines(result) if protocol else [])
    return "\n".join(text)


def notes(result: dict[str, Any]) -> list[str]:
    """Returns remarks about the scores, one sentence each."""
    remarks = departures(result)
    if worse := worse_note(result):
        remarks.append(worse)
    if result["sigma"] is not None:
        note = scored_untrained(result["model"], result["source"], result["sigma"])
        remarks += [note] if note else []
    if result["conversion"]:
        remarks.append(f"channels: {result['conversion']}{_gray_hint(result)}")
    if result.get("self_ensemble"):  # Missing in results of earlier versions.
        remarks.append("results are averaged over the eight flips (self-ensemble)")
    if result["clip_noisy"]:
        remarks.append("the noisy input was clipped to [0, 1]")
    if exact := result.get("exact_outputs"):  # Missing in results of earlier versions.
        images, count = ("image equals", "counts") if exact == 1 else ("images equal", "count")
        remarks.append(f"{exact} {images} the clean one and {count} with {MAX_PSNR:g} dB")
    if result["nan_outputs"]:
        remarks.append(f"{result['nan_outputs']} image(s) with NaN output")
    small = sum(row["ssim"] is None and row["problem"] is None for row in result["images"])
    if small and result.get("has_clean", True):
        remarks.append(f"{small} image(s) too small for SSIM, left out of its mean")
    return remarks


def worse_note(result: dict[str, Any]) -> str | None:
    """Says that images score below their noisy input; `None` if none does."""
    names = result.get("worse_than_input")  # Missing in results of earlier versions.
    if not names:
        return None
    count, mean = len(result["images"]), result["mean"]
    text = f"{len(names)} of {count} images score below their noisy input"
    if len(names) < count:
        text += f" ({', '.join(names[:_SHOWN_WORSE])}{', …' if len(names) > _SHOWN_WORSE else ''})"
    if count == 1:
        text = "the result scores below its noisy input"
    if None in (mean["psnr"], mean["psnr_noisy"]) or mean["psnr"] >= mean["psnr_noisy"]:
        return text
    change = mean["psnr"] - mean["psnr_noisy"]
    return f"{text}: {change:.2f} dB on average; is {result['model']} meant for such images?"


def _gray_hint(result: dict[str, Any]) -> str:
    """Names the gray weights if color weights were scored on gray images."""
    name = gray_partner(result["model"], result["source"])
    return f" (the gray weights are {name})" if name and REPLICATED in result["conversion"] else ""


def metrics_csv(result: dict[str, Any]) -> str:
    """Returns metrics.csv: a row per image, then the mean; empty cells where undefined."""
    columns = ["name", "height", "width", *SCORES, "seconds", "problem"]
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    for row in result["images"]:
        writer.writerow({key: "" if row[key] is None else row[key] for key in columns})
    mean = {key: "" if value is None else value for key, value in result["mean"].items()}
    writer.writerow({"name": "mean", "seconds": result["seconds_per_image"], **mean})
    return buffer.getvalue()


def rank(results: Sequence[dict[str, Any]], folders: Sequence[str]) -> list[dict[str, Any]]:
    """Orders models by mean PSNR, the best first; models without one come last.

    Args:
        results: one per model, for the same images and noise.
        folders: the folder of each model's report, relative to the output.

    Returns:
        One object per model for ranking.json; models with equal PSNR share a rank.
    """
    entries = [
        {
            "model": result["model"],
            "folder": folder,
            **result["mean"],
            "seconds_per_image": result["seconds_per_image"],
            "parameters": result["parameters"],
            "conversion": result["conversion"],
            "precision": result["precision"],
            "runtime": result.get("runtime"),
            "worse_than_input": len(result.get("worse_than_input") or ()),
        }
        for result, folder in zip(results, folders, strict=True)
    ]
    entries.sort(key=lambda entry: (entry["psnr"] is None, -(entry["psnr"] or 0.0)))
    values = [entry["psnr"] for entry in entries]
    return [{"rank": 1 + values.index(entry["psnr"]), **entry} for entry in entries]


def ranking_precision(ranking: Sequence[dict[str, Any]]) -> str:
    """Returns the precision of all models, or where they differ that of each with its runtime."""
    found = {entry["precision"] for entry in ranking}
    if len(found) == 1:
        return found.pop()
    pairs = [(entry["folder"], entry["runtime"], entry["precision"]) for entry in ranking]
    return ", ".join(" ".join(filter(None, pair)) for pair in pairs)


def ranking_table(ranking: Sequence[dict[str, Any]], result: dict[str, Any]) -> str:
    """Returns the console table that compares models, named by the folders of their reports.

    `result` is that of one model, for the images and the noise of all.
    """
    width = max([len("model")] + [len(entry["folder"]) for entry in ranking])
    lines = [f"{len(ranking)} models on {set_text(result)}, {noise_text(result)}"]
    lines += [
        f"rank  {'model'.ljust(width)}  PSNR, dB  8-bit    SSIM    naive  s/image  parameters"
    ]
    for entry in ranking:
        parameters = "–" if entry["parameters"] is None else f"{entry['parameters']:,}"
        lines.append(
            f"{entry['rank']:>4}  {entry['folder'].ljust(width)}  {number(entry['psnr'], 2):>8}"
            f"  {number(entry['psnr_uint8'], 2):>5}  {number(entry['ssim'], 4):>6}"
            f"  {number(entry['psnr_naive'], 2):>7}  {entry['seconds_per_image']:>7.3f}"
            f"  {parameters:>10}"
        )
    count = len(result["images"])
    lines += [
        f"{entry['folder']}: {entry['worse_than_input']} of {count} images score below their "
        f"noisy input, which has {number(entry['psnr_noisy'], 2)} dB on average"
        for entry in ranking
        if entry.get("worse_than_input")
    ]
    if len({entry["precision"] for entry in ranking}) > 1:
        lines.append(f"precision: {ranking_precision(ranking)}")
    return "\n".join(lines)
