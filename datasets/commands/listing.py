"""The sets as text: a table, everything known about one, and the tables of docs/datasets.md."""

import contextlib
import dataclasses
import io

from datasets.sets.catalog import FACTS, find_dataset
from datasets.sets.image_set import DatasetFacts, Protocol
from gradnet_tf.utils.errors import UserError


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
    """Tells everything that is known of a set."""
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


def protocol_table() -> str:
    """Makes the Markdown table of the protocols, a row for each set and own split."""
    rows = [
        ("set", "scored images", "crop", "clipping, rounding", "colour", "noise", "compares with"),
        ("---",) * 7,
    ]
    for facts in FACTS.values():
        protocols = {"": facts.protocol, **facts.split_protocols}
        for split, protocol in protocols.items():
            rows.append(
                (
                    f"`{facts.name}`" + (f" {split}" if split else ""),
                    protocol.split,
                    protocol.crop,
                    f"{protocol.clipping}; rounding: {protocol.rounding}",
                    protocol.colour_space,
                    protocol.noise,
                    protocol.compares_with,
                )
            )
    return _markdown(rows)


def origin_table() -> str:
    """Makes the Markdown table of splits, folders, terms and ways to get the sets."""
    rows = [("set", "splits (images)", "folder", "terms", "how to get it"), ("---",) * 5]
    for facts in FACTS.values():
        rows.append(
            (
                f"`{facts.name}`",
                _splits(facts, mark_default=True),
                ", ".join(f"`{name}`" for name in dict.fromkeys((facts.title, *facts.aliases)))
                if facts.citation and facts.name != "sample"
                else "–",
                facts.terms or "yours",
                facts.how_to_get,
            )
        )
    return _markdown(rows)


def _markdown(rows: list[tuple[str, ...]]) -> str:
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows)
