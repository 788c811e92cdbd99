"""Reads, lists and writes files: local ones like `gradnet denoise`, others through Beam."""

import os
import posixpath
import uuid
from collections.abc import Callable

from gradnet_tf.batch.batch_names import is_local
from gradnet_tf.images.photo_files import read_bytes
from gradnet_tf.utils.files import write_file


def list_files(pattern: str) -> list[str]:
    """Returns the paths of all files that match a Beam pattern."""
    from apache_beam.io.filesystems import FileSystems

    (result,) = FileSystems.match([pattern])
    return [metadata.path for metadata in result.metadata_list]


def unlisted(base: str) -> list[str]:
    """Returns what Beam leaves out below a local folder without a word.

    These are links that lead nowhere, and `FOLDER/*` for each folder that cannot be read.
    """
    found: list[str] = []

    def unreadable(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            found.append(f"{error.filename.rstrip('/')}/*")

    for place, _, files in os.walk(base, onerror=unreadable):
        paths = (posixpath.join(place, name) for name in files)
        found += [path for path in paths if not os.path.exists(path)]
    return found


def exists(path: str) -> bool:
    """Whether a file exists; a link counts, wherever it leads."""
    if is_local(path):
        return os.path.lexists(path)
    from apache_beam.io.filesystems import FileSystems

    return FileSystems.exists(path)


def read(path: str) -> bytes:
    """Returns the content of a file.

    Raises:
        Exception: any kind, depending on the storage.
    """
    if is_local(path):
        return read_bytes(path)
    from apache_beam.io.filesystem import CompressionTypes
    from apache_beam.io.filesystems import FileSystems

    with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        return file.read()


def write(
    path: str, data: bytes, kind: str, before_replacing: Callable[[], None] | None = None
) -> None:
    """Writes a file atomically: to a temporary file, which is then renamed.

    Args:
        path: where to write; missing folders are created.
        data: content of the file.
        kind: media type for object stores, such as "image/png".
        before_replacing: called right before the renaming; if it raises, `path` is not changed.

    Raises:
        Exception: any kind, depending on the storage.
    """
    if is_local(path):
        write_file(path, data, before_replacing)
        return
    from apache_beam.io.filesystem import CompressionTypes
    from apache_beam.io.filesystems import FileSystems

    folder, name = posixpath.split(path)
    # The leading dot keeps our patterns from matching the temporary file.
    temporary = f"{folder}/.partial-{uuid.uuid4().hex}-{name}"
    try:
        with FileSystems.create(temporary, kind, CompressionTypes.UNCOMPRESSED) as file:
            file.write(data)
        if before_replacing:
            before_replacing()
        FileSystems.rename([temporary], [path])
    except BaseException:
        _remove(temporary)
        raise


def _remove(path: str) -> None:
    from apache_beam.io.filesystems import FileSystems

    try:
        FileSystems.delete([path])
    except Exception:  # noqa: S110  The original error matters more.
        pass
