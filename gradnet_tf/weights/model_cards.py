"""The shipped weights as text: a table of all, or the card of one."""

import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from gradnet_tf import weights

_WIDTH = 100
_LABEL = 14


def cards_table(cards: Sequence[dict[str, Any]]) -> str:
    """Returns a table with a row per card; the default has a star."""
    rows = [("name", "parameters", "size", "sigma", "PSNR in dB")]
    rows += [_row(card) for card in cards]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
    return "\n".join(lines)


def _row(card: dict[str, Any]) -> tuple[str, ...]:
    mark = "*" if card["name"] == weights.DEFAULT else ""
    scores = (
        f"{image_set} {_at(sigma)}: {value:.2f}"
        for image_set, by_sigma in card.get("scores", {}).items()
        for sigma, value in by_sigma.items()
    )
    return (
        card["name"] + mark,
        f"{card['parameters']:,}",
        _size(card),
        _levels(card),
        ", ".join(scores) or "-",
    )


def card_text(card: dict[str, Any]) -> str:
    """Returns a card in readable form, without missing entries."""
    lines = [card["name"]]
    for label, text in _entries(card):
        lines += textwrap.wrap(
            text,
            _WIDTH,
            initial_indent=f"  {label:{_LABEL}}",
            subsequent_indent=" " * (_LABEL + 2),
            break_long_words=False,
            break_on_hyphens=False,
        )
    return "\n".join(lines)


def _entries(card: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yields labels and their texts; an empty label continues the previous one."""
    color = "RGB" if card["channels"] == 3 else "gray"
    yield "network", f"{card['preset']}, {card['parameters']:,} parameters, {color}"
    if card["sigma_max"] is None:
        known = card["noise"] != "real"
        yield "noise", "a camera's" + (f": --degradation='{card['noise']}'" if known else "")
    else:
        yield "noise", f"white Gaussian, sigma {_levels(card)} on the 0-255 scale"
    counts = card.get("measured", {}).get("images", {})
    for name, by_sigma in card.get("scores", {}).items():
        values = ", ".join(f"{value:.2f} {_at(sigma)}" for sigma, value in by_sigma.items())
        yield "PSNR in dB", f"{name}{_images(counts, name)}: {values}"
    for name, value in card.get("clean", {}).items():
        said = f"{name}{_images(counts, name)}: denoised, PSNR {value:.2f} dB to the originals"
        yield "clean images", said
    for index, sentence in enumerate(card.get("limits", ())):
        yield "" if index else "limits", sentence
    yield "data", f"{card['data']}; {card.get('terms', 'terms not stated')}"
    yield "licence", card.get("licence", "not stated")
    yield "file", f"{_size(card)}, {card.get('dtype', 'float32')}; sha256 {card['sha256']}"
    yield from _float16_entry(card.get("float16"))
    recipe = card.get("recipe", {})
    if "command" in recipe:
        yield "trained with", recipe["command"]
        versions = ", ".join(f"{name} {value}" for name, value in recipe["versions"].items())
        yield "", f"best of the run: step {recipe['steps']}; {versions}"


def _float16_entry(float16: dict[str, Any] | None) -> Iterator[tuple[str, str]]:
    """Describes the loss of rounding to float16; the card's scores are those before it."""
    if float16 is None:
        return
    verdict = "the arrays are float16" if float16["kept"] else "so the arrays stayed float32"
    for name, by_sigma in float16["loss_db"].items():
        changes = ", ".join(f"{_signed(loss)} at {sigma}" for sigma, loss in by_sigma.items())
        where = f"{name}{_images(float16['images'], name)}"
        yield "float16", f"changes the PSNR by {changes} ({where}); {verdict}"


def _signed(loss: float | None) -> str:
    # A loss of 0.0001 changes the PSNR by -0.0001; adding zero keeps -0.0000 away.
    return "?" if loss is None else f"{-round(loss, 4) + 0.0:+.4f}"


def _images(counts: dict[str, int], name: str) -> str:
    return f", {counts[name]} images" if name in counts else ""


def _size(card: dict[str, Any]) -> str:
    return f"{card['bytes'] / 1e6:.1f} MB"


def _at(sigma: str) -> str:
    return "(real noise)" if sigma == "real" else f"at {sigma}"


def _levels(card: dict[str, Any]) -> str:
    if card["sigma_max"] is None:
        return "real"
    return "-".join(f"{level:g}" for level in sorted({card["sigma_min"], card["sigma_max"]}))
