"""Records the settings used for each result in an output folder, in a hidden file.

Existing results are skipped, and their pixels do not show the settings they were made with. With
this record, a user who changes the strength and runs the command again gets a note that the old
results were kept. The file is optional: without it, or if it is damaged, there is no note, and
--overwrite replaces none of the results that it listed.
"""

import collections
import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import stat
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gradnet_tf.utils.console import note
from gradnet_tf.utils.containers import read_json
from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.files import atomic_write, sha256_of, write_json
from gradnet_tf.utils.ownership import Inputs, require_no_input

NAME = ".gradnet.json"
#: Results of runs that have not ended, one JSON object per line.
JOURNAL = ".gradnet-unfinished.jsonl"
_ENTRY = ("name", "sha256", "settings")
#: The setting that says which weights a picture got, and on what they ran.
WEIGHTS = "weights"
#: How settings end that are the sha256 of a file that another setting names.
_HASH = "_sha256"
#: A larger journal is not ours, nor a larger record of results: an entry takes some 400 bytes in
#: the one and some 50 in the other.
_MOST_JOURNAL = _MOST_RECORDS = 2**28

#: Why --overwrite does not replace a file.
FOREIGN = (
    "exists and is not a result of this command, so it is not replaced; give another --output, or "
    "move it away"
)

Settings = Mapping[str, Any]
_KINDS = (str, int, float, bool)


@dataclasses.dataclass(frozen=True)
class EarlierResults:
    """The settings that each result in a folder was made with.

    Attributes:
        folder: the output folder.
        settings: the settings of this run: strings, numbers and `None`. Each result adds its
            `WEIGHTS`, which depend on the picture.
    """

    folder: Path
    settings: Settings
    _announced: dict[str, dict] = dataclasses.field(default_factory=dict, init=False, compare=False)

    @functools.cached_property
    def _recorded(self) -> tuple[list[dict], dict[str, int]]:
        try:
            return _read(self.folder / NAME)
        except OSError:
            return [], {}

    @functools.cached_property
    def _unfinished(self) -> dict[str, list[tuple[str, Settings]]]:
        found = collections.defaultdict(list)
        for name, *entry in _journal(self.folder / JOURNAL):
            found[name].append(entry)
        return dict(found)

    def settings_of(self, target: Path) -> Settings | None:
        """Returns the settings that a result was made with, `None` if unknown."""
        stored, results = self._recorded
        name = self._name(target)
        number = results.get(name)
        if isinstance(number, int) and 0 <= number < len(stored):
            return stored[number]
        return self._unfinished[name][-1][1] if name in self._unfinished else None

    def is_recorded(self, target: Path) -> bool:
        """Whether a file was written by this command, which alone may replace it."""
        name = self._name(target)
        if name in self._recorded[1]:
            return True
        with contextlib.suppress(OSError):
            # A run may have been killed before its file got the name: then it is that of an
            # earlier run, or another one.
            entries = self._unfinished.get(name, ())
            return bool(entries) and sha256_of(target) in [sha256 for sha256, _ in entries]
        return False

    def is_foreign(self, target: Path) -> bool:
        """Whether something is there that this command must not replace."""
        is_link = os.path.islink(target)
        if not self.settings:  # Nothing is recorded.
            return is_link
        return is_link or (os.path.lexists(target) and not self.is_recorded(target))

    def differences(self, target: Path) -> dict[str, tuple[Any, Any]]:
        """Returns the settings that differ, as {setting: (then, now)}; empty if unknown.

        A hash that one of the two lacks, as in folders of earlier versions, is no difference.
        """
        then, now = self.settings_of(target), self.settings
        if then is None:
            return {}
        both = {key: (then.get(key), now.get(key)) for key in {**now, **then}}
        return {
            key: (old, new)
            for key, (old, new) in both.items()
            if old != new and key != WEIGHTS and not (key.endswith(_HASH) and None in (old, new))
        }

    def note_differences(self, skipped: Iterable[Path]) -> None:
        """Prints a note if skipped results were made with other settings."""
        found = [found for target in skipped if (found := self.differences(target))]
        if not found:
            return
        # Report only the first difference, to keep the note on one line.
        shown = ", ".join(
            f"{_shown(key)}={_shown(then)} and not {_shown(now)}"
            for key, (then, now) in found[0].items()
        )
        some = "1 skipped result was" if len(found) == 1 else f"{len(found)} skipped results were"
        note(f"{some} made with other settings ({shown}); use --overwrite to replace them")

    def announce(
        self,
        target: Path,
        data: bytes,
        inputs: Inputs,
        weights: str = "",
        overwrite: bool = True,
    ) -> None:
        """Prepares the renaming of a complete file to the name of a result.

        Records the result in the journal, in case the run is killed before `save`.

        Args:
            target: the result's path.
            data: its content.
            inputs: files that are never replaced. The plan of the run respects them, but a folder
                may have been replaced by a link to them meanwhile.
            weights: what denoised the picture, if known.
            overwrite: replace an earlier result.

        Raises:
            UserError: the target is one of the inputs, or something came there during the run.
        """
        if os.path.lexists(target) and (not overwrite or self.is_foreign(target)):
            raise UserError(f"{target} {FOREIGN}")
        if self.settings:
            self._enter(target, data, {WEIGHTS: weights} if weights else {})
        require_no_input(target, inputs)

    def _enter(self, target: Path, data: bytes, more: dict[str, str]) -> None:
        settings = self._announced[self._name(target)] = {**self.settings, **more}
        sha256 = hashlib.sha256(data).hexdigest()
        entry = dict(zip(_ENTRY, (self._name(target), sha256, settings), strict=True))
        # Without an entry, a killed run's result cannot be replaced by --overwrite; no more.
        with contextlib.suppress(OSError), _locked(self.folder):
            path = self.folder / JOURNAL
            if os.path.lexists(path) and not stat.S_ISREG(os.lstat(path).st_mode):
                return  # A pipe would wait for a reader.
            with open(path, "ab") as file:
                file.write(json.dumps(entry).encode() + b"\n")

    def save(self, written: Mapping[Path, os.stat_result | None] | Sequence[Path]) -> None:
        """Records which files were written with the settings of this run, and ends their journal.

        A file that cannot be written is reported, not raised.

        Args:
            written: the results, with the status that each one had when it was written, if
                known. Results that another process has replaced since are left out.
        """
        if not written and not self._announced:
            return
        path = self.folder / NAME
        known = written if isinstance(written, Mapping) else dict.fromkeys(written)
        try:
            with _locked(self.folder):
                if os.path.islink(path):
                    raise OSError("it is a link, which is not replaced")
                # Another process may have added entries since the file was read. A pipe or a
                # folder of this name raises.
                stored, results = _read(path)
                names = {*self._announced, *map(self._name, known)}
                others = [each for each in _journal(self.folder / JOURNAL) if each[0] not in names]
                for target, status in known.items():
                    settings = self._announced.get(self._name(target), dict(self.settings))
                    if settings not in stored:
                        stored.append(settings)
                    if status is None or _is_still(target, status):
                        results[self._name(target)] = stored.index(settings)
                if known:
                    write_json(path, {"settings": stored, "results": results})
                # Only now that the file above has them, the entries are removed. Those of killed
                # runs stay.
                journal = self.folder / JOURNAL
                if others:
                    lines = [json.dumps(dict(zip(_ENTRY, each, strict=True))) for each in others]
                    atomic_write(journal, "\n".join([*lines, ""]))
                elif journal.is_file() and not journal.is_symlink():
                    journal.unlink()
        except OSError as error:
            note(f"{path} cannot be written: {error.strerror or error}")

    def _name(self, target: Path) -> str:
        return target.relative_to(self.folder).as_posix()


