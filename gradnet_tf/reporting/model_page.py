"""The HTML reports of an evaluation: of one model, or of several on the same images."""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from gradnet_tf.evaluation.protocol import protocol_items
from gradnet_tf.evaluation.tables import (
    images_text,
    noise_text,
    notes,
    number,
    ranking_precision,
)
from gradnet_tf.reporting.page import render
from gradnet_tf.reporting.page_pictures import Picture, error_legend, picture_values

# Title, score and decimals of the columns of one model's table.
_COLUMNS = (
    ("PSNR noisy", "psnr_noisy", 2),
    ("naive", "psnr_naive", 2),
    ("denoised", "psnr", 2),
    ("8-bit", "psnr_uint8", 2),
    ("SSIM noisy", "ssim_noisy", 4),
    ("naive", "ssim_naive", 4),
    ("denoised", "ssim", 4),
)
_WIDTH, _HEIGHT = 1080, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 12, 30, 26
_SERIES = (("noisy", "psnr_noisy"), ("naive", "psnr_naive"), ("denoised", "psnr"))


def report_html(result: dict[str, Any], pictures: Sequence[Picture]) -> str:
    """Returns report.html of one model.

    Args:
        result: see `gradnet_tf.evaluation.evaluate_set.evaluate`, optionally with `command` and
            `versions`.
        pictures: the images to show, each with a panel "denoised".
    """
    mean = result["mean"]
    return render(
        "evaluation.html",
        title=f"{result['model']} on {result['dataset']}",
        numbers=_summary(result),
        remarks=notes(result),
        chart=score_chart(result["images"]),
        columns=[
            {"title": title, "key": key, "decimals": decimals}
            for title, key, decimals in _COLUMNS
            if "naive" not in key or mean[key] is not None
        ],
        result=result,
        **_common(result, pictures),
    )


