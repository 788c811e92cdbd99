"""With which settings the results in a folder were made: a hidden file beside them.

A result that exists is skipped. Whether it is the one that was asked for, its
pixels do not tell, so the settings are kept: a person who changes the strength
and runs again is told that the old results stand. Nothing depends on the
file: without it, or where it is damaged, nothing is said.
"""

import dataclasses
import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gradnet_tf.utils.console import note
from gradnet_tf.utils.files import write_json

NAME = ".gradnet.json"

Settings = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class EarlierResults:
    """The settings that each result in a folder was made with.

    Attributes:
        folder: the output folder.
        settings: the settings of this run: strings, numbers and `None`.
    """

    folder: Path
    settings: Settings

    @functools.cached_property
    def _recorded(self) -> tuple[list[dict], dict[str, int]]:
        return _read(self.folder / NAME)

    def settings_of(self, target: Path) -> Settings | None:
        """Returns the settings that a result was made with, `None` where nobody knows."""
        stored, results = self._recorded
        number = results.get(self._name(target))
        known = isinstance(number, int) and 0 <= number < len(stored)
        return stored[number] if known else None

    def differences(self, target: Path) -> dict[str, tuple[Any, Any]]:
        """Returns what differs, as {setting: (then, now)}; nothing where nobody knows."""
        then = self.settings_of(target)
        if then is None:
            return {}
        keys = [key for key in self.settings if then.get(key) != self.settings[key]]
        return {key: (then.get(key), self.settings[key]) for key in keys}

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

    def save(self, targets: Sequence[Path]) -> None:
        """Records that `targets` were written with the settings of this run.

        A file that cannot be written is reported, not raised.
        """
        if not targets:
            return
        # Another process may have added entries since the file was read.
        stored, results = _read(self.folder / NAME)
        if self.settings not in stored:
            stored.append(dict(self.settings))
        results |= {self._name(target): stored.index(self.settings) for target in targets}
        try:
            write_json(self.folder / NAME, {"settings": stored, "results": results})
        except OSError as error:
            note(f"{self.folder / NAME} cannot be written: {error.strerror or error}")

    def _name(self, target: Path) -> str:
        return target.relative_to(self.folder).as_posix()


def _shown(value: Any) -> str:
    """Writes a value for people; of a hash they need the beginning."""
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text[:8] if len(text) == 64 else text


def _read(path: Path) -> tuple[list[dict], dict[str, int]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        stored, results = content["settings"], content["results"]
        if all(isinstance(each, dict) for each in stored) and isinstance(results, dict):
            return list(stored), dict(results)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return [], {}
