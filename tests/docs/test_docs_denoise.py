"""The page about `gradnet denoise` against its arguments."""

import argparse
import re
from pathlib import Path

from gradnet_tf.cli.denoise_command import add_denoise
from gradnet_tf.cli.folder_report import MOST_SHOWN

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "denoise.md").read_text("utf-8")


def test_every_flag_is_described_and_no_other():
    parser = add_denoise(argparse.ArgumentParser().add_subparsers())
    flags = {option for action in parser._actions for option in action.option_strings}
    described = set(re.findall(r"`(--[a-z-]+)", PAGE))
    assert described <= flags
    hyphened = {flag for flag in flags if "_" not in flag and flag.startswith("--")}
    assert hyphened - described <= {"--output", "--help"}


def test_the_number_of_pictures_that_a_report_shows():
    assert f"The first {MOST_SHOWN} written pictures" in PAGE
