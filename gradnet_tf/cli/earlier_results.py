"""Records the settings used for each result in an output folder, in a hidden file.

Existing results are skipped, and their pixels do not show the settings they were made with. With
this record, a user who changes the strength and runs the command again gets a note that the old
results were kept. The file is optional: without it, or if it is damaged, there is no note.
"""

import dataclasses
import functools
import os
import stat
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gradnet_tf.utils.console import note
from gradnet_tf.utils.containers import read_json
from gradnet_tf.utils.files import FileIdentity, identity_of, write_json

NAME = ".gradnet.json"

Settings = Mapping[str, Any]
_KINDS = (str, int, float, bool)


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
        """Returns the settings that a result was made with, `None` if unknown."""
        stored, results = self._recorded
        number = results.get(self._name(target))
        known = isinstance(number, int) and 0 <= number < len(stored)
        return stored[number] if known else None

    def is_recorded(self, target: Path) -> bool:
        """Whether a file was written by this command, which alone may replace it."""
        return self._name(target) in self._recorded[1]

    def differences(self, target: Path) -> dict[str, tuple[Any, Any]]:
        """Returns the settings that differ, as {setting: (then, now)}; empty if unknown."""
        then = self.settings_of(target)
        if then is None:
            return {}
        keys = [key for key in self.settings if then.get(key) != self.settings[key]]
        return {key: (then.get(key), self.settings[key]) for key in keys}

    def note_differences(self, skipped: Iterable[Path]) -> None:
        """Prints a note if skipped results were made with other settings."""
        found = [found for target in skipped if (found := self.differences(target))]
        if not found:
            return
        # Report only the first difference, to keep the note on one line.
        shown = ", ".join(
            f"{key}={_shown(then)} and not {_shown(now)}" for key, (then, now) in found[0].items()
        )
        some = "1 skipped result was" if len(found) == 1 else f"{len(found)} skipped results were"
        note(f"{some} made with other settings ({shown}); use --overwrite to replace them")

    def save(self, written: Mapping[Path, FileIdentity | None] | Sequence[Path]) -> None:
        """Records which files were written with the settings of this run.

        A file that cannot be written is reported, not raised.

        Args:
            written: the results, with the identity that each one had when it was written, if
                known. Results that another process has replaced since are left out.
        """
        if not written:
            return
        path = self.folder / NAME
        known = written if isinstance(written, Mapping) else dict.fromkeys(written)
        lock = _lock(self.folder)
        try:
            # Another process may have added entries since the file was read.
            stored, results = _read(path)
            if self.settings not in stored:
                stored.append(dict(self.settings))
            number = stored.index(self.settings)
            for target, identity in known.items():
                name = self._name(target)
                if identity is None or identity_of(target) == identity:
                    results[name] = number
            # What is no file of settings is not replaced by one.
            if os.path.lexists(path) and not stat.S_ISREG(os.lstat(path).st_mode):
                raise OSError("something else has its name")
            write_json(path, {"settings": stored, "results": results})
        except OSError as error:
            note(f"{path} cannot be written: {error.strerror or error}")
        finally:
            if lock is not None:
                os.close(lock)

    def _name(self, target: Path) -> str:
        return target.relative_to(self.folder).as_posix()


def _shown(value: Any) -> str:
    """Formats a value for the note; hashes are shortened."""
    text = f"{value:g}" if isinstance(value, float) else str(value)
    # Whoever wrote the file, what it says goes to a terminal.
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    return text[:8] if len(text) == 64 else text[:80]


#: Seconds to wait for another process that records its results; that takes milliseconds.
_PATIENCE = 10.0


def _lock(folder: Path) -> int | None:
    """Locks a folder, if its file system has locks; closing the descriptor unlocks it.

    The folder itself is locked, so that no file of a lock is left in it.
    """
    try:
        import fcntl

        descriptor = os.open(folder, os.O_RDONLY)
    except (ImportError, OSError):
        return None
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            time.sleep(0.01)
        except OSError:
            break
    return descriptor


def _read(path: Path) -> tuple[list[dict], dict[str, int]]:
    if not os.path.lexists(path):
        return [], {}
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
