"""Generates command-line options from the fields of frozen dataclasses.

A configuration is defined once: a field's name, type and default determine the option, and its
line in the docstring's "Attributes:" section is the help text. The scripts parse with absl
(`CommandLine`), `gradnet` and `python -m datasets` with argparse (`add_options`). A new option
needs only the field, its docstring line and its validation.

Names may always be written with dashes or underscores; `--help` shows underscores for the scripts
and dashes for `gradnet`.
"""

import argparse
import dataclasses
import difflib
import functools
import inspect
import math
import os
import re
import sys
import textwrap
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from gradnet_tf.utils.errors import EXIT_USAGE, UserError

_WIDTH = 88
#: Fields of these names hold paths, or models, which may be paths.
PATH_NAMES = frozenset(
    "data_dir folder init_from input inputs log mask metrics model model_dir models output peers "
    "prepared_dir report run runs work_dir workdir".split()
)


def option(default: Any = dataclasses.MISSING, **metadata: Any) -> Any:
    """Returns a dataclass field with further properties of its option.

    Args:
        default: the field's default; without one the option is required.
        **metadata: any of
            `choices`: the allowed values; listed in the help text.
            `names`: values that are listed in the help text but not checked.
            `least`, `most`: bounds of a number, both inclusive.
            `parse`: function from the option's text to the field's value, for other types; it
                raises `UserError` for invalid texts.
            `repeated`: a tuple whose option is given once per value, not as a,b,c.
            `positional`: an argument without a name (argparse only).
            `metavar`: placeholder of the value in the help text (argparse only).
            `short`: a one-letter name such as "-o" (argparse only).
            `no_flag`: the reason why this field has no option.
    """
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class Option:
    """One command-line option.

    Attributes:
        name: the field's name, with underscores.
        kind: type of one value: int, float, bool or str.
        is_list: whether the field holds a tuple of such values.
        default: the field's default, `dataclasses.MISSING` for a required option.
        text: help text, without the default.
        metadata: see `option`.
    """

    name: str
    kind: type
    is_list: bool
    default: Any
    text: str
    metadata: Mapping[str, Any]

    @property
    def required(self) -> bool:
        """Whether the option has no default."""
        return self.default is dataclasses.MISSING

    @property
    def is_path(self) -> bool:
        """Whether the values are paths of files or folders, or names of models."""
        return self.kind is str and self.name in PATH_NAMES

    @property
    def help(self) -> str:
        """The help text with the allowed values and the default."""
        text, mark, default = self.text.partition(" (default")
        listed = self.metadata.get("choices") or self.metadata.get("names")
        if listed:
            text += f": {'some' if self.is_list else 'one'} of {', '.join(map(str, listed))}"
        text += mark + default
        if self.required:
            return f"{text} (required)"
        if self.default in (None, (), "") or mark:
            return text
        if self.kind is bool:
            return text if self.default is False else f"{text} (default: on)"
        shown = ",".join(map(str, self.default)) if self.is_list else self.default
        return f"{text} (default: {shown:g})" if _is_number(shown) else f"{text} (default: {shown})"

    def convert(self, value: Any) -> Any:
        """Returns the field's value for a parsed value.

        Args:
            value: `None`, a text if the field has `parse`, a list of texts, or a value of the
                field's type.

        Raises:
            UserError: the value is not allowed.
        """
        if value is None:
            return None
        if parse := self.metadata.get("parse"):
            return parse(value) if isinstance(value, str) else value
        if self.is_list:
            return tuple(self._checked(each) for each in value)
        return self._checked(value)

    def _checked(self, value: Any) -> Any:
        try:
            converted = self.kind(value)
        except ValueError:
            converted = None
        if converted is None or not self._is_allowed(converted):
            raise UserError(f"`{self.name}` must be {self.expected}. Received: {self.name}={value}")
        # A shell leaves it in --workdir=~/run, which would be a folder of that name.
        if self.is_path and converted.startswith("~"):
            return os.path.expanduser(converted)
        return converted

    def _is_allowed(self, value: Any) -> bool:
        low = self.metadata.get("least", -math.inf)
        high = self.metadata.get("most", math.inf)
        # NaN is in no range.
        in_range = self.kind not in (int, float) or low <= value <= high
        if self.is_path and not value:  # pathlib takes it for the current folder
            return False
        return in_range and value in (self.metadata.get("choices") or (value,))

    @property
    def expected(self) -> str:
        """Description of the allowed values, for error messages."""
        if choices := self.metadata.get("choices"):
            return f"one of {', '.join(map(str, choices))}"
        if self.is_path:
            return "a path, not an empty text"
        what = {int: "a whole number", float: "a number"}.get(self.kind, "text")
        low, high = self.metadata.get("least"), self.metadata.get("most")
        if low is not None and high is not None:
            return f"{what} in [{low:g}, {high:g}]"
        if low is not None:
            return f"{what} of at least {low:g}"
        return what if high is None else f"{what} of at most {high:g}"


