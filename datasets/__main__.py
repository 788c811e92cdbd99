"""Lists, describes, checks and prepares the sets of images.

    python -m datasets list [--data_dir=DATA]
    python -m datasets info NAME
    python -m datasets check NAME --data_dir=DATA [--split=SPLIT]
    python -m datasets prepare NAME --data_dir=DATA --prepared_dir=PREPARED

`check` decodes every image. `check pairs --data_dir=MINE` looks at your own noisy and clean
images: files without a partner, sizes that differ, unreadable files, pairs that look misaligned.
Exit codes: 0 all good, 1 something was found, 2 wrong usage or nothing to look at.
"""

import argparse
import sys
from collections.abc import Sequence

from gradnet_tf.command import ArgumentParser, guarded
from gradnet_tf.errors import EXIT_OK, EXIT_SOME_FAILED


def make_parser() -> argparse.ArgumentParser:
    """Builds the command line."""
    parser = ArgumentParser(
        prog="python -m datasets",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    every = commands.add_parser("list", help="a table of the sets")
    every.add_argument("--data_dir", help="also counts the images that are there")
    every.set_defaults(run=_list)
    info = commands.add_parser("info", help="everything known of a set, its protocol too")
    info.add_argument("name", help="name of the set")
    info.set_defaults(run=_info)
    check = commands.add_parser("check", help="decodes every image and says what is wrong")
    check.add_argument("name", help="name of the set; `pairs` and `folder` for your own")
    check.add_argument("--data_dir", help="folder that holds the set, or the set's parent")
    check.add_argument("--split", help="one split (default: all that are there)")
    check.set_defaults(run=_check)
    prepare = commands.add_parser("prepare", help="decodes a training set once, into shards")
    prepare.add_argument("name", help="name of the set; a,b for several")
    prepare.add_argument("--data_dir", help="folder that holds the set, or the set's parent")
    prepare.add_argument("--prepared_dir", help="folder to make the set's folder of shards in")
    prepare.add_argument("--channels", type=int, choices=(1, 3), default=3, help="1 for grey")
    prepare.add_argument("--shards", type=int, help="number of files")
    prepare.set_defaults(run=_prepare)
    return parser


def _list(options: argparse.Namespace) -> int:
    from datasets.listing import list_sets

    print(list_sets(options.data_dir))
    return EXIT_OK


def _info(options: argparse.Namespace) -> int:
    from datasets.facts import get_facts
    from datasets.listing import describe

    print(describe(get_facts(options.name)))
    return EXIT_OK


def _check(options: argparse.Namespace) -> int:
    from datasets.check import check_set
    from gradnet_tf.console import ProgressLine

    checked = check_set(options.name, options.data_dir, options.split, ProgressLine())
    for finding in checked.findings:
        print(f"{finding.kind if finding.spoils else f'note, {finding.kind}'}: {finding.text}")
    looked = ", ".join(f"{split} ({count})" for split, count in checked.images.items())
    wrong = sum(finding.spoils for finding in checked.findings)
    print(f"{options.name}: {looked} checked, {wrong or 'no'} problem{'' if wrong == 1 else 's'}")
    return EXIT_OK if checked.is_good else EXIT_SOME_FAILED


def _prepare(options: argparse.Namespace) -> int:
    from datasets.preparing import prepare_named

    prepare_named(
        options.name,
        options.data_dir,
        options.prepared_dir,
        channels=options.channels,
        shards=options.shards,
    )
    return EXIT_OK


def main(arguments: Sequence[str] | None = None) -> int:
    """Parses the command line and runs the command; returns the exit code."""
    options = make_parser().parse_args(arguments)
    return guarded(lambda: options.run(options))


if __name__ == "__main__":
    sys.exit(main())
