"""With which settings the results in a folder were made: a hidden file beside them.

A result that exists is skipped. Whether it is the one that was asked for, its
pixels do not tell, so the settings are kept: a person who changes the strength
and runs again is told that the old results stand. Nothing depends on the
file: without it, or where it is damaged, nothing is said.
"""

import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from gradnet_tf.utils.console import note
from gradnet_tf.utils.containers import read_json
from gradnet_tf.utils.files import write_json

NAME = ".gradnet.json"

Settings = Mapping[str, Any]
_KINDS = (str, int, float, bool)


class EarlierResults:
    """The settings that each result of a folder was made with.

    Args:
        folder: the output folder.
        settings: those of this run; texts, numbers and `None`.
    """

    def __init__(self, folder: Path, settings: Settings):
        self._folder = folder
        self._settings = dict(settings)
        self._made: list[str] = []
        self._stored, self._results = _read(folder / NAME)

    def add(self, target: Path) -> None:
        """A result has been written with the settings of this run."""
        self._made.append(self._name(target))

    def settings_of(self, target: Path) -> Settings | None:
        """Returns the settings that a result was made with, `None` where nobody knows."""
        number = self._results.get(self._name(target))
        known = isinstance(number, int) and 0 <= number < len(self._stored)
        return self._stored[number] if known else None

    def differences(self, target: Path) -> dict[str, tuple[Any, Any]]:
        """Returns what differs, as {setting: (then, now)}; nothing where nobody knows."""
        then = self.settings_of(target)
        if then is None:
            return {}
        keys = [key for key in self._settings if then.get(key) != self._settings[key]]
        return {key: (then.get(key), self._settings[key]) for key in keys}

    def tell_differences(self, skipped: Iterable[Path]) -> None:
        """Says in one line that skipped results were made otherwise, if any were."""
        found = [found for target in skipped if (found := self.differences(target))]
        if not found:
            return
        # The first one stands for all: more would be no line.
        shown = ", ".join(
            f"{key}={_shown(then)} and not {_shown(now)}" for key, (then, now) in found[0].items()
        )
        some = "1 skipped result was" if len(found) == 1 else f"{len(found)} skipped results were"
        note(f"{some} made with other settings ({shown}); --overwrite makes them anew")

    def save(self) -> None:
        """Writes the file anew, if there is anything to add."""
        if not self._made:
            return
        # Another process may have added to it since.
        stored, results = _read(self._folder / NAME)
        if self._settings not in stored:
            stored.append(self._settings)
        results |= dict.fromkeys(self._made, stored.index(self._settings))
        try:
            # What is no file of settings is not replaced by one.
            path = self._folder / NAME
            if path.exists() and not stat.S_ISREG(path.lstat().st_mode):
                raise OSError("something else has its name")
            write_json(self._folder / NAME, {"settings": stored, "results": results})
        except OSError as error:
            note(f"{self._folder / NAME} cannot be written: {error.strerror or error}")

    def _name(self, target: Path) -> str:
        return target.relative_to(self._folder).as_posix()


def _shown(value: Any) -> str:
    """Writes a value for people; of a hash they need the beginning."""
    text = f"{value:g}" if isinstance(value, float) else str(value)
    # Whoever wrote the file, what it says goes to a terminal.
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    return text[:8] if len(text) == 64 else text[:80]


def _read(path: Path) -> tuple[list[dict], dict[str, int]]:
    try:
        content = read_json(path)
        stored, results = content["settings"], content["results"]
        if not isinstance(stored, list) or not isinstance(results, dict):
            return [], {}
    except (OSError, ValueError, KeyError, TypeError):
        return [], {}
    # Values of other kinds are nobody's settings; the places of the others stay.
    settings = [
        {key: value for key, value in each.items() if value is None or type(value) in _KINDS}
        if isinstance(each, dict)
        else {}
        for each in stored
    ]
    numbers = {name: number for name, number in results.items() if type(number) is int}
    return settings, numbers
