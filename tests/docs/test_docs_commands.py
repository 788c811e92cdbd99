"""Every command on the pages is one that its script accepts, with all of its flags.

A command is parsed by the script itself, which is stopped before it does any work; nothing here
starts TensorFlow. Where a command is complete, the configuration is made of it as well.
"""

import argparse
import ast
import importlib
import re
import runpy
import shlex
import sys
import tomllib
from pathlib import Path

import pytest

from datasets.sets.catalog import DATASETS
from gradnet_tf.batch.batch_settings import make_parser as make_batch_parser
from gradnet_tf.cli import main as gradnet
from gradnet_tf.loading.load import model_info, resolve
from gradnet_tf.utils import command as command_module
from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.options import ArgumentParser

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
#: What stands before a command: variables, and programs that start others.
BEFORE = re.compile(r"^(?:\w+=\S* |srun |timeout(?: -s \w+)? \d+ )+")
#: Flags of other programs on our pages.
OTHERS_FLAGS = {
    *("--signal", "--gpus-per-task"),  # Slurm
    "--tflite",  # tf2onnx
}
BEAMS_FLAGS = {
    *("--runner", "--direct_num_workers", "--direct_running_mode"),
    *("--project", "--region", "--temp_location", "--sdk_container_image", "--machine_type"),
    *("--experiments", "--number_of_worker_harness_threads"),
    *("--flink_master", "--spark_master_url", "--environment_type", "--environment_config"),
}


def _is_command(line: str) -> bool:
    return bool(re.match(r"(?:python \S*\.py|python -m|gradnet|make|pip) \S", BEFORE.sub("", line)))


