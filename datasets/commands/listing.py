"""The sets as text: a table, everything known about one, and the two pages of docs about all."""

import contextlib
import dataclasses
import io

from datasets.sets.catalog import FACTS, find_dataset
from datasets.sets.image_set import DatasetFacts, Protocol
from gradnet_tf.utils.errors import UserError

_SOURCES = """\
# Where the data sets come from

The splits of each set with their number of images, the folder names that are recognized below
`--data_dir`, the terms, and how to get the files. The split in bold is the one that `evaluate.py`
uses by default. `evaluate.py` and `train.py` compare the number of images with the published one
and report a difference. How a set is scored: [protocols.md](protocols.md); commands and your own
images: [datasets.md](datasets.md). `python -m datasets protocol_table docs` writes this
page.
"""
_PROTOCOLS = """\
# How each data set is scored

A score can stand beside a published one only if it was taken in the same way. The same text is in
the console table, in report.html and, as `protocol`, in metrics.json; a run that departs from it
(fewer images, a clipped input) says so.

Unless a set says otherwise: whole images, in RGB, with Gaussian noise (AWGN) that is added and
not clipped; the score is the PSNR of the float output clipped to [0, 1], and `psnr_uint8` the one
after rounding to 8 bits. Where a set comes from: [dataset_sources.md](dataset_sources.md).
`python -m datasets protocol_table docs` writes this page.
"""


def list_sets(data_dir: str | None = None) -> str:
    """Makes the table of the sets; with `data_dir` it says how many images of each are there."""
    head = ["name", "noise", "train", "splits (images)"] + (["found"] if data_dir else [])
    rows = [head]
    for facts in FACTS.values():
        noise = facts.protocol.noise + (
            ", no clean" if set(facts.splits) <= set(facts.without_clean) else ""
        )
        row = [facts.name, noise, "yes" if facts.training_split else "no", _splits(facts)]
        rows.append(row + ([_found(facts, data_dir)] if data_dir else []))
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)) for row in rows]  # noqa: B905
    return "\n".join(line.rstrip() for line in lines)


def describe(facts: DatasetFacts) -> str:
    """Returns everything that is known about a set."""
    items = [
        ("name", f"{facts.name} ({facts.title})"),
        ("folders", ", ".join(dict.fromkeys((facts.name, *facts.aliases)))),
        ("splits", _splits(facts)),
        ("evaluated on", facts.evaluation_split),
        ("trained on", facts.training_split or "never: a test set"),
        ("origin", facts.origin),
        ("how to get", facts.how_to_get),
        ("terms", facts.terms or "yours"),
        ("cite", facts.citation or "–"),
    ]
    text = _lines(items) + "\n\nprotocol\n" + _lines(_protocol(facts.protocol))
    for split, protocol in facts.split_protocols.items():
        text += f"\n\nprotocol of the split {split}\n" + _lines(_protocol(protocol))
    return text


def _splits(facts: DatasetFacts, mark_default: bool = False) -> str:
    names = []
    for split in facts.splits:
        count = f" ({facts.counts[split]})" if split in facts.counts else ""
        marked = mark_default and split == facts.evaluation_split
        names.append(f"**{split}**{count}" if marked else split + count)
    return ", ".join(names)


def _protocol(protocol: Protocol) -> list[tuple[str, str]]:
    return [(key.replace("_", " "), text) for key, text in dataclasses.asdict(protocol).items()]


def _lines(items: list[tuple[str, str]]) -> str:
    width = max(len(name) for name, _ in items)
    return "\n".join(f"{name.ljust(width)}  {text}" for name, text in items)


def _found(facts: DatasetFacts, data_dir: str) -> str:
    if facts.is_own:
        return "–"
    with contextlib.redirect_stderr(io.StringIO()):
        try:
            images = find_dataset(facts.name, data_dir)
        except UserError:
            return "–"
    expected = facts.counts.get(images.split, len(images))
    return f"{len(images)}" + ("" if expected == len(images) else f" of {expected}")


def pages() -> dict[str, str]:
    """Returns the two pages in Markdown by file name: a block for each set."""
    return {
        "dataset_sources.md": "\n".join([_SOURCES, *map(source_block, FACTS.values())]) + "\n",
        "protocols.md": "\n".join([_PROTOCOLS, *map(protocol_block, FACTS.values())]) + "\n",
    }


def source_block(facts: DatasetFacts) -> str:
    """Returns where a set comes from, in Markdown."""
    lines = [f"**{facts.name}**\n", f"- Splits: {_splits(facts, mark_default=True)}"]
    if facts.citation and facts.name not in ("sample", "drawings"):
        names = dict.fromkeys((facts.title, *facts.aliases))
        lines.append(f"- Folder: {', '.join(f'`{name}`' for name in names)}")
    lines.append(f"- Terms: {facts.terms or 'yours'}")
    lines.append(f"- Get it: {facts.how_to_get}\n")
    return "\n".join(lines)


def protocol_block(facts: DatasetFacts) -> str:
    """Returns how the splits of a set are scored, in Markdown."""
    lines = [f"**{facts.name}**\n"]
    for split, protocol in {"": facts.protocol, **facts.split_protocols}.items():
        label = f"Split {split}: " if split else ""
        lines.append(f"- {label}{'; '.join(_differences(protocol))}.")
        lines.append(f"  Compares with: {protocol.compares_with}.")
    return "\n".join(lines) + "\n"


def _differences(protocol: Protocol) -> list[str]:
    """Returns which images are scored, and in what the protocol differs from the usual one."""
    usual = Protocol()
    parts = [protocol.split]
    if protocol.crop != usual.crop:
        parts.append(protocol.crop)
    if protocol.noise != usual.noise:
        parts.append(f"{protocol.noise} noise")
    if protocol.clipping != usual.clipping:
        parts.append(protocol.clipping)
    if protocol.rounding != usual.rounding:
        parts.append(f"rounding: {protocol.rounding}")
    if protocol.colour_space != usual.colour_space:
        parts.append(protocol.colour_space)
    return parts
