"""Writes the shards of `datasets.shards.shard_files`; can resume after being killed at any time.

The rows of a finished shard are stored in a file beside it until the index is written, which
happens last. A repeated run keeps complete shards and writes the rest.
"""

import contextlib
import json
import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from filelock import FileLock

from datasets.sets.bsds500 import refuse_test_image
from datasets.sets.image_set import ImageSet
from datasets.shards.shard_files import (
    AFTER_RECORD,
    BEFORE_RECORD,
    FORMAT,
    HEADER,
    INDEX,
    PreparedSet,
    open_prepared,
    prepared_folder,
    read_index,
    source_of,
    with_index,
)
from gradnet_tf.utils.console import ProgressLine, note
from gradnet_tf.utils.errors import UserError, install_command
from gradnet_tf.utils.files import atomic_path, sha256_of, write_json
from gradnet_tf.utils.framework_start import quiet_native_logs
from gradnet_tf.utils.ownership import is_json_with, require_replaceable

# Enough shards for several parallel readers, without small ones.
_LEAST_SHARDS = 16
_IMAGES_PER_SHARD = 64
_DECODED_AT_ONCE = 8

_LOCK = ".lock"
_SHARD = re.compile(r"shard-\d{5}-of-\d{5}")


def default_shards(images: int) -> int:
    """Returns the default number of shards for a number of images."""
    return min(images, max(_LEAST_SHARDS, -(-images // _IMAGES_PER_SHARD)))


def prepared_set(image_set: ImageSet, prepared_dir: str | os.PathLike) -> PreparedSet:
    """Opens the shards of a set, after writing them if there are none.

    Raises:
        UserError: if the shards are of other images, or damaged, and as `prepare` does.
    """
    found = open_prepared(image_set, prepared_dir)
    return prepare(image_set, prepared_dir) if found is None else found


def prepare(
    image_set: ImageSet, prepared_dir: str | os.PathLike, shards: int | None = None
) -> PreparedSet:
    """Writes missing, damaged and outdated shards, after verifying the sha256 of each.

    Several processes may call this at the same time; one works and the others wait for it.

    Args:
        image_set: the images, none of which may be a test image; each is decoded once.
        prepared_dir: parent of the set's folder.
        shards: number of files; by default that of existing shards, else `default_shards`.

    Raises:
        UserError: for an image that cannot be read or is a test image, a folder that cannot be
            written, or an invalid number of shards.
    """
    count = len(image_set)
    if shards is not None and not 1 <= shards <= count:
        raise UserError(
            f"`shards` must be from 1 to the number of images, {count}. Received: shards={shards}"
        )
    folder = prepared_folder(image_set, prepared_dir)
    try:
        with _locked(folder):
            return _prepare(image_set, folder, shards)
    except OSError as error:
        raise UserError(
            f"--prepared_dir={prepared_dir} cannot be written: {error.strerror or error}.\n"
            f"Expected a folder with room for the decoded images ({folder}). Finished shards are "
            "kept when the command is run again."
        ) from error


def _require_own_folder(folder: Path) -> None:
    """Raises if an index or shards would be replaced that this module did not write."""
    own = is_json_with(folder / INDEX, "format", "source", "shards", "images") or any(
        is_json_with(path, "source", "shard", "images") for path in folder.glob("shard-*.json")
    )
    shards = [path for path in folder.glob("shard-*.tfrecord") if _SHARD.fullmatch(path.stem)]
    # A run that was killed early leaves one shard without the file beside it.
    for path in [folder / INDEX, *(shards if len(shards) > 1 else ())]:
        require_replaceable(path, f"--prepared_dir={folder.parent}", lambda _: own)


def _prepare(image_set: ImageSet, folder: Path, shards: int | None) -> PreparedSet:
    source, index = source_of(image_set), None
    _require_own_folder(folder)
    try:
        index = read_index(folder)
    except UserError as error:
        note(f"{str(error).splitlines()[0]} It is rewritten.")
    if index and index["source"] != source:
        note(f"{folder} was made from other images; it is rewritten.")
        index = None
    if shards is None:
        shards = len(index["shards"]) if index else default_shards(len(image_set))
    if index and len(index["shards"]) != shards:
        index = None
    for path in folder.glob(".partial-*"):  # of a run that was killed
        path.unlink()
    names = [f"shard-{shard:05d}-of-{shards:05d}.tfrecord" for shard in range(shards)]
    parts = [_known(folder, names, shard, index, source) for shard in range(shards)]
    if index and all(parts):
        print(f"{folder} is complete: {len(image_set)} images in {shards} shards, nothing to do.")
        return with_index(image_set, folder, index)
    # The index is removed first, so that a partial set is never accepted.
    (folder / INDEX).unlink(missing_ok=True)
    line = ProgressLine()
    for shard, name in enumerate(names):
        if parts[shard] is None:
            rows = _write_shard(
                folder / name, image_set, range(shard, len(image_set), shards), line
            )
            parts[shard] = {"source": source, "shard": _file_info(folder / name), "images": rows}
        # Also for shards that only the removed index described.
        write_json(_beside(folder / name), parts[shard])
    images = [
        {"name": name, **parts[number % shards]["images"][number // shards]}
        for number, name in enumerate(image_set.names)
    ]
    index = {
        "format": FORMAT,
        "dataset": image_set.name,
        "split": image_set.split,
        "channels": image_set.channels,
        "source": source,
        "paired": image_set.noisy(0) is not None,
        "shards": [part["shard"] for part in parts],
        "images": [{**row, "shard": number % shards} for number, row in enumerate(images)],
    }
    write_json(folder / INDEX, index)
    for path in [*folder.glob("shard-*.tfrecord"), *folder.glob("shard-*.json")]:
        if path.with_suffix(".tfrecord").name not in names and _SHARD.fullmatch(path.stem):
            path.unlink()
    line.show(f"{folder}: {len(images)} images in {shards} shards", force=True)
    line.end()
    return with_index(image_set, folder, index)


def _beside(path: Path) -> Path:
    return path.with_suffix(".json")


def _file_info(path: Path) -> dict:
    return {"file": path.name, "bytes": path.stat().st_size, "sha256": sha256_of(path)}


def _known(folder: Path, names: list[str], shard: int, index: dict | None, source: str):
    """Returns the rows of a complete shard, from the index or the file beside it, or `None`."""
    path = folder / names[shard]
    if index:
        rows = index["images"][shard :: len(names)]
        rows = [{key: row[key] for key in ("height", "width", "offset")} for row in rows]
        part = {"source": source, "shard": index["shards"][shard], "images": rows}
    else:
        try:
            part = json.loads(_beside(path).read_text("utf-8"))
        except (OSError, ValueError):
            return None
    if part.get("source") != source or not path.is_file():
        return None
    found = _file_info(path)
    if found != part["shard"]:
        note(
            f"{path} is damaged: expected {part['shard']['bytes']} bytes with sha256 "
            f"{part['shard']['sha256'][:12]}…, found {found['bytes']} bytes with sha256 "
            f"{found['sha256'][:12]}…. It is rewritten."
        )
        return None
    return part


def _decoded(image_set: ImageSet, numbers: range) -> Iterator[tuple[int, list[np.ndarray]]]:
    """Yields number and pixels of images: the clean one, and the noisy one if there is one."""

    def decode(number):
        clean, noisy = image_set.load(number), image_set.noisy(number)
        if noisy is not None and noisy.shape != clean.shape:
            raise UserError(
                f"{image_set.names[number]} of {image_set.name}: the noisy image has shape "
                f"{noisy.shape} and the clean one {clean.shape}.\n"
                "Expected two aligned images of equal size."
            )
        return [clean] if noisy is None else [clean, noisy]

    with ThreadPoolExecutor(_DECODED_AT_ONCE) as threads:
        for start in range(0, len(numbers), _DECODED_AT_ONCE):
            some = numbers[start : start + _DECODED_AT_ONCE]
            yield from zip(some, threads.map(decode, some), strict=True)


def _write_shard(path: Path, image_set: ImageSet, numbers: range, line: ProgressLine) -> list[dict]:
    """Writes one shard; returns the height, width and offset of its images."""
    try:
        with quiet_native_logs():
            import tensorflow as tf
    except ImportError as error:
        raise UserError(
            "writing prepared shards needs TensorFlow, which is not installed (reading them does "
            f"not).\nInstall it ({install_command('tensorflow')}), or run python -m datasets "
            "prepare on a machine that has it."
        ) from error
    rows, position = [], 0
    try:
        with atomic_path(path) as temporary, tf.io.TFRecordWriter(str(temporary)) as writer:
            for number, (image, *noisy) in _decoded(image_set, numbers):
                refuse_test_image(image, image_set.paths[number])
                height, width, channels = image.shape
                pixels = b"".join(each.tobytes() for each in (image, *noisy))
                writer.write(HEADER.pack(number, height, width, channels) + pixels)
                offset = position + BEFORE_RECORD + HEADER.size
                rows.append({"height": height, "width": width, "offset": offset})
                position = offset + len(pixels) + AFTER_RECORD
                line.show(f"preparing {image_set.name}: image {number} done, {path.name}")
    except tf.errors.OpError as error:
        raise UserError(f"{path} cannot be written: {error.message}") from error
    return rows


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Makes the folder and locks it; removes it again if nothing was written."""
    lock = FileLock(folder / _LOCK, preserve_lock_file=True)
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire()
            break
        except FileNotFoundError:
            continue  # Another process removed the folder just now.
    try:
        yield
    finally:
        if os.listdir(folder) == [_LOCK]:
            (folder / _LOCK).unlink()
            with contextlib.suppress(OSError):  # A waiting process has recreated it.
                folder.rmdir()
        lock.release()
