"""Writes docs/dataset_sources.md and docs/protocols.md from the facts.

Run `python -m datasets.commands.protocol_table docs` after a change of facts.
"""

import sys
from pathlib import Path

from datasets.facts.all_facts import FACTS
from datasets.facts.dataset_facts import DatasetFacts, Protocol

_SOURCES = """\
# Where the data sets come from

The splits of each set with their number of images, the folder names that are recognized below
`--data_dir`, the terms, and how to get the files. The split in bold is the one that `evaluate.py`
uses by default. `evaluate.py` and `train.py` compare the number of images with the published one
and report a difference. How a set is scored: [protocols.md](protocols.md); commands and your own
images: [datasets.md](datasets.md). `python -m datasets.commands.protocol_table docs` writes this
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
`python -m datasets.commands.protocol_table docs` writes this page.
"""


def pages() -> dict[str, str]:
    """Returns the two pages in Markdown by file name: a block for each set."""
    return {
        "dataset_sources.md": "\n".join([_SOURCES, *map(source_block, FACTS.values())]) + "\n",
        "protocols.md": "\n".join([_PROTOCOLS, *map(protocol_block, FACTS.values())]) + "\n",
    }


def source_block(facts: DatasetFacts) -> str:
    """Returns where a set comes from, in Markdown."""
    lines = [f"**{facts.name}**\n", f"- Splits: {_splits(facts)}"]
    if facts.citation and facts.layout not in ("sample", "drawings"):
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


def _splits(facts: DatasetFacts) -> str:
    names = []
    for split in facts.splits:
        count = f" ({facts.counts[split]})" if split in facts.counts else ""
        names.append(f"**{split}**{count}" if split == facts.evaluation_split else split + count)
    return ", ".join(names)


if __name__ == "__main__":
    for file_name, text in pages().items():
        (Path(sys.argv[1]) / file_name).write_text(text, encoding="utf-8")