def _is_number(value: Any) -> bool:
    return isinstance(value, float) and value == float(f"{value:g}")


def options_of(config: type, names: Mapping[str, Iterable[str]] | None = None) -> list[Option]:
    """Returns the options of a dataclass in the order of its fields.

    Args:
        config: a dataclass.
        names: further values by field, to list in the help text.

    Raises:
        TypeError: a field has an unsupported type and neither `parse` nor `no_flag`.
    """
    texts, hints = field_texts(config), typing.get_type_hints(config)
    found = []
    for field in dataclasses.fields(config):
        metadata = dict(field.metadata)
        if "no_flag" in metadata:
            continue
        if names and field.name in names:
            metadata["names"] = tuple(names[field.name])
        kind, is_list = _kind(hints[field.name], "parse" in metadata)
        if kind is None:
            raise TypeError(
                f"{config.__name__}.{field.name}: a field of type {hints[field.name]} needs "
                "option(parse=...) or option(no_flag=...)."
            )
        text = texts.get(field.name, "")
        found.append(Option(field.name, kind, is_list, field.default, text, metadata))
    return found


def _kind(hint: Any, parsed: bool) -> tuple[type | None, bool]:
    """Returns the type of one value, and whether there are several."""
    if parsed:
        return str, False
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        parts = [part for part in typing.get_args(hint) if part is not type(None)]
        return _kind(parts[0], False) if len(parts) == 1 else (None, False)
    if typing.get_origin(hint) in (tuple, list):
        return _kind(typing.get_args(hint)[0], False)[0], True
    return (hint if hint in (int, float, bool, str) else None), False


@functools.cache
def field_texts(config: type) -> dict[str, str]:
    """Returns the text of every field in the "Attributes:" section of a class and its bases.

    Each text is a single line without a final period.
    """
    found: dict[str, str] = {}
    for base in reversed(config.__mro__):
        _, _, section = inspect.cleandoc(base.__doc__ or "").partition("Attributes:\n")
        for entry in re.split(r"\n(?=    \w)", "\n" + section):
            # The section ends at the next line that is not indented.
            entry = re.split(r"\n(?=\S)", entry.strip("\n"))[0]
            match = re.match(r"\s+([\w, ]+):\s+(.*)", entry, re.DOTALL)
            if match:
                text = " ".join(match[2].split()).removesuffix(".")
                found |= dict.fromkeys(re.findall(r"\w+", match[1]), text)
    return found


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Returns the known option that is closest to a misspelled name, or `None`."""
    by_key = {_key(each): each for each in known}
    close = difflib.get_close_matches(_key(name), by_key, n=1, cutoff=0.7)
    return by_key[close[0]] if close else None


def _key(name: str) -> str:
    return name.lstrip("-").replace("-", "_")


@dataclasses.dataclass(frozen=True)
class Verbosity:
    """An option that every script has.

    Attributes:
        quiet: print results, warnings and errors, but no notes and no progress.
    """

    quiet: bool = False


class CommandLine:
    """The command line of a script: the options of its configurations, parsed by absl.

    Each script has its own instance, so that several scripts can be imported in one process.
    """

    def __init__(self, *configs: type, names: Mapping[str, Iterable[str]] | None = None):
        """Collects the options.

        Args:
            *configs: dataclasses; no two may have an option of the same name.
            names: as in `options_of`.

        Raises:
            TypeError: see `options_of`; also if two configurations have the same option.
        """
        self.configs = configs
        self.options: dict[str, Option] = {}
        for config in (*configs, Verbosity):
            for each in options_of(config, names):
                if each.name in self.options:
                    raise TypeError(f"{config.__name__}.{each.name}: defined by another config")
                self.options[each.name] = each

    def help(self) -> str:
        """Returns the part of `--help` that lists the options."""
        blocks = []
        for each in self.options.values():
            shown = f"--[no]{each.name}" if each.kind is bool else f"--{each.name}"
            text = textwrap.wrap(f"{shown}: {each.help}", _WIDTH, break_on_hyphens=False)
            blocks.append("  " + "\n      ".join(text))
        return "Flags:\n" + "\n".join(blocks) + "\n"

    def parse(self, argv: Sequence[str]) -> "Given":
        """Parses a command line.

        Args:
            argv: the program's name, then its arguments.

        Raises:
            UserError: an unknown or missing option, an invalid value, or a positional
                argument.
        """
        values = flags.FlagValues()
        for each in self.options.values():
            _define(each, values)
        program, *arguments = argv
        try:
            rest = values([program, *map(self._spelled, arguments)])
        except flags.UnrecognizedFlagError as error:
            meant = nearest(error.flagname, self.options)
            hint = f" Did you mean --{meant}?" if meant else ""
            raise UserError(f"unknown flag --{error.flagname.lstrip('-')}.{hint}") from error
        except flags.Error as error:
            raise UserError(str(error)) from error
        if len(rest) > 1:
            raise UserError(f"unexpected argument {rest[1]!r}; flags are written --name=value")
        found, explicit = {}, set()
        for name, each in self.options.items():
            if each.required and values[name].value is None:
                raise UserError(f"--{name} is missing. Expected: {each.text}.")
            found[name] = each.convert(values[name].value)
            if values[name].present:
                explicit.add(name)
        return Given(found, explicit)

    def _spelled(self, argument: str) -> str:
        """Returns `argument` with the option's name in the spelling that absl knows."""
        match = re.match(r"--?([A-Za-z][\w-]*)", argument)
        if not match:
            return argument
        key = _key(match[1])
        rest = argument[match.end() :]
        if key in self.options:
            return f"--{key}{rest}"
        positive = key.removeprefix("no_")
        if positive != key and positive in self.options and self.options[positive].kind is bool:
            return f"--no{positive}{rest}"
        return argument


