"""What is done with a pattern and with a file: plain functions that an engine calls.

Paths are carried as bytes: names of files need not be valid UTF-8, and Beam's text is.
"""

import functools
import json
import logging
import threading
import time
from collections.abc import Iterable, Iterator

from gradnet_tf.batch import storage
from gradnet_tf.batch.batch_names import Source, listing_of, matches, place_of
from gradnet_tf.batch.batch_settings import Settings
from gradnet_tf.images.photo_files import PHOTO_SUFFIXES, decode_photo, encode_photo
from gradnet_tf.utils.errors import UserError

#: What became of a file. An unreadable one is no photograph; another failed later.
WRITTEN, SKIPPED, UNREADABLE, FAILED = "written", "skipped", "unreadable", "failed"

_LOG = logging.getLogger(__name__)
# One picture at a time in a process: the libraries use all cores anyway, memory is promised to
# one, and the decoders' settings are the process's. Other threads read and write meanwhile.
_ONE_AT_A_TIME = threading.Lock()


def find_files(source: Source, output: str) -> Iterator[tuple[bytes, tuple[bytes, bytes]]]:
    """Lists the files of an `--input`.

    Yields:
        For each file (place of its result, (file, result)) and, since no result may be
        put there, (place of the file, (file, nothing)).
    """
    if source.is_file:
        found = [source.base + source.pattern[0]]
    else:
        own = place_of(output).rstrip("/") + "/"
        listed = storage.list_files(listing_of(source))
        found = [path for path in listed if _is_meant(path, source)]
        found = [path for path in found if not place_of(path).startswith(own)]
    # Some engines deal places out in turn: work and marks alternating would give one of two
    # processes all the work.
    for path in found:
        target = f"{output}/{path.removeprefix(source.base)}"
        yield _encoded(place_of(target)), (_encoded(path), _encoded(target))
    for path in found:
        yield _encoded(place_of(path)), (_encoded(path), b"")


def _is_meant(path: str, source: Source) -> bool:
    if not path.startswith(source.base) or not path.lower().endswith(PHOTO_SUFFIXES):
        return False
    return matches(path.removeprefix(source.base).split("/"), source.pattern)


def denoise_place(
    place: tuple[bytes, Iterable[tuple[bytes, bytes]]], settings: Settings
) -> Iterator[tuple[str, str]]:
    """Makes the one result that belongs at a place, or says why there is none.

    Args:
        place: what `find_files` yields for one place.
        settings: how.

    Yields:
        (what became of it, "" or a failure as JSON) for each result that was asked for.
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
    """Denoises one file; returns what became of it, and a failure as JSON or "".

    Whatever is wrong with a file is told and not raised: an engine would repeat
    the file, with all others of its bundle, and give up in the end.

    Raises:
        UserError: the model cannot be loaded, which no other file would change.
    """
    outcome = UNREADABLE
    try:
        if not settings.overwrite and storage.exists(target):
            return SKIPPED, ""
        data = storage.read(path)
        with _ONE_AT_A_TIME:
            photo = decode_photo(data, path, settings.max_megapixels)
    except Exception as error:
        return outcome, failure(path, error)
    with _ONE_AT_A_TIME:
        denoise = None if settings.changes_nothing else load_once(settings)
    outcome = FAILED
    try:
        if denoise is not None:
            with _ONE_AT_A_TIME:
                data = encode_photo(photo.with_pixels(denoise(photo.pixels)), settings.quality)
        storage.write(target, data, f"image/{photo.format}")
    except Exception as error:
        return outcome, failure(path, error)
    return WRITTEN, ""


@functools.lru_cache(maxsize=1)
def load_once(settings: Settings):
    """Returns `settings.load()`, loaded once in a process; the engine's log says so."""
    start = time.perf_counter()
    denoise = settings.load()
    _LOG.info("%s loaded in %.1f s", settings.model, time.perf_counter() - start)
    return denoise


def failure(path: str, error: Exception | str) -> str:
    """Returns a line of failures.jsonl: ASCII, so that any name survives it."""
    reason = " ".join(str(error).split())
    if not isinstance(error, str | UserError | OSError):
        reason = f"{type(error).__name__}: {reason}" if reason else type(error).__name__
    return json.dumps({"path": path, "reason": reason or type(error).__name__})


def _encoded(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")


def _decoded(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")
