"""Reads, lists and writes files: local ones as `gradnet denoise` does, others through Beam."""

import os
import posixpath
import uuid

from gradnet_tf.batch.batch_names import is_local
from gradnet_tf.images.image_files import read_bytes
from gradnet_tf.utils.files import write_file


def list_files(pattern: str) -> list[str]:
    """Returns the paths of all files that match a pattern in Beam's language."""
    from apache_beam.io.filesystems import FileSystems

    (result,) = FileSystems.match([pattern])
    return [metadata.path for metadata in result.metadata_list]


def exists(path: str) -> bool:
    """Whether there is such a file."""
    if is_local(path):
        return os.path.exists(path)
    from apache_beam.io.filesystems import FileSystems

    return FileSystems.exists(path)


def read(path: str) -> bytes:
    """Returns a whole file.

    Raises:
        Exception: of any kind: each store has its own.
    """
    if is_local(path):
        return read_bytes(path)
    from apache_beam.io.filesystem import CompressionTypes
    from apache_beam.io.filesystems import FileSystems

    with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        return file.read()


def write(path: str, data: bytes, kind: str) -> None:
    """Writes a file, whole or not at all: under a name of its own beside it, then renamed.

    Args:
        path: where; folders are made.
        data: the file.
        kind: its media type, which object stores keep, such as "image/png".

    Raises:
        Exception: of any kind.
    """
    if is_local(path):
        write_file(path, data)
        return
    from apache_beam.io.filesystem import CompressionTypes
    from apache_beam.io.filesystems import FileSystems

    folder, name = posixpath.split(path)
    # A leading dot: no pattern and no listing of ours takes it for a photograph.
    temporary = f"{folder}/.partial-{uuid.uuid4().hex}-{name}"
    try:
        with FileSystems.create(temporary, kind, CompressionTypes.UNCOMPRESSED) as file:
            file.write(data)
        FileSystems.rename([temporary], [path])
    except BaseException:
        _remove(temporary)
        raise


def _remove(path: str) -> None:
    from apache_beam.io.filesystems import FileSystems

    try:
        FileSystems.delete([path])
    except Exception:  # noqa: S110  The error that led here is the one to tell.
        pass