def comparison_html(
    results: Sequence[dict[str, Any]],
    ranking: Sequence[dict[str, Any]],
    pictures: Sequence[Picture],
    galleries: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Returns report.html for several models.

    Args:
        results: one per model, in the order of `ranking`.
        ranking: see `gradnet_tf.evaluation.tables.rank`; the page links to the folders.
        pictures: the images to show, with a panel per model whose key is the model's folder.
        galleries: file of each picture's figure by name, to link to.
    """
    first, best = results[0], ranking[0]
    scored = first.get("has_clean", True)
    leading = [(f"{number(best['psnr'], 2)} dB", f"best: {best['folder']}")] if scored else []
    if len(ranking) > 1 and None not in (best["psnr"], ranking[1]["psnr"]):
        gap = best["psnr"] - ranking[1]["psnr"]
        leading.append((f"{gap:+.2f} dB", f"ahead of {ranking[1]['folder']}"))
    if scored:
        leading.append((f"{number(best['psnr_noisy'], 2)} dB", "noisy input"))
    leading.append((str(len(first["images"])), "images"))
    images = []
    for rows in zip(*(result["images"] for result in results), strict=True):
        scores = [rows[0]["psnr_noisy"], *(row["psnr"] for row in rows)]
        # The best score is bold unless all are equal.
        top = max((score for score in scores if score is not None), default=None)
        images.append((rows[0]["name"], scores, top if len(set(scores)) > 1 else None))
    return render(
        "comparison.html",
        title=f"{len(results)} models on {first['dataset']}",
        numbers=leading,
        ranking=ranking,
        remarks=[
            (entry["folder"], note)
            for entry, result in zip(ranking, results, strict=True)
            for note in notes(result)
        ],
        galleries=galleries,
        images=images,
        means=[results[0]["mean"]["psnr_noisy"], *(each["mean"]["psnr"] for each in results)],
        # Command and versions are common to all; each model's own report has its weights.
        **_common({**first, "source": None, "precision": ranking_precision(ranking)}, pictures),
    )


def _common(result: dict[str, Any], pictures: Sequence[Picture]) -> dict[str, Any]:
    """Returns the values of both templates."""
    legend = error_legend(pictures)
    return {
        "subtitle": f"{noise_text(result)} · {result['split']} split · {images_text(result)}",
        "pictures": [picture_values(picture, legend["end"]) for picture in pictures],
        "scale": legend if any(picture.estimates for picture in pictures) else None,
        "dataset": result["dataset"],
        "protocol": protocol_items(result),
        "command": " ".join(result.get("command", [])),
        "origin": _origin(result),
    }


def _origin(result: dict[str, Any]) -> list[tuple[str, str]]:
    """Returns the settings, versions and weights of a result."""
    source = result.get("source") or {}
    items = [
        ("data", f"{result['dataset']}, {result['split']} split, {images_text(result)}"),
        ("noise", f"{noise_text(result)}, seed {result['seed']}"),
        ("precision", result["precision"]),
        ("weights", " ".join(str(source[key]) for key in ("kind", "path") if source.get(key))),
        ("network", "; ".join(filter(None, map(source.get, ("network", "reading"))))),
        ("sha256", source.get("sha256") or ""),
        ("versions", ", ".join(f"{k} {v}" for k, v in result.get("versions", {}).items())),
    ]
    if result.get("has_clean", True):
        psnr = (
            "PSNR of the float output clipped to [0, 1], peak 1.0, at most 100 dB, mean of images"
        )
        ssim = "SSIM with an 11×11 Gaussian window, σ = 1.5, mean over channels"
        items += [("metrics", psnr), ("", ssim)]
    return [(name, value) for name, value in items if value]


def _summary(result: dict[str, Any]) -> list[tuple[str, str]]:
    mean = result["mean"]
    seconds = (f"{result['seconds_per_image']:.2f} s", "per image")
    if not result.get("has_clean", True):
        return [(str(len(result["images"])), "images without a clean one"), seconds]
    items = [(f"{number(mean['psnr'], 2)} dB", "mean PSNR, denoised")]
    if mean["psnr"] is not None and mean["psnr_noisy"] is not None:
        items.append((f"{mean['psnr'] - mean['psnr_noisy']:+.2f} dB", "gain over the noisy input"))
    items.append((f"{number(mean['psnr_noisy'], 2)} dB", "noisy input"))
    if mean["psnr_naive"] is not None:
        items.append((f"{number(mean['psnr_naive'], 2)} dB", "naive estimate"))
    return [
        *items,
        (number(mean["ssim"], 4), "mean SSIM"),
        (f"{number(mean['psnr_uint8'], 2)} dB", "PSNR after rounding to 8 bits"),
        seconds,
    ]


def score_chart(rows: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Returns the layout of `chart.svg`, the PSNR of every image in the order of the denoised one.

    `rows` are the `images` of a result. Returns `None` for fewer than four images with scores.
    """
    rows = sorted((row for row in rows if row["psnr"] is not None), key=lambda row: row["psnr"])
    if len(rows) < 4:
        return None
    values = [row[key] for row in rows for _, key in _SERIES if row[key] is not None]
    low, high = math.floor(min(values)), math.ceil(max(values))
    high = max(high, low + 1)
    step = next(step for step in (1, 2, 5, 10, 20, 50) if (high - low) / step <= 8)
    plot_width, plot_height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def y(value: float) -> float:
        return round(_TOP + plot_height * (high - value) / (high - low), 1)

    images = []
    for position, row in enumerate(rows):
        shown = [(name, row[key]) for name, key in _SERIES if row[key] is not None]
        scores = ", ".join(f"{name} {value:.2f} dB" for name, value in shown)
        images.append(
            {
                "title": f"{row['name']}: {scores}",
                "x": round(_LEFT + plot_width * (position + 0.5) / len(rows), 1),
                "dots": [(name, y(value)) for name, value in shown],
            }
        )
    return {
        "width": _WIDTH,
        "height": _HEIGHT,
        "left": _LEFT,
        "right": _WIDTH - _RIGHT,
        "levels": [(v, y(v)) for v in range(-(-low // step) * step, high + 1, step)],
        "radius": round(max(2.0, min(4.5, 0.3 * plot_width / len(rows))), 1),
        "images": images,
        "series": [n for n, key in _SERIES if any(row[key] is not None for row in rows)],
        "label": f"PSNR of {len(rows)} images in dB, from the worst to the best denoised",
    }
