"""The sets as text: a table, the description of one, and the two generated pages of the docs."""

import contextlib
import io

from datasets.sets.catalog import DATASETS, find_dataset
from datasets.sets.image_set import DatasetInfo, Protocol
from gradnet_tf.evaluation.protocol import protocol_items
from gradnet_tf.utils.errors import UserError

_SOURCES = """\
# Where the data sets come from

The splits of each set with their number of images, the folder names that are recognized below
`--data_dir`, the terms, and how to get the files. The split in bold is the default of
`evaluate.py`. `evaluate.py` and `train.py` compare the number of images with the published one and
report a difference. How a set is scored: [protocols.md](protocols.md); commands and your own
images: [datasets.md](datasets.md). `python -m datasets protocol_table docs` writes this page.
"""
_PROTOCOLS = """\
# How each data set is scored

A score is comparable with a published one only if both follow the same protocol. The same text is
in the console table, in report.html and, as `protocol`, in metrics.json; a run that deviates from
it (fewer images, a clipped input) says so.

The default protocol: whole images, in RGB, with Gaussian noise (AWGN) that is added and not
clipped; the score is the PSNR of the float output clipped to [0, 1], and `psnr_uint8` the one
after rounding to 8 bits. An image that equals the clean one scores 100 dB, so that means stay
finite; their number is named, and is `exact_outputs` in metrics.json.
Where a set comes from: [dataset_sources.md](dataset_sources.md).
`python -m datasets protocol_table docs` writes this page.
"""


_DEFAULT = vars(Protocol())


def list_sets(data_dir: str | None = None) -> str:
    """Returns the table of the sets; with `data_dir`, it includes the images found there."""
    head = ["name", "noise", "train", "splits (images)"] + (["found"] if data_dir else [])
    rows = [head]
    for info in DATASETS.values():
        noise = info.protocol.noise + (
            ", no clean" if set(info.splits) <= set(info.without_clean) else ""
        )
        row = [info.name, noise, "yes" if info.training_split else "no", _splits(info)]
        rows.append(row + ([_found(info, data_dir)] if data_dir else []))
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)) for row in rows]  # noqa: B905
    return "\n".join(line.rstrip() for line in lines)


def describe(info: DatasetInfo) -> str:
    """Returns the description of a set."""
    items = [
        ("name", f"{info.name} ({info.title})"),
        ("folders", ", ".join(dict.fromkeys((info.name, *info.aliases)))),
        ("splits", _splits(info)),
        ("evaluated on", info.evaluation_split),
        ("trained on", info.training_split or "never: a test set"),
        ("origin", info.origin),
        ("how to get", info.how_to_get),
        ("terms", info.terms or "yours"),
        ("cite", info.citation or "–"),
    ]
    text = _lines(items) + "\n\nprotocol\n" + _lines(_protocol(info.protocol))
    for split, protocol in info.split_protocols.items():
        text += f"\n\nprotocol of the split {split}\n" + _lines(_protocol(protocol))
    return text


def _splits(info: DatasetInfo, mark_default: bool = False) -> str:
    names = []
    for split in info.splits:
        count = f" ({info.counts[split]})" if split in info.counts else ""
        marked = mark_default and split == info.evaluation_split
        names.append(f"**{split}**{count}" if marked else split + count)
    return ", ".join(names)


def _protocol(protocol: Protocol) -> list[tuple[str, str]]:
    return protocol_items({"protocol": vars(protocol)})


def _lines(items: list[tuple[str, str]]) -> str:
    width = max(len(name) for name, _ in items)
    return "\n".join(f"{name.ljust(width)}  {text}" for name, text in items)


def _found(info: DatasetInfo, data_dir: str) -> str:
    if info.is_own:
        return "–"
    with contextlib.redirect_stderr(io.StringIO()):
        try:
            images = find_dataset(info.name, data_dir)
        except UserError:
            return "–"
    expected = info.counts.get(images.split, len(images))
    return f"{len(images)}" + ("" if expected == len(images) else f" of {expected}")


def pages() -> dict[str, str]:
    """Returns the two pages in Markdown by file name, with a block for each set."""
    return {
        "dataset_sources.md": "\n".join([_SOURCES, *map(source_block, DATASETS.values())]) + "\n",
        "protocols.md": "\n".join([_PROTOCOLS, *map(protocol_block, DATASETS.values())]) + "\n",
    }


def source_block(info: DatasetInfo) -> str:
    """Returns where a set comes from, in Markdown."""
    lines = [f"**{info.name}**\n", f"- Splits: {_splits(info, mark_default=True)}"]
    if info.citation and info.name not in ("sample", "drawings"):
        names = dict.fromkeys((info.title, *info.aliases))
        lines.append(f"- Folder: {', '.join(f'`{name}`' for name in names)}")
    lines.append(f"- Terms: {info.terms or 'yours'}")
    lines.append(f"- Get it: {info.how_to_get}\n")
    return "\n".join(lines)


def protocol_block(info: DatasetInfo) -> str:
    """Returns how the splits of a set are scored, in Markdown."""
    lines = [f"**{info.name}**\n"]
    for split, protocol in {"": info.protocol, **info.split_protocols}.items():
        label = f"Split {split}: " if split else ""
        lines.append(f"- {label}{'; '.join(_differences(protocol))}.")
        lines.append(f"  Compares with: {protocol.compares_with}.")
    return "\n".join(lines) + "\n"


def _differences(protocol: Protocol) -> list[str]:
    """Returns which images are scored, and how the protocol differs from the default."""
    texts = {
        "crop": protocol.crop,
        "noise": f"{protocol.noise} noise",
        "clipping": protocol.clipping,
        "rounding": f"rounding: {protocol.rounding}",
        "colour_space": protocol.colour_space,
    }
    changed = (text for name, text in texts.items() if getattr(protocol, name) != _DEFAULT[name])
    return [protocol.split, *changed]