def _shown(value: Any) -> str:
    """Formats a value for the note; hashes are shortened."""
    text = f"{value:g}" if isinstance(value, float) else str(value)
    # The text is printed to a terminal, and the file may come from anybody.
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    return text[:8] if len(text) == 64 else text[:80]


#: Seconds to wait for another process that records its results; that takes milliseconds.
_PATIENCE = 10.0


def _locked(folder: Path) -> contextlib.ExitStack:
    """Locks a folder until the returned context ends, if its file system has locks.

    The folder itself is locked, so that no file of a lock is left in it.
    """
    lock = contextlib.ExitStack()
    try:
        import fcntl

        descriptor = os.open(folder, os.O_RDONLY)
    except (ImportError, OSError):
        return lock
    lock.callback(os.close, descriptor)  # Unlocks it.
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            time.sleep(0.01)
        except OSError:
            break
    return lock


def _is_still(path: Path, status: os.stat_result) -> bool:
    """Whether a file is the one that had this status, and not one that replaced it."""
    with contextlib.suppress(OSError):
        now = os.stat(path)
        return os.path.samestat(now, status) and now.st_mtime_ns == status.st_mtime_ns
    return False


def _journal(path: Path) -> list[tuple[str, str, Settings]]:
    """Returns (name, sha256, settings) of each entry; damaged lines are left out."""
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode) or status.st_size > _MOST_JOURNAL:
            return []
        lines = path.read_bytes().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError):
            entry = json.loads(line)
            name, sha256, settings = (entry[key] for key in _ENTRY)
            if isinstance(name, str) and isinstance(sha256, str) and isinstance(settings, dict):
                found.append((name, sha256, _plain(settings)))
    return found


def _plain(settings: Any) -> dict[str, Any]:
    """Returns the settings of usable kinds; values of other types are dropped."""
    if not isinstance(settings, dict):
        return {}
    return {key: value for key, value in settings.items() if value is None or type(value) in _KINDS}


def _read(path: Path) -> tuple[list[dict], dict[str, int]]:
    """Returns the settings, and the number of each result's; nothing of a damaged file.

    Raises:
        OSError: the file cannot be read, or is too large to be ours.
    """
    if not os.path.lexists(path):
        return [], {}
    if os.path.isfile(path) and os.path.getsize(path) > _MOST_RECORDS:
        raise OSError(f"it has more than {_MOST_RECORDS >> 20} MB")
    try:
        content = read_json(path, _MOST_RECORDS)
        stored, results = content["settings"], content["results"]
        if not isinstance(stored, list) or not isinstance(results, dict):
            return [], {}
    except (ValueError, KeyError, TypeError):
        return [], {}
    settings = [_plain(each) for each in stored]  # The places of the others stay.
    numbers = {name: number for name, number in results.items() if type(number) is int}
    return settings, numbers
