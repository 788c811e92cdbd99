"""How the files of a batch are denoised, and the command line that says so."""

import argparse
import dataclasses

from gradnet_tf.cli.denoise_command import ResultOptions
from gradnet_tf.utils.options import ArgumentParser, add_options, make_config, option


@dataclasses.dataclass(frozen=True)
class BatchOptions:
    """What the command takes besides `ResultOptions` and the options of Beam.

    Attributes:
        input: pattern in quotes, file or folder, local, gs:// or s3://; may be given repeatedly.
        output: folder for the results.
        log: folder for failures.jsonl and summary.json (default: _batch in the output folder).
    """

    input: tuple[str, ...] = option(repeated=True, metavar="GLOB")
    output: str = option(metavar="DIR")
    log: str | None = option(None, metavar="DIR")


@dataclasses.dataclass(frozen=True)
class Settings(ResultOptions):
    """How every process of an engine denoises its files; they pickle.

    A path in `model` is one of the machine that denoises.
    """


def make_parser() -> argparse.ArgumentParser:
    """Returns the parser of the command's own flags; all others are the engine's."""
    parser = ArgumentParser(
        prog="python -m gradnet_tf.batch",
        allow_abbrev=False,  # An abbreviation might be an option of the engine.
        description="Denoises any number of photographs on an engine, with Apache Beam. All "
        "further options go to Beam: --runner=DirectRunner (the default), DataflowRunner, "
        "FlinkRunner, SparkRunner, and what these take. See docs/batch.md.",
    )
    for options in (BatchOptions, ResultOptions):
        add_options(parser, options, dashes=False)
    return parser


def settings_of(arguments: argparse.Namespace) -> Settings:
    """Returns what parsed arguments say about how files are denoised."""
    return make_config(Settings, arguments)
