"""Lists, describes, checks and prepares image sets.

    python -m datasets list [--data_dir=DATA]
    python -m datasets info NAME
    python -m datasets check NAME --data_dir=DATA [--split=SPLIT]
    python -m datasets prepare NAME --data_dir=DATA --prepared_dir=PREPARED
    python -m datasets submit sidd|dnd --model=MODEL --data_dir=DATA --output=DIR
    python -m datasets noisy_photo --sigma=25 --output=noisy.png
    python -m datasets degradations "camera" "jpeg(20)" --output=sheet.png
    python -m datasets service --role=dispatcher --port=5050 --all_interfaces

`check` decodes every image. `check pairs --data_dir=MINE` checks your own noisy and clean images
for missing partners, different sizes, unreadable files, and pairs that look misaligned.
`prepare` decodes training images once, into shards that train.py --prepared_dir maps into memory;
run again, it verifies the sha256 of every shard and writes missing and damaged ones.
`submit` resumes an interrupted submission when the command is run again.
Exit codes: 0 no problems, 1 problems found, 2 wrong usage or no images found.
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
from gradnet_tf.utils.errors import EXIT_OK, EXIT_SOME_FAILED, UserError
from gradnet_tf.utils.options import ArgumentParser, add_options, make_config, option

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


@dataclasses.dataclass(frozen=True)
class ListOptions:
    """Options of `list`.

    Attributes:
        data_dir: folder that contains the sets; their images are counted.
    """

    data_dir: str | None = None


@dataclasses.dataclass(frozen=True)
class InfoOptions:
    """Options of `info`.

    Attributes:
        name: name of the set.
    """

    name: str = option(positional=True, metavar="NAME")


@dataclasses.dataclass(frozen=True)
class CheckOptions:
    """Options of `check`.

    Attributes:
        name: name of the set; `pairs` and `folder` for your own images.
        data_dir: folder of the set, or its parent.
        split: one split of the set (default: all that exist).
    """

    name: str = option(positional=True, metavar="NAME")
    data_dir: str | None = None
    split: str | None = None


@dataclasses.dataclass(frozen=True)
class PrepareOptions:
    """Options of `prepare`.

    Attributes:
        name: name of the training set; several as a,b, as for train.py.
        data_dir: folder of the set, or its parent.
        prepared_dir: parent folder for the shards of the set.
        split: the training split of the set; no other can be prepared.
        channels: 3 for RGB, 1 for gray.
        shards: number of files (default: depends on the number of images).
    """

    name: str = option(positional=True, metavar="NAME")
    data_dir: str | None = None
    prepared_dir: str | None = None
    split: str | None = None
    channels: int = option(3, choices=(1, 3))
    shards: int | None = None


@dataclasses.dataclass(frozen=True)
class SubmitOptions:
    """Options of `submit`.

    Attributes:
        benchmark: sidd, which writes SubmitSrgb.mat and SubmitSrgb.csv, or dnd, which writes the
            folder bundled.
        model: a path or a name, as for evaluate.py.
        data_dir: folder of the set.
        output: folder to write.
        precision: precision of the model.
        MethodName: sidd, OptionalData: name of the method (default: of the model).
        Authors: sidd, OptionalData: authors.
        PaperTitle: sidd, OptionalData: title of the paper.
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
    """Selects one image of a set and its noise.

    Attributes:
        output: image file to write.
        dataset: name of the set.
        data_dir: folder of the set, if it needs one.
        split: split of the set (default: its test images).
        index: index of the image in name order, from 0.
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
    """Options of `noisy_photo`.

    Attributes:
        sigma: noise level, 0-255 scale.
    """

    sigma: float = 25.0


@dataclasses.dataclass(frozen=True)
class DegradationsOptions(PhotoOptions):
    """Options of `degradations`, which shows a crop with each degradation and its PSNR.

    Attributes:
        specs: degradations (default: one of every kind).
        crop: side of the central crop in pixels.
        zoom: enlargement, an integer.
    """

    specs: tuple[str, ...] = option((), positional=True, metavar="SPEC")
    crop: int = 128
    zoom: int = 2


@dataclasses.dataclass(frozen=True)
class ProtocolTableOptions:
    """Options of `protocol_table`, which writes dataset_sources.md and protocols.md.

    Attributes:
        folder: folder of the pages.
    """

    folder: str = option("docs", positional=True, metavar="FOLDER")


@dataclasses.dataclass(frozen=True)
class FreePhotosPageOptions:
    """Options of `free_photos_page`, which prints docs/free_photos.md.

    Attributes:
        data_dir: folder of the photographs, or its parent.
    """

    data_dir: str = option()


def _list(options: ListOptions) -> int:
    from datasets.commands.listing import list_sets

    print(list_sets(options.data_dir))
    return EXIT_OK


def _info(options: InfoOptions) -> int:
    from datasets.commands.listing import describe
    from datasets.sets.catalog import get_info

    print(describe(get_info(options.name)))
    return EXIT_OK


def _check(options: CheckOptions) -> int:
    from datasets.commands.check import check_set
    from gradnet_tf.utils.console import ProgressLine

    checked = check_set(options.name, options.data_dir, options.split, ProgressLine())
    for finding in checked.findings:
        print(f"{'' if finding.is_problem else 'note, '}{finding.kind}: {finding.text}")
    splits = ", ".join(f"{split} ({count})" for split, count in checked.images.items())
    wrong = sum(finding.is_problem for finding in checked.findings)
    print(f"{options.name}: {splits} checked, {wrong or 'no'} problem{'' if wrong == 1 else 's'}")
    return EXIT_SOME_FAILED if wrong else EXIT_OK


def _prepare(options: PrepareOptions) -> int:
    from datasets.pipeline.mixture import find_training_mixture, parts_of

    if not options.prepared_dir:
        raise UserError("--prepared_dir is missing; expected a folder for the shards.")
    images, _ = find_training_mixture(options.name, options.data_dir, options.channels)
    for part in parts_of(images):
        if options.split not in (None, part.split):
            raise UserError(
                f"only training images are prepared: `split` must be {part.split}. "
                f"Received: split={options.split}"
            )
    from datasets.shards.shard_writer import prepare

    for part in parts_of(images):
        prepared = prepare(part, options.prepared_dir, options.shards)
        size = sum(shard["bytes"] for shard in prepared.index["shards"])
        print(f"{len(prepared)} images, {size / 1e6:.1f} MB: {prepared.folder}")
    return EXIT_OK


def _submit(options: SubmitOptions) -> int:
    from datasets.commands.submission import make_submission

    make_submission(options, ["python", "-m", "datasets", *sys.argv[1:]])
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
    from datasets.commands.free_photos_page import make_page
    from datasets.sets import free_photos
    from datasets.sets.catalog import get_info

    root = free_photos.find_root(get_info("free_photos"), options.data_dir)
    print(make_page(free_photos.read_manifest(root / free_photos.MANIFEST)), end="")
    return EXIT_OK


_COMMANDS = {
    "list": (_list, ListOptions, "a table of the sets"),
    "info": (_info, InfoOptions, "describes a set, including its protocol"),
    "check": (_check, CheckOptions, "decodes every image and reports problems"),
    "prepare": (_prepare, PrepareOptions, "decodes a training set once, into shards"),
    "submit": (_submit, SubmitOptions, "writes a submission to SIDD or DND"),
    "noisy_photo": (_noisy_photo, NoisyPhotoOptions, "writes one noisy photograph to a file"),
    "degradations": (_degradations, DegradationsOptions, "shows a crop with several degradations"),
    "service": (_service, ServiceOptions, "makes examples for train.py --data_service"),
    "protocol_table": (_protocol_table, ProtocolTableOptions, "writes the docs' pages about sets"),
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

    def parse_and_run() -> int:
        parsed = make_parser().parse_args(arguments)
        run, options, _ = _COMMANDS[parsed.command]
        return run(make_config(options, parsed))

    return guarded(parse_and_run, arguments)


if __name__ == "__main__":
    sys.exit(main())
