"""docs/datasets.md: its tables are the facts, and its commands and words are the program's."""

import re
from pathlib import Path

import pytest

from datasets.__main__ import make_parser
from datasets.commands.listing import origin_table, protocol_table
from datasets.sets.catalog import FACTS
from datasets.sets.paired import WORDS

TEXT = (Path(__file__).resolve().parents[2] / "docs/datasets.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("table", [protocol_table, origin_table])
def test_the_tables_are_the_facts(table):
    message = "run python -m datasets protocol_table and put its tables into docs/datasets.md"
    assert table() in TEXT, message


def test_every_set_has_a_row():
    rows = re.findall(r"^\| `(\w+)` \|", TEXT, re.M)
    assert set(rows) == set(FACTS) and all(rows.count(name) == 2 for name in FACTS)


def test_the_commands_are_valid():
    commands = re.findall(r"^python -m datasets ([^#\n]+)", TEXT, re.M)
    assert len(commands) == 4
    for command in commands:
        make_parser().parse_args(command.split())


def test_the_words_for_pairs_are_those_that_are_understood():
    row = next(line for line in TEXT.splitlines() if line.startswith("| `noisy/a.png`"))
    for cell, role in zip(row.strip("| ").split(" | "), WORDS, strict=True):
        shown = {word.split("/")[0] for word in re.findall(r"`([^`]+)`", cell)}
        assert shown == set(WORDS[role]) - {"ground_truth"}


def test_every_protocol_is_stated_in_full():
    for facts in FACTS.values():
        for split in facts.splits:
            protocol = facts.protocol_of(split)
            assert protocol.noise in ("AWGN", "real")
            assert protocol.compares_with and protocol.split and protocol.colour_space
        own_noise = facts.protocol.noise == "AWGN"
        assert own_noise == (protocol.clipping == "noisy input not clipped, output clipped")