def _define(each: Option, values: flags.FlagValues) -> None:
    default = None if each.required else each.default
    if each.is_list:
        listed = list(default) if default is not None else None
        define = flags.DEFINE_multi_string if each.metadata.get("repeated") else flags.DEFINE_list
        define(each.name, listed, each.text, flag_values=values)
        return
    kinds: Mapping[type, Callable] = {
        bool: flags.DEFINE_bool,
        int: flags.DEFINE_integer,
        float: flags.DEFINE_float,
        str: flags.DEFINE_string,
    }
    if each.kind is str and default is not None:
        default = str(default)
    kinds[each.kind](each.name, default, each.text, flag_values=values)


class Given:
    """The values of a parsed command line; created by `CommandLine.parse`."""

    def __init__(self, values: Mapping[str, Any], explicit: Iterable[str] = ()):
        """Args:
        values: the values of all options, by name.
        explicit: names of the options that were given on the command line.
        """
        self._values, self._explicit = dict(values), frozenset(explicit)

    def __getitem__(self, name: str) -> Any:
        """Returns the value of an option."""
        return self._values[name]

    def is_explicit(self, name: str) -> bool:
        """Whether the option was given on the command line."""
        return name in self._explicit

    def make(self, config: type, **changes: Any) -> Any:
        """Returns a configuration filled from the command line.

        Args:
            config: one of the command line's dataclasses.
            **changes: values of fields that replace those of the command line.
        """
        names = [each.name for each in options_of(config) if each.name not in changes]
        return config(**{name: self[name] for name in names}, **changes)


def add_options(
    parser: argparse.ArgumentParser,
    config: type,
    *,
    dashes: bool,
    names: Mapping[str, Iterable[str]] | None = None,
) -> None:
    """Adds the options of a dataclass to an argparse parser.

    Args:
        parser: the parser; an `ArgumentParser` of this module accepts both spellings.
        config: a dataclass.
        dashes: show the names with dashes instead of underscores.
        names: as in `options_of`.
    """
    for each in options_of(config, names):
        text = each.help.replace("%", "%%")
        if each.metadata.get("positional"):
            arguments: dict[str, Any] = {"help": text.removesuffix(" (required)")}
            if each.is_list:
                arguments |= (
                    {"nargs": "+"} if each.required else {"nargs": "*", "default": each.default}
                )
            elif not each.required:
                arguments |= {"nargs": "?", "default": each.default}
            if each.metadata.get("choices"):
                arguments["choices"] = each.metadata["choices"]
            if each.is_path:
                arguments["type"] = _reader(dataclasses.replace(each, is_list=False))
            metavar = each.metadata.get("metavar", each.name.upper())
            parser.add_argument(each.name, metavar=metavar, **arguments)
            continue
        shown = f"--{each.name.replace('_', '-') if dashes else each.name}"
        arguments = {"help": text, "dest": each.name, "required": each.required}
        if not each.required:
            arguments["default"] = each.default
        if each.kind is bool:
            action = "store_true" if each.default is False else argparse.BooleanOptionalAction
            parser.add_argument(shown, action=action, **arguments)
            continue
        arguments["type"] = _reader(each)
        if each.metadata.get("parse") and isinstance(each.default, str):
            # argparse would parse the default as well; `make_config` fills it in.
            arguments["default"] = argparse.SUPPRESS
        if each.metadata.get("repeated"):
            arguments["action"] = "append"
        if metavar := each.metadata.get("metavar"):
            arguments["metavar"] = metavar
        short = [each.metadata["short"]] if "short" in each.metadata else []
        parser.add_argument(*short, shown, **arguments)


