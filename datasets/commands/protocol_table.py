"""The tables of docs/datasets.md, made of the facts: python -m datasets.commands.protocol_table."""

from datasets.facts.all_facts import FACTS
from datasets.facts.dataset_facts import DatasetFacts


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
                _splits(facts),
                ", ".join(f"`{name}`" for name in dict.fromkeys((facts.title, *facts.aliases)))
                if facts.citation and facts.layout not in ("sample", "drawings")
                else "–",
                facts.terms or "yours",
                facts.how_to_get,
            )
        )
    return _markdown(rows)


def _splits(facts: DatasetFacts) -> str:
    names = []
    for split in facts.splits:
        count = f" ({facts.counts[split]})" if split in facts.counts else ""
        names.append(f"**{split}**{count}" if split == facts.evaluation_split else split + count)
    return ", ".join(names)


def _markdown(rows: list[tuple[str, ...]]) -> str:
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows)


if __name__ == "__main__":
    print(f"{protocol_table()}\n\n{origin_table()}")
