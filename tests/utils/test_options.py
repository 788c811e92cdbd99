"""Options made from dataclasses: every field has one, with its default and its docstring's text."""

import ast
import dataclasses
import importlib
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from script_case import loaded_script

from datasets.__main__ import (
    CheckOptions,
    DegradationsOptions,
    InfoOptions,
    ListOptions,
    NoisyPhotoOptions,
    PrepareOptions,
    SubmitOptions,
)
from datasets.commands.service import ServiceOptions
from gradnet_tf.batch.batch_settings import BatchOptions, Settings
from gradnet_tf.cli import main as cli
from gradnet_tf.cli.denoise_command import DenoiseOptions, ResultOptions
from gradnet_tf.training.config import TrainConfig
from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.options import (
    ArgumentParser,
    CommandLine,
    add_options,
    make_config,
    option,
    options_of,
)

ROOT = Path(__file__).resolve().parents[2]
PARSED_BY_ARGPARSE = (
    (ListOptions, InfoOptions, CheckOptions, PrepareOptions)
    + (SubmitOptions, NoisyPhotoOptions, DegradationsOptions, ServiceOptions)
    + (BatchOptions, ResultOptions)
    + (DenoiseOptions, Settings)
)


def scripts() -> list[str]:
    """Returns the files whose flags are a `CommandLine`, without their suffix."""
    files = [ROOT / "train.py", ROOT / "evaluate.py"]
    for folder in ("benchmarks", "datasets", "experiments", "export"):
        files += sorted((ROOT / folder).rglob("*.py"))
    lines = [file for file in files if "COMMAND_LINE = " in file.read_text("utf-8")]
    return [file.relative_to(ROOT).with_suffix("").as_posix() for file in lines]


def command_line(script: str) -> CommandLine:
    folder, _, _ = script.partition("/")
    if folder == script:
        return loaded_script(script).COMMAND_LINE
    return importlib.import_module(script.replace("/", ".")).COMMAND_LINE


def check_fields(config: type) -> None:
    """Every field has an option whose text is in the docstring, or a reason to have none."""
    found = {each.name: each for each in options_of(config)}
    documented = " ".join(" ".join(base.__doc__ or "" for base in config.__mro__).split())
    for field in dataclasses.fields(config):
        if field.name not in found:
            assert field.metadata["no_flag"], field.name
            continue
        each = found[field.name]
        assert each.text, f"{config.__name__}.{field.name} has no line in the docstring"
        assert f"{field.name}: {each.text}." in documented
        assert each.default == field.default or each.default is field.default
        assert each.help.startswith(each.text.split(" (default")[0])


def test_all_scripts_are_found():
    assert {"train", "evaluate", "export/__main__", "benchmarks/results/results_table"} <= set(
        scripts()
    )
    assert len(scripts()) >= 20


@pytest.mark.parametrize("script", scripts())
def test_every_field_of_a_script_is_a_flag_with_its_default(script):
    line = command_line(script)
    for config in line.configs:
        check_fields(config)
    required = {name: "x" for name, each in line.options.items() if each.required}
    given = line.parse(["script", *(f"--{name}={value}" for name, value in required.items())])
    for config in line.configs:
        for field in dataclasses.fields(config):
            if field.name in line.options and field.name not in required:
                assert given[field.name] == field.default, field.name
                assert not given.is_explicit(field.name)


@pytest.mark.parametrize("config", PARSED_BY_ARGPARSE)
def test_every_field_is_an_argument_with_its_default(config):
    check_fields(config)
    parser = ArgumentParser()
    add_options(parser, config, dashes=True)
    arguments = []
    for each in options_of(config):
        if each.required:
            value = (each.metadata.get("choices") or ["x"])[0]
            positional = each.metadata.get("positional")
            arguments.append(value if positional else f"--{each.name}={value}")
    made = make_config(config, parser.parse_args(arguments))
    for field in dataclasses.fields(config):
        if field.default is not dataclasses.MISSING:
            assert getattr(made, field.name) == field.default, field.name


def test_train_makes_the_default_configuration():
    script = loaded_script("train")
    made = script.make_config(script.COMMAND_LINE.parse(["train.py"]))
    assert made == type(made)()
    assert (made.preset, made.workdir) == ("gradnet_small", "runs/train")
    assert made.sigma_min == made.sigma_max == 25.0


@dataclasses.dataclass(frozen=True)
class Every:
    """A field of every type.

    More text: it is no field.

    Attributes:
        folder: where it goes; for
            example here.
        count: how many, 3:1.
        share, part: two numbers.
        on: whether.
        maybe: or not.
        names: some names.
        sizes: some sizes.
        kind: what kind.
        memory: bytes.
        hidden: not an option.

    Raises:
        UserError: never.
    """

    folder: str
    count: int = option(2, least=1, most=9)
    share: float = 0.5
    part: float | None = None
    on: bool = False
    maybe: bool | None = None
    names: tuple[str, ...] = ()
    sizes: tuple[float, ...] = option((1.0, 0.5), least=0.1)
    kind: str = option("new", choices=("new", "old"))
    memory: int | None = option(None, parse=lambda text: int(text.removesuffix("KB")) * 1000)
    hidden: int = option(7, no_flag="a test")


LINE = CommandLine(Every)


def by_absl(*arguments: str) -> Every:
    return LINE.parse(["script", *arguments]).make(Every)


def by_argparse(*arguments: str, dashes: bool = True) -> Every:
    parser = ArgumentParser()
    add_options(parser, Every, dashes=dashes)
    return make_config(Every, parser.parse_args(arguments))