def _code(page: Path) -> list[tuple[str, bool]]:
    """Returns (code, whether it is a line of a block) of a page, continued lines joined."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    blocks = re.compile(r"^```(\w*)\n(.*?)^```|((?:^    .+\n)+)", re.M | re.S)
    lines = []
    for language, fenced, indented in blocks.findall(text):
        if language in ("", "sh"):
            lines += [(line.strip(), True) for line in (fenced or indented).splitlines()]
    inline = re.findall(r"`([^`\n]+(?:\n[^`\n]+)?)`", blocks.sub("", text))
    return lines + [(" ".join(code.split()), False) for code in inline]


def _commands():
    for page in PAGES:
        found = [(code, whole) for code, whole in _code(page) if _is_command(code)]
        for number, (code, whole) in enumerate(dict.fromkeys(found)):
            yield pytest.param(code, whole, id=f"{page.stem}-{number}")


def _words(code: str) -> list[str]:
    """Returns the arguments of a command, with values in place of placeholders."""
    code = re.sub(r"[\[\]]", "", BEFORE.sub("", code))
    words = []
    for word in shlex.split(code, comments=True):
        if word in ("|", "<", ">", "&&"):
            break
        words.append(re.sub(r"=(?:N|\$s)$", "=25", word))
    return ["25" if word == "N" else word for word in words if word not in ("…", "...")]


class Parsed(BaseException):
    """Ends a script once its command line has been parsed."""


class Refused(BaseException):
    """The script refuses its command line."""


@pytest.fixture
def parse(monkeypatch):
    """Returns a function that lets a script parse arguments: parse(words, is_complete).

    It returns the flags that the script knows, of all its subcommands, with underscores.
    """
    known = set()

    def refuse(self, message):
        raise Refused(message)

    def parse_args(original):
        def stop(self, args=None, namespace=None):
            known.update(_flags_of(self))
            original(self, args, namespace)
            raise Parsed

        return stop

    for kind in (argparse.ArgumentParser, ArgumentParser):
        monkeypatch.setattr(kind, "parse_args", parse_args(kind.parse_args))
        monkeypatch.setattr(kind, "error", refuse)

    def run(words, is_complete):
        def run_script(main, doc, command_line, argv=None):
            known.update("--" + name for name in command_line.options)
            try:
                given = command_line.parse(sys.argv)
                for config in command_line.configs if is_complete else ():
                    make = main.__globals__.get("make_config")
                    make(given) if config.__name__ == "TrainConfig" else given.make(config)
            except UserError as error:
                raise Refused(str(error)) from error
            raise Parsed

        monkeypatch.setattr(command_module, "run_script", run_script)
        if words[0] == "gradnet":
            start, arguments = gradnet.main, words[1:]
        elif words[2:] and words[2] == "gradnet_tf.batch":
            if is_complete:
                _, others = make_batch_parser().parse_known_args(words[3:])
                assert {word.split("=")[0] for word in others} <= BEAMS_FLAGS
            return _flags_of(make_batch_parser())
        else:
            script, arguments = _script(words)
            start = lambda: runpy.run_path(str(script), run_name="__main__")  # noqa: E731
        monkeypatch.setattr(sys, "argv", [words[0], *arguments])
        try:
            start()
        except Parsed:
            return known
        except Refused as error:
            missing = re.search(r"is missing|arguments are required", str(error))
            assert missing and not is_complete, str(error)
            return known
        raise AssertionError("no command line was parsed")

    return run


@pytest.fixture
def all_flags(parse) -> set[str]:
    """The flags of every script that the pages name."""
    commands = [_words(code) for page in PAGES for code, _ in _code(page) if _is_command(code)]
    ours = [words for words in commands if _is_ours(words)]
    scripts = {tuple(words[: 3 if words[1] == "-m" else 2]) for words in ours}
    return set().union(*(parse(list(script), False) for script in scripts))


def _flags_of(parser: argparse.ArgumentParser) -> set[str]:
    flags = {"--" + flag[2:].replace("-", "_") for flag in parser._option_string_actions}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            flags |= set().union(*map(_flags_of, action.choices.values()))
    return flags


def _script(words: list[str]) -> tuple[Path, list[str]]:
    """Returns the file that `python …` starts, and its arguments."""
    if words[1] != "-m":
        return ROOT / words[1], words[2:]
    path = ROOT / words[2].replace(".", "/")
    return path / "__main__.py" if path.is_dir() else path.with_suffix(".py"), words[3:]


def _is_ours(words: list[str]) -> bool:
    if words[0] == "gradnet":
        return True
    # client.py is the program that docs/mobile.md prints.
    return words[0] == "python" and not {"client.py", "build", "tf2onnx.convert"} & set(words[1:3])


@pytest.mark.parametrize(("code", "whole"), list(_commands()))
def test_the_command_is_accepted(code, whole, parse):
    words = _words(code)
    if words[0] == "make":
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        for word in words[1:]:
            name, is_variable, _ = word.partition("=")
            pattern = rf"^{name} \?=" if is_variable else rf"^{name}:"
            assert re.search(pattern, makefile, re.M), f"the Makefile has no {name}"
    elif words[0] == "pip":
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        for extras in re.findall(r"\.\[([\w,]+)\]", code):
            assert set(extras.split(",")) <= set(project["optional-dependencies"])
    elif _is_ours(words):
        parse(words, whole and "…" not in code)
        _check_names(words)


def _check_names(words: list[str]) -> None:
    """Checks that what is written out as a model or a data set exists."""
    for word in words:
        flag, _, value = word.partition("=")
        if flag in ("--model", "--init_from", "--naive"):
            for name in re.findall(r"^gradnet\w*|(?<=,)gradnet\w*", value):
                model_info(resolve(name))  # raises for an unknown name
        if flag == "--dataset":
            names = set(re.findall(r"[a-z]\w+", value))
            assert names <= {*DATASETS, "folder", "pairs"}, value


def test_every_flag_that_is_named_alone_exists(all_flags):
    for page in PAGES:
        named = [code for code, whole in _code(page) if not whole and code.startswith("--")]
        flags = {flag for code in named for flag in re.findall(r"(?<!\S)--[\w-]+", code)}
        known = {"--" + flag[2:].replace("-", "_") for flag in flags - OTHERS_FLAGS}
        assert known <= all_flags, page.name


def test_the_programs_parse_and_what_they_import_exists():
    for page in PAGES:
        for program in re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), re.M | re.S):
            for node in ast.walk(ast.parse(program)):
                if isinstance(node, ast.ImportFrom) and node.module.startswith(("gradnet", "data")):
                    module = importlib.import_module(node.module)
                    assert all(hasattr(module, alias.name) for alias in node.names), page.name
