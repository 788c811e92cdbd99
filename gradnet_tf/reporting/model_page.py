"""The HTML report of one model: one file, opened from disk, with the pictures inside it."""

from collections.abc import Sequence
from typing import Any

from gradnet_tf.evaluation.protocol import protocol_items
from gradnet_tf.evaluation.tables import images_text, noise_text, notes, number
from gradnet_tf.reporting import page
from gradnet_tf.reporting.page_pictures import Picture, gallery
from gradnet_tf.reporting.score_chart import score_chart


def origin(result: dict[str, Any]) -> str:
    """Shows how a result was made: command, versions, settings and the weights' hash."""
    source = result.get("source") or {}
    items = [
        ("data", f"{result['dataset']}, {result['split']} split, {images_text(result)}"),
        ("noise", f"{noise_text(result)}, seed {result['seed']}"),
        ("precision", result["precision"]),
        ("weights", " ".join(str(source[key]) for key in ("kind", "path") if source.get(key))),
        ("sha256", source.get("sha256") or ""),
        ("versions", ", ".join(f"{k} {v}" for k, v in result.get("versions", {}).items())),
        ("metrics", "PSNR with peak 1.0 of the float output clipped to [0, 1], mean over images"),
        ("", "SSIM with an 11×11 Gaussian window, σ = 1.5, mean over channels"),
    ]
    if not result.get("has_clean", True):
        items = items[:-2]  # No metric was taken.
    command = page.text(" ".join(result.get("command", [])))
    shown = page.facts([(name, value) for name, value in items if value])
    return (
        f"<h2>How this was made</h2><details open><summary>Command and versions</summary>"
        f"<pre>{command}</pre>{shown}</details>"
    )


def protocol_section(result: dict[str, Any]) -> str:
    """Shows how the set is scored where scores are published."""
    items = protocol_items(result)
    if not items:
        return ""
    return f"<h2>Protocol of {page.text(result['dataset'])}</h2>{page.facts(items)}"


def _summary(result: dict[str, Any]) -> str:
    mean = result["mean"]
    seconds = (f"{result['seconds_per_image']:.2f} s", "per image")
    if not result.get("has_clean", True):
        return page.tiles([(str(len(result["images"])), "images without a clean one"), seconds])
    items = [(f"{number(mean['psnr'], 2)} dB", "mean PSNR, denoised")]
    if mean["psnr"] is not None and mean["psnr_noisy"] is not None:
        items.append((f"{mean['psnr'] - mean['psnr_noisy']:+.2f} dB", "gain over the noisy input"))
    items.append((f"{number(mean['psnr_noisy'], 2)} dB", "noisy input"))
    if mean["psnr_naive"] is not None:
        items.append((f"{number(mean['psnr_naive'], 2)} dB", "naive estimate"))
    items += [
        (number(mean["ssim"], 4), "mean SSIM"),
        (f"{number(mean['psnr_uint8'], 2)} dB", "PSNR after rounding to 8 bits"),
        seconds,
    ]
    return page.tiles(items)


def _image_table(result: dict[str, Any]) -> str:
    keys = [("PSNR noisy", "psnr_noisy", 2), ("naive", "psnr_naive", 2), ("denoised", "psnr", 2)]
    keys += [("8-bit", "psnr_uint8", 2)]
    keys += [("SSIM noisy", "ssim_noisy", 4), ("naive", "ssim_naive", 4), ("denoised", "ssim", 4)]
    keys = [item for item in keys if "naive" not in item[1] or result["mean"][item[1]] is not None]

    def cells(scores: dict[str, Any]) -> list[tuple]:
        return [(number(scores[key], decimals), scores[key]) for _, key, decimals in keys]

    rows = []
    for row in result["images"]:
        name = page.text(row["name"])
        if row["problem"]:
            name += f' <span class="warn">{page.text(row["problem"])}</span>'
        seconds = (f"{row['seconds']:.2f}", row["seconds"])
        rows.append([name, *cells(row), seconds])
    mean = result["seconds_per_image"]
    foot = ["mean", *cells(result["mean"]), (f"{mean:.2f}", mean)]
    return page.table(["image", *[title for title, _, _ in keys], "seconds"], rows, foot)


def report_html(result: dict[str, Any], pictures: Sequence[Picture]) -> str:
    """Makes report.html of one model.

    Args:
        result: see `gradnet_tf.evaluation.evaluate_set.evaluate`; `command` and `versions` are
            shown if there.
        pictures: the images to show, each with a panel "denoised".
    """
    title = f"{result['model']} on {result['dataset']}"
    remarks = "".join(f'<p class="soft">{page.text(note)}</p>' for note in notes(result))
    body = (
        f"<header><h1>{page.text(title)}</h1>"
        f'<p class="soft">{page.text(noise_text(result))} · {page.text(result["split"])} split · '
        f"{images_text(result)}</p></header>"
        f"{_summary(result)}{remarks}{gallery(pictures, 'denoised')}"
        f"<h2>Every image</h2>{score_chart(result['images'])}{_image_table(result)}"
        f"{protocol_section(result)}{origin(result)}"
    )
    return page.document(title, body)