@pytest.mark.parametrize("parse", [by_absl, by_argparse])
def test_every_type_is_read(parse):
    assert parse("--folder=a") == Every("a")
    arguments = ["--folder", "a", "--count=3", "--share=1e-3", "--part=2", "--on", "--names=a,b"]
    arguments += ["--sizes=1,2.5", "--kind=old", "--memory=5KB"]
    parts = {"part": 2.0, "on": True, "names": ("a", "b"), "sizes": (1.0, 2.5)}
    assert parse(*arguments) == Every("a", 3, 0.001, **parts, kind="old", memory=5000)


def test_booleans_have_a_negation():
    assert by_absl("--folder=a", "--nomaybe").maybe is False
    assert by_absl("--folder=a", "--no-maybe", "--no_on").maybe is False
    assert by_argparse("--folder=a", "--no-maybe").maybe is False
    assert by_absl("--folder=a", "--maybe=true").maybe is True


def fails(parse, capsys, *arguments: str) -> str:
    with pytest.raises((UserError, SystemExit)) as error:
        parse(*arguments)
    return str(error.value) if error.type is UserError else capsys.readouterr().err


@pytest.mark.parametrize("parse", [by_absl, by_argparse])
@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("--count=0", "a whole number in [1, 9]. Received: "),
        ("--share=x", "x"),
        ("--sizes=1,0", "a number of at least 0.1. Received: "),
        ("--sizes=1,big", "a number of at least 0.1. Received: "),
        ("--sizes=nan", "a number of at least 0.1. Received: "),
        ("--kind=odd", "one of new, old. Received: "),
        ("--shar_es=1", "Did you mean --share?"),
        ("--hidden=1", "hidden"),
    ],
)
def test_wrong_values_are_refused_in_words(parse, argument, words, capsys):
    assert words in fails(parse, capsys, "--folder=a", argument)


@pytest.mark.parametrize("parse", [by_absl, by_argparse])
def test_a_required_option_is_named(parse, capsys):
    assert "--folder" in fails(parse, capsys)


def test_help_has_the_text_the_choices_and_the_default():
    shown = " ".join(LINE.help().split())
    assert "--folder: where it goes; for example here (required)" in shown
    assert "--count: how many, 3:1 (default: 2)" in shown
    assert "--share: two numbers (default: 0.5) --part: two numbers --[no]on: whether -" in shown
    assert "--sizes: some sizes (default: 1.0,0.5)" in shown
    assert "--kind: what kind: one of new, old (default: new)" in shown
    assert "hidden" not in shown and "UserError" not in shown


def test_one_option_in_two_configurations_is_refused():
    with pytest.raises(TypeError, match=r"Every\.folder"):
        CommandLine(Every, Every)


@dataclasses.dataclass(frozen=True)
class Odd:
    """A field that has no option."""

    table: dict | None = None


def test_a_type_without_an_option_is_refused():
    with pytest.raises(TypeError, match=r"Odd\.table: a field of type"):
        options_of(Odd)


@pytest.mark.parametrize("spelling", ["--naive_steps=4", "--naive-steps=4", "--naive-steps 4"])
def test_scripts_understand_both_spellings(spelling):
    line = loaded_script("train").COMMAND_LINE
    assert line.parse(["train.py", *spelling.split()])["naive_steps"] == 4
    assert "--naive_steps:" in line.help() and "naive-steps" not in line.help()


@pytest.mark.parametrize(
    "spelling", ["--max_megapixels=5", "--max-megapixels=5", "--max_megapixels 5", "--max_mega=5"]
)
def test_gradnet_understands_both_spellings(spelling, monkeypatch, capsys):
    seen = []
    monkeypatch.setattr(
        "gradnet_tf.cli.main.denoise",
        lambda arguments: seen.append(arguments.max_megapixels),
    )
    assert cli.main(["denoise", "a.png", *spelling.split()]) == 0
    assert seen == [5.0]
    with pytest.raises(SystemExit):
        cli.main(["denoise", "--help"])
    shown = capsys.readouterr().out
    assert "--max-megapixels" in shown and "max_megapixels" not in shown


def refusal(command: Sequence[str]) -> str:
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 2 and "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["train.py", "--batch-sise=3"], "--batch_size?"),
        (["evaluate.py", "--max_image=3"], "--max_images?"),
        (["-m", "export", "--format=x"], "--formats?"),
        (["-m", "gradnet_tf", "denoise", "a.png", "--strenght=1"], "--strength?"),
        (["-m", "datasets", "prepare", "sample", "--prepared-dirs=x"], "--prepared_dir?"),
    ],
)
def test_a_misspelt_flag_gets_a_suggestion(command, words):
    assert f"Did you mean {words}" in refusal(command)


@pytest.mark.parametrize("command", [["train.py"], ["evaluate.py"], ["-m", "export"]])
def test_help_imports_no_framework(command):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *command, "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "gradnet_tf.utils.options" in imported
    assert imported & {"tensorflow", "keras", "jax", "torch"} == set()


def test_nobody_defines_flags_of_the_whole_process():
    users = []
    for file in ROOT.rglob("*.py"):
        if ".venv" in file.parts or file.name == "options.py":
            continue
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            module = node.module if isinstance(node, ast.ImportFrom) else None
            if "absl.flags" in names or (module or "").startswith("absl"):
                users.append(file.name)
    assert users == []


def test_a_home_folder_is_meant_where_the_shell_leaves_it_to_the_program(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    fields = {each.name: each for each in options_of(TrainConfig)}
    assert fields["workdir"].convert("~/runs/x") == str(tmp_path / "runs" / "x")
    assert fields["workdir"].convert("runs/~x") == "runs/~x"
    assert fields["preset"].kind is str and not fields["preset"].is_path
