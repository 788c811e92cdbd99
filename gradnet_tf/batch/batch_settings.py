"""The settings of batch inference, and the parser of its command line."""

import argparse
import dataclasses

from gradnet_tf.cli.denoise_command import ResultOptions
from gradnet_tf.utils.options import ArgumentParser, add_options, make_config, option


@dataclasses.dataclass(frozen=True)
class BatchOptions:
    """Options of the command in addition to `ResultOptions` and the options of Beam.

    Attributes:
        input: quoted pattern, file or folder, local, gs:// or s3://; may be given repeatedly.
        output: folder for the results.
        log: folder for failures.jsonl and summary.json (default: _batch in the output folder).
    """

    input: tuple[str, ...] = option(repeated=True, metavar="GLOB")
    output: str = option(metavar="DIR")
    log: str | None = option(None, metavar="DIR")


@dataclasses.dataclass(frozen=True)
class Settings(ResultOptions):
    """How each worker process denoises its files; can be pickled.

    A path in `model` refers to the worker's file system.
    """


def make_parser() -> argparse.ArgumentParser:
    """Returns the parser of the command's own flags; all other flags go to Beam."""
    parser = ArgumentParser(
        prog="python -m gradnet_tf.batch",
        allow_abbrev=False,  # An abbreviation might be an option of Beam.
        description="Denoises any number of photographs with Apache Beam. All other options go "
        "to Beam: --runner=DirectRunner (the default), DataflowRunner, FlinkRunner, SparkRunner, "
        "and the options of these runners. See docs/batch.md.",
    )
    for options in (BatchOptions, ResultOptions):
        add_options(parser, options, dashes=False)
    return parser


def settings_of(arguments: argparse.Namespace) -> Settings:
    """Returns the settings from parsed arguments."""
    return make_config(Settings, arguments)
