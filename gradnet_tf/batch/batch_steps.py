"""The steps of batch inference, as plain functions: find files, denoise one file.

Paths are passed as bytes: file names need not be valid UTF-8, but Beam's strings must be.
"""

import functools
import hashlib
import json
import logging
import os
import threading
import time
from collections.abc import Iterable, Iterator

from gradnet_tf.batch import storage
from gradnet_tf.batch.batch_names import Source, is_local, listing_of, matches, may_hold, place_of
from gradnet_tf.batch.batch_settings import Settings
from gradnet_tf.images.photo_files import PHOTO_SUFFIXES, decode_photo, encode_result
from gradnet_tf.images.raw.raw_photo import RAW_SUFFIXES
from gradnet_tf.utils.errors import UserError

#: Outcomes for a file: "unreadable" is not a valid photograph, "failed" means a later error.
WRITTEN, SKIPPED, UNREADABLE, FAILED = "written", "skipped", "unreadable", "failed"

_LOG = logging.getLogger(__name__)
# Each process decodes, denoises and encodes one picture at a time: the libraries use all cores
# anyway, the memory limit holds for one picture, and the decoders' settings are global. Other
# threads may read and write files in the meantime.
_ONE_AT_A_TIME = threading.Lock()


def find_files(source: Source, output: str) -> Iterator[tuple[bytes, tuple[bytes, bytes]]]:
    """Lists the files of an `--input`.

    Yields:
        For each file (canonical path of its result, (file, result)) and, to mark the inputs,
        which must not be overwritten, (canonical path of the file, (file, empty)).
    """
    if source.is_file:
        found = [source.base + source.pattern[0]]
    else:
        own = place_of(output).rstrip("/") + "/"
        listed = storage.list_files(listing_of(source))
        found = [path for path in listed if _is_included(path, source)]
        if storage.is_local(source.base) and "**" in source.pattern:
            # Reading them fails, which is counted and reported.
            lost = storage.unlisted(source.base)
            found += [path for path in lost if _is_missed(path, source)]
        found = [path for path in found if not place_of(path).startswith(own)]
    # Some runners distribute elements in turn; alternating work and marks would give all of the
    # work to one of two processes.
    for path in found:
        target = f"{output}/{path.removeprefix(source.base)}"
        stem, suffix = os.path.splitext(target)
        if suffix.lower() in RAW_SUFFIXES:
            target = f"{stem}.tif"  # what is developed from a raw file
        yield _encoded(place_of(target)), (_encoded(path), _encoded(target))
    for path in found:
        yield _encoded(place_of(path)), (_encoded(path), b"")


def _is_missed(path: str, source: Source) -> bool:
    """Whether what `storage.unlisted` found, a link or `FOLDER/*`, may belong to the input."""
    if not path.endswith("/*"):
        return _is_included(path, source)
    below = path.removesuffix("/*").removeprefix(source.base).strip("/")
    return may_hold(below.split("/") if below else [], source.pattern)


def _is_included(path: str, source: Source) -> bool:
    if not path.startswith(source.base) or not path.lower().endswith(PHOTO_SUFFIXES):
        return False
    return matches(path.removeprefix(source.base).split("/"), source.pattern)


def denoise_place(
    place: tuple[bytes, Iterable[tuple[bytes, bytes]]], settings: Settings
) -> Iterator[tuple[str, str]]:
    """Writes the result that belongs at a path, or reports why it cannot be written.

    Args:
        place: the elements of `find_files` for one canonical path.
        settings: how to denoise.

    Yields:
        (outcome, "" or a failure as JSON) for each requested result.
    """
    jobs, is_input = {}, False
    for path, target in place[1]:
        if target:
            path = _decoded(path)
            jobs.setdefault(place_of(path), (path, _decoded(target)))
        else:
            is_input = True
    jobs = sorted(jobs.values())
    for number, (path, target) in enumerate(jobs):
        if is_input:
            reason = f"{target} is one of the inputs, and inputs are never overwritten"
            yield FAILED, failure(path, reason)
        elif len(jobs) > 1:
            other = jobs[1 if number == 0 else 0][0]
            yield FAILED, failure(path, f"would be written to {target}, as would {other}")
        else:
            yield denoise_file(path, target, settings)


