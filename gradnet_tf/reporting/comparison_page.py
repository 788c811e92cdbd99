"""The HTML page that compares several models on the same images."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from gradnet_tf.evaluation.tables import images_text, noise_text, notes, number
from gradnet_tf.reporting import page
from gradnet_tf.reporting.model_page import origin, protocol_section
from gradnet_tf.reporting.page_pictures import Picture, gallery


def comparison_html(
    results: Sequence[dict[str, Any]],
    ranking: Sequence[dict[str, Any]],
    pictures: Sequence[Picture],
    galleries: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Makes the page of a run with several models.

    Args:
        results: one per model, in the order of `ranking`.
        ranking: see `gradnet_tf.evaluation.tables.rank`; the folders are linked.
        pictures: the images to show, with a panel per model whose key is the model's folder.
        galleries: file of each picture's figure by the picture's name, to link.
    """
    first = results[0]
    best = ranking[0]
    title = f"{len(results)} models on {first['dataset']}"
    scored = first.get("has_clean", True)
    leading = [(f"{number(best['psnr'], 2)} dB", f"best: {best['folder']}")] if scored else []
    if len(ranking) > 1 and None not in (best["psnr"], ranking[1]["psnr"]):
        gap = best["psnr"] - ranking[1]["psnr"]
        leading.append((f"{gap:+.2f} dB", f"ahead of {ranking[1]['folder']}"))
    if scored:
        leading.append((f"{number(best['psnr_noisy'], 2)} dB", "noisy input"))
    leading.append((str(len(first["images"])), "images"))
    remarks = "".join(
        f'<p class="soft">{page.text(entry["folder"])}: {page.text(note)}</p>'
        for entry, result in zip(ranking, results, strict=True)
        for note in notes(result)
    )
    body = (
        f"<header><h1>{page.text(title)}</h1>"
        f'<p class="soft">{page.text(noise_text(first))} · {page.text(first["split"])} split · '
        f"{images_text(first)}</p></header>{page.tiles(leading)}"
        f"<h2>Ranking</h2>{_ranking_table(ranking)}{remarks}"
        f"{gallery(pictures, best['folder'])}{_figure_links(galleries)}"
        f"<h2>Every image, PSNR in dB</h2>{_image_table(results, ranking)}"
        # Command and versions are the same for all; the weights are named in each model's report.
        f"{protocol_section(first)}{origin({**first, 'source': None})}"
    )
    return page.document(title, body)


def _figure_links(galleries: Mapping[str, str]) -> str:
    if not galleries:
        return ""
    links = ", ".join(
        f'<a href="{page.text(quote(path))}">{page.text(name)}</a>'
        for name, path in galleries.items()
    )
    return f'<p class="soft">As figures for papers and slides (PNG): {links}.</p>'


def _ranking_table(ranking: Sequence[dict[str, Any]]) -> str:
    rows = []
    for entry in ranking:
        link = page.text(quote(entry["folder"]) + "/report.html")
        parameters = entry["parameters"]
        rows.append(
            [
                f'<a href="{link}">{page.text(entry["folder"])}</a>',
                *((number(entry[key], 2), entry[key]) for key in ("psnr", "psnr_uint8")),
                (number(entry["ssim"], 4), entry["ssim"]),
                (number(entry["psnr_naive"], 2), entry["psnr_naive"]),
                (f"{entry['seconds_per_image']:.3f}", entry["seconds_per_image"]),
                ("–" if parameters is None else f"{parameters:,}", parameters),
            ]
        )
    head = ["model", "PSNR, dB", "8-bit", "SSIM", "naive PSNR", "s/image", "parameters"]
    return page.table(head, rows)


def _image_table(results: Sequence[dict[str, Any]], ranking: Sequence[dict[str, Any]]) -> str:
    rows = []
    for images in zip(*(result["images"] for result in results), strict=True):
        scores = [images[0]["psnr_noisy"], *(image["psnr"] for image in images)]
        best = max((score for score in scores if score is not None), default=None)
        cells = []
        for score in scores:
            shown = number(score, 2)
            # The best one stands out, where there is something to choose.
            bold = score is not None and score == best and len(set(scores)) > 1
            cells.append((f"<b>{shown}</b>" if bold else shown, score))
        rows.append([page.text(images[0]["name"]), *cells])
    means = [results[0]["mean"]["psnr_noisy"], *(result["mean"]["psnr"] for result in results)]
    foot = ["mean", *((number(mean, 2), mean) for mean in means)]
    return page.table(["image", "noisy", *(entry["folder"] for entry in ranking)], rows, foot)