def _reader(each: Option) -> Callable[[str], Any]:
    """Returns a function that converts an option's text to its value, for argparse."""

    def read(text: str) -> Any:
        try:
            if each.is_list and not each.metadata.get("repeated"):
                return each.convert(text.split(","))
            converted = each.convert([text] if each.is_list else text)
            return converted[0] if each.is_list else converted
        except UserError as error:
            # argparse adds the name of the option itself.
            text = str(error).removeprefix(f"`{each.name}` must be ")
            text = text.replace(f"Received: {each.name}=", "Received: ")
            start = "" if text == str(error) else "expected "
            raise argparse.ArgumentTypeError(f"{start}{text}") from error

    return read


def path_text(text: str) -> str:
    """Returns the text of a path, for argparse's `type`; an empty text is none."""
    if not text:
        raise argparse.ArgumentTypeError("expected a path. Received: an empty text")
    return text


def path_argument(text: str) -> Path:
    """Returns a path, for argparse's `type`."""
    return Path(path_text(text))


def make_config(config: type, arguments: argparse.Namespace, **changes: Any) -> Any:
    """Returns a configuration filled from an argparse namespace; see `Given.make`."""
    values = {}
    for each in options_of(config):
        value = getattr(arguments, each.name, each.default)
        values[each.name] = tuple(value) if isinstance(value, list) else value
    return config(**{**values, **changes})


class ArgumentParser(argparse.ArgumentParser):
    """Accepts options with dashes or underscores and reports errors in one line."""

    def parse_known_args(self, args=None, namespace=None):
        arguments = list(sys.argv[1:] if args is None else args)
        return super().parse_known_args(spelled_for(self, arguments), namespace)

    def parse_args(self, args=None, namespace=None):
        parsed, unknown = self.parse_known_args(args, namespace)
        command = self._chosen(parsed)
        unknown = command._take_inputs(parsed, unknown)
        if unknown:
            meant = nearest(unknown[0].split("=")[0], command._option_string_actions)
            hint = f". Did you mean {meant}?" if meant else ""
            command.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
        return parsed

    def _take_inputs(self, parsed: argparse.Namespace, unknown: list[str]) -> list[str]:
        """Adds inputs behind an option to those before it, which argparse leaves out.

        Returns the arguments that are left, all of them if one is an option.
        """
        lists = [each for each in self._get_positional_actions() if each.nargs in ("+", "*")]
        if not lists or any(text.startswith("-") and text != "-" for text in unknown):
            return unknown
        more = [self._get_value(lists[-1], text) for text in unknown]
        if more:
            setattr(parsed, lists[-1].dest, [*getattr(parsed, lists[-1].dest), *more])
        return []

    def _chosen(self, parsed: argparse.Namespace) -> "ArgumentParser":
        """Returns the parser of the chosen subcommand; this one if there is none."""
        for action in self._actions:
            chosen = getattr(parsed, action.dest, None)
            if isinstance(action, argparse._SubParsersAction) and chosen in action.choices:
                return action.choices[chosen]._chosen(parsed)
        return self

    def _check_value(self, action, value):
        try:
            super()._check_value(action, value)
        except argparse.ArgumentError as error:
            meant = nearest(str(value), map(str, action.choices))
            if meant:
                error.message += f". Did you mean {meant}?"
            raise

    def error(self, message):
        print(f"error: {message} (see: {self.prog} --help)", file=sys.stderr)
        sys.exit(EXIT_USAGE)


def spelled_for(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> list[str]:
    """Returns `arguments` with the options' names in the spelling that the parser knows.

    Args:
        parser: knows each option in one spelling, with dashes or underscores.
        arguments: without the program's name; arguments after "--" are not changed.
    """
    known = {_key(each): each for each in parser._option_string_actions if each.startswith("--")}
    spelled = list(arguments)
    for number, argument in enumerate(arguments):
        if argument == "--":
            break
        match = re.match(r"--[A-Za-z][\w-]*", argument)
        if not match or match[0] in parser._option_string_actions:
            continue
        key = _key(match[0])
        meant = known.get(key)
        if meant is None and parser.allow_abbrev:
            meant = next((known[each] for each in known if each.startswith(key)), None)
        if meant is not None:
            spelled[number] = meant[: len(match[0])] + argument[match.end() :]
    return spelled
