"""The pages about data sets: two of them are generated, and all commands and words are valid."""

import re
from pathlib import Path

import pytest

from datasets.__main__ import make_parser
from datasets.commands.listing import pages
from datasets.sets.catalog import DATASETS
from datasets.sets.paired import WORDS

DOCS = Path(__file__).resolve().parents[2] / "docs"
TEXT = (DOCS / "datasets.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(pages()))
def test_the_pages_are_the_facts(name):
    written = (DOCS / name).read_text(encoding="utf-8")
    assert written == pages()[name], "run python -m datasets protocol_table docs"


@pytest.mark.parametrize("name", sorted(pages()))
def test_every_set_has_a_block(name):
    assert set(re.findall(r"^\*\*(\w+)\*\*$", pages()[name], re.M)) == set(DATASETS)


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
    for info in DATASETS.values():
        for split in info.splits:
            protocol = info.protocol_of(split)
            assert protocol.noise in ("AWGN", "real")
            assert protocol.compares_with and protocol.split and protocol.colour_space
        own_noise = info.protocol.noise == "AWGN"
        assert own_noise == (protocol.clipping == "noisy input not clipped, output clipped")
