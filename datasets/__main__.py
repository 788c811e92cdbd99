"""The sets of images: what there is, what is in a folder, and what is made of it.

    python -m datasets list [--data_dir=DATA]
    python -m datasets info NAME
    python -m datasets check NAME --data_dir=DATA [--split=SPLIT]
    python -m datasets prepare NAME --data_dir=DATA --prepared_dir=PREPARED
    python -m datasets submit sidd|dnd --model=MODEL --data_dir=DATA --output=DIR
    python -m datasets noisy_photo --sigma=25 --output=noisy.png
    python -m datasets degradations "camera" "jpeg(20)" --output=sheet.png
    python -m datasets service --role=dispatcher --port=5050

`check` decodes every image. `check pairs --data_dir=MINE` looks at your own noisy and clean
images: files without a partner, sizes that differ, unreadable files, pairs that look misaligned.
`prepare` decodes training images once, into shards that train.py --prepared_dir maps into memory;
the same command again checks every shard's sha256 and writes what is missing or damaged.
`submit` continues a submission that was interrupted when the command is repeated.
Exit codes: 0 all good, 1 something was found, 2 wrong usage or nothing to look at.
"""

import argparse
import dataclasses
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from datasets.commands.service import ServiceOptions
from gradnet_tf.models.presets import PRECISIONS
from gradnet_tf.utils.command import guarded
from gradnet_tf.utils.errors import EXIT_OK, EXIT_SOME_FAILED
from gradnet_tf.utils.options import ArgumentParser, add_options, make_config, option

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


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


@dataclasses.dataclass(frozen=True)
class SubmitOptions:
    """What `submit` denoises and writes.

    Attributes:
        benchmark: sidd, which writes SubmitSrgb.mat and SubmitSrgb.csv, or dnd, which writes the
            folder bundled.
        model: a path or a name, as for evaluate.py.
        data_dir: folder that holds the set.
        output: folder to write.
        precision: what the model runs in.
        MethodName: sidd, OptionalData: method's name (default: the model's).
        Authors: sidd, OptionalData: authors.
        PaperTitle: sidd, OptionalData: paper's title.
        Venue: sidd, OptionalData: venue.
        MachineSpecs: sidd, OptionalData: machine.
    """

    benchmark: str = option(positional=True, choices=("dnd", "sidd"))
    model: str = option()
    data_dir: str = option()
    output: str = option()
    precision: str = option("float32", names=PRECISIONS)
    MethodName: str = ""
    Authors: str = ""
    PaperTitle: str = ""
    Venue: str = ""
    MachineSpecs: str = ""


@dataclasses.dataclass(frozen=True)
class PhotoOptions:
    """One image of a set and its noise.

    Attributes:
        output: image file to write.
        dataset: name of the set.
        data_dir: folder that holds the set, where it needs one.
        split: split of the set (default: its test images).
        index: which image, in name order from 0.
        seed: seed of the noise.
    """

    output: str = option()
    dataset: str = "sample"
    data_dir: str | None = None
    split: str | None = None
    index: int = 0
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class NoisyPhotoOptions(PhotoOptions):
    """What `noisy_photo` writes.

    Attributes:
        sigma: noise level, 0-255 scale.
    """

    sigma: float = 25.0


@dataclasses.dataclass(frozen=True)
class DegradationsOptions(PhotoOptions):
    """What `degradations` draws: one crop under each of them, with its PSNR.

    Attributes:
        specs: degradations (default: one of every kind).
        crop: side of the central crop, pixels.
        zoom: enlargement, a whole number.
    """

    specs: tuple[str, ...] = option((), positional=True, metavar="SPEC")
    crop: int = 128
    zoom: int = 2


@dataclasses.dataclass(frozen=True)
class ProtocolTableOptions:
    """Where `protocol_table` writes dataset_sources.md and protocols.md.

    Attributes:
        folder: folder of the pages.
    """

    folder: str = option("docs", positional=True, metavar="FOLDER")


@dataclasses.dataclass(frozen=True)
class FreePhotosPageOptions:
    """What `free_photos_page` prints as docs/free_photos.md.

    Attributes:
        data_dir: folder that holds the photographs, or its parent.
    """

    data_dir: str = option()


def _list(options: ListOptions) -> int:
    from datasets.commands.listing import list_sets

    print(list_sets(options.data_dir))
    return EXIT_OK


def _info(options: InfoOptions) -> int:
    from datasets.commands.listing import describe
    from datasets.sets.catalog import get_facts

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
    from datasets.commands.prepare import prepare_named

    prepare_named(
        options.name,
        options.data_dir,
        options.prepared_dir,
        options.split,
        options.channels,
        options.shards,
    )
    return EXIT_OK


def _submit(options: SubmitOptions) -> int:
    from datasets.commands.submission import OPTIONAL_FIELDS, make_submission

    make_submission(
        options.benchmark,
        options.model,
        options.data_dir,
        options.output,
        options.precision,
        {field: getattr(options, field) for field in OPTIONAL_FIELDS},
        ["python", "-m", "datasets", *sys.argv[1:]],
    )
    return EXIT_OK


def _noisy_photo(options: NoisyPhotoOptions) -> int:
    from datasets.commands.noisy_photo import write_noisy_photo

    name = write_noisy_photo(**vars(options))
    print(f"{options.output}: {name} with noise of sigma={options.sigma:g}")
    return EXIT_OK


def _degradations(options: DegradationsOptions) -> int:
    from datasets.commands.noisy_photo import show_degradations

    print(f"{options.output}: {show_degradations(**vars(options))} pictures")
    return EXIT_OK


def _service(options: ServiceOptions) -> int:
    from datasets.commands.service import serve

    serve(options)
    return EXIT_OK


def _protocol_table(options: ProtocolTableOptions) -> int:
    from datasets.commands.listing import pages
    from gradnet_tf.utils.files import atomic_write

    for name, text in pages().items():
        atomic_write(Path(options.folder) / name, text.encode())
    return EXIT_OK


def _free_photos_page(options: FreePhotosPageOptions) -> int:
    from datasets.commands.free_photos_page import print_page

    print_page(options.data_dir)
    return EXIT_OK


_COMMANDS = {
    "list": (_list, ListOptions, "a table of the sets"),
    "info": (_info, InfoOptions, "all that is known of a set, including its protocol"),
    "check": (_check, CheckOptions, "decodes every image and reports what is wrong"),
    "prepare": (_prepare, PrepareOptions, "decodes a training set once, into shards"),
    "submit": (_submit, SubmitOptions, "writes the files that SIDD's or DND's server takes"),
    "noisy_photo": (_noisy_photo, NoisyPhotoOptions, "writes one noisy photograph to a file"),
    "degradations": (_degradations, DegradationsOptions, "draws a crop under degradations"),
    "service": (_service, ServiceOptions, "makes examples for train.py --data_service"),
    "protocol_table": (_protocol_table, ProtocolTableOptions, "writes the docs' pages of all sets"),
    "free_photos_page": (_free_photos_page, FreePhotosPageOptions, "prints docs/free_photos.md"),
}


def make_parser() -> argparse.ArgumentParser:
    """Builds the command line."""
    parser = ArgumentParser(
        prog="python -m datasets",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (_, options, text) in _COMMANDS.items():
        add_options(commands.add_parser(name, help=text), options, dashes=False)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Parses the command line and runs the command; returns the exit code."""
    parsed = make_parser().parse_args(arguments)
    run, options, _ = _COMMANDS[parsed.command]
    return guarded(lambda: run(make_config(options, parsed)))


if __name__ == "__main__":
    sys.exit(main())
