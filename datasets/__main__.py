"""Lists, describes, checks and prepares the sets of images.

    python -m datasets list [--data_dir=DATA]
    python -m datasets info NAME
    python -m datasets check NAME --data_dir=DATA [--split=SPLIT]
    python -m datasets prepare NAME --data_dir=DATA --prepared_dir=PREPARED

`check` decodes every image. `check pairs --data_dir=MINE` looks at your own noisy and clean
images: files without a partner, sizes that differ, unreadable files, pairs that look misaligned.
`prepare` decodes training images once, into shards that train.py --prepared_dir maps into memory;
the same command again checks every shard's sha256 and writes what is missing or damaged.
Exit codes: 0 all good, 1 something was found, 2 wrong usage or nothing to look at.
"""

import argparse
import dataclasses
import sys
from collections.abc import Sequence

from gradnet_tf.utils.command import guarded
from gradnet_tf.utils.errors import EXIT_OK, EXIT_SOME_FAILED
from gradnet_tf.utils.options import ArgumentParser, add_options, make_config, option


@dataclasses.dataclass(frozen=True)
class ListOptions:
    """What `list` shows.

    Attributes:
        data_dir: folder that holds the sets; the images found there are counted.
    """

    data_dir: str | None = None


@dataclasses.dataclass(frozen=True)
class InfoOptions:
    """What `info` describes.

    Attributes:
        name: name of the set.
    """

    name: str = option(positional=True, metavar="NAME")


@dataclasses.dataclass(frozen=True)
class CheckOptions:
    """What `check` decodes.

    Attributes:
        name: name of the set; `pairs` and `folder` for your own images.
        data_dir: folder that holds the set, or the set's parent.
        split: one split of the set (default: all that are there).
    """

    name: str = option(positional=True, metavar="NAME")
    data_dir: str | None = None
    split: str | None = None


@dataclasses.dataclass(frozen=True)
class PrepareOptions:
    """What `prepare` writes.

    Attributes:
        name: name of the training set; several as a,b, as train.py takes them.
        data_dir: folder that holds the set, or the set's parent.
        prepared_dir: folder to make the set's folder of shards in.
        split: the set's training split; no other is prepared.
        channels: 3 for RGB, 1 for gray.
        shards: number of files (default: by the number of images).
    """

    name: str = option(positional=True, metavar="NAME")
    data_dir: str | None = None
    prepared_dir: str | None = None
    split: str | None = None
    channels: int = option(3, choices=(1, 3))
    shards: int | None = None


_COMMANDS = {
    "list": (ListOptions, "a table of the sets"),
    "info": (InfoOptions, "all that is known of a set, including its protocol"),
    "check": (CheckOptions, "decodes every image and reports what is wrong"),
    "prepare": (PrepareOptions, "decodes a training set once, into shards"),
}


def make_parser() -> argparse.ArgumentParser:
    """Builds the command line."""
    parser = ArgumentParser(
        prog="python -m datasets",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (options, text) in _COMMANDS.items():
        add_options(commands.add_parser(name, help=text), options, dashes=False)
    return parser


def _list(options: ListOptions) -> int:
    from datasets.commands.listing import list_sets

    print(list_sets(options.data_dir))
    return EXIT_OK


def _info(options: InfoOptions) -> int:
    from datasets.commands.listing import describe
    from datasets.facts.all_facts import get_facts

    print(describe(get_facts(options.name)))
    return EXIT_OK


def _check(options: CheckOptions) -> int:
    from datasets.commands.check import check_set
    from gradnet_tf.utils.console import ProgressLine

    checked = check_set(options.name, options.data_dir, options.split, ProgressLine())
    for finding in checked.findings:
        print(f"{finding.kind if finding.spoils else f'note, {finding.kind}'}: {finding.text}")
    looked = ", ".join(f"{split} ({count})" for split, count in checked.images.items())
    wrong = sum(finding.spoils for finding in checked.findings)
    print(f"{options.name}: {looked} checked, {wrong or 'no'} problem{'' if wrong == 1 else 's'}")
    return EXIT_OK if checked.is_good else EXIT_SOME_FAILED


def _prepare(options: PrepareOptions) -> int:
    from datasets.shards.preparing import prepare_named

    prepare_named(
        options.name,
        options.data_dir,
        options.prepared_dir,
        options.split,
        options.channels,
        options.shards,
    )
    return EXIT_OK


def main(arguments: Sequence[str] | None = None) -> int:
    """Parses the command line and runs the command; returns the exit code."""
    parsed = make_parser().parse_args(arguments)
    run = {"list": _list, "info": _info, "check": _check, "prepare": _prepare}[parsed.command]
    return guarded(lambda: run(make_config(_COMMANDS[parsed.command][0], parsed)))


if __name__ == "__main__":
    sys.exit(main())