def denoise_file(path: str, target: str, settings: Settings) -> tuple[str, str]:
    """Denoises one file; returns the outcome, and a failure as JSON or "".

    Errors of a file are returned, not raised: Beam would retry the file together with all others
    of its bundle, and eventually give up.

    Raises:
        UserError: the model cannot be loaded, which affects all files.
    """
    outcome = UNREADABLE
    try:
        if not settings.overwrite and storage.exists(target):
            return SKIPPED, ""
        outcome = FAILED
        _require_replaceable(target)
        outcome = UNREADABLE
        data = storage.read(path)
        with _ONE_AT_A_TIME:
            photo = decode_photo(data, path, settings.max_megapixels)
    except Exception as error:
        return outcome, failure(path, error)
    for text in photo.notes:
        _LOG.warning("%s: %s", path, text)
    with _ONE_AT_A_TIME:
        denoise = None if settings.changes_nothing else load_once(settings)
    outcome, data = FAILED, photo.encoded
    try:
        if denoise is not None:
            with _ONE_AT_A_TIME:
                data, lost = encode_result(photo, photo.denoised(denoise), settings.quality)
            for what in lost:
                _LOG.warning("%s: not in the result: %s", path, what)
        # Checked again, since the folder may have been replaced by a link in the meantime.
        check = functools.partial(_announce, target, data)
        storage.write(target, data, f"image/{photo.format}", check)
    except Exception as error:
        return outcome, failure(path, error)
    return WRITTEN, ""


def _mark_of(target: str) -> str:
    """Returns the path of the hidden file that holds the sha256 of a result, one or two lines.

    It marks the result as this command's. Each result has a mark of its own, because workers on
    many machines cannot share one list. Its name is as short for long names as for others.
    """
    folder, _, name = target.rpartition("/")
    return f"{folder}/.gradnet-{hashlib.sha256(_encoded(name)).hexdigest()[:32]}"


def _announce(target: str, data: bytes) -> None:
    """Writes the mark of a result before the result itself.

    So a result is recognized after a run that was killed between the two; and since the mark keeps
    the sha256 of the result that is about to be replaced, so is that one.

    Raises:
        UserError: see `_require_replaceable`.
    """
    earlier = _require_replaceable(target)
    sums = dict.fromkeys([hashlib.sha256(data).hexdigest(), *filter(None, [earlier])])
    storage.write(_mark_of(target), "\n".join(sums).encode(), "text/plain")


def _require_replaceable(target: str) -> str | None:
    """Returns the sha256 of the result at a path, or `None` if nothing is there.

    Raises:
        UserError: a file exists that is no result of this command, or changed since.
    """
    if not storage.exists(target):
        return None
    mark = _mark_of(target)
    if storage.exists(mark) and not (is_local(target) and os.path.islink(target)):
        found = hashlib.sha256(storage.read(target)).hexdigest()
        if found in storage.read(mark).decode("ascii", "replace").split():
            return found
    raise UserError(
        f"{target} exists and is not a result of this command, or changed since, so it is not "
        "replaced; give another --output, or move it away"
    )


@functools.lru_cache(maxsize=1)
def load_once(settings: Settings):
    """Returns `settings.load()`, called once per process; the time is logged."""
    start = time.perf_counter()
    denoise = settings.load()
    _LOG.info("%s loaded in %.1f s", settings.model, time.perf_counter() - start)
    return denoise


def failure(path: str, error: Exception | str) -> str:
    """Returns a line of failures.jsonl, in ASCII so that any file name is preserved."""
    reason = " ".join(str(error).split())
    if not isinstance(error, str | UserError | OSError):
        reason = f"{type(error).__name__}: {reason}" if reason else type(error).__name__
    return json.dumps({"path": path, "reason": reason or type(error).__name__})


def _encoded(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")


def _decoded(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")
