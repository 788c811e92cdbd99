"""A store without folders behind the scheme `memory://`, as Beam sees S3 or Cloud Storage."""

import io

from apache_beam.io.filesystem import BeamIOError, FileMetadata, FileSystem

#: Path to content, of this process.
FILES: dict[str, bytes] = {}
#: What was done, as (what, path).
CALLS: list[tuple[str, str]] = []


class _Writer(io.BytesIO):
    """Shows the object when it is closed, as stores do, not before."""

    def __init__(self, path):
        super().__init__()
        self._path = path

    def close(self):
        if not self.closed:
            FILES[self._path] = self.getvalue()
        super().close()


class MemoryFileSystem(FileSystem):
    """Found by Beam as every subclass of its `FileSystem` is."""

    @classmethod
    def scheme(cls):
        return "memory"

    def join(self, basepath, *paths):
        return "/".join([basepath.rstrip("/"), *paths])

    def split(self, path):
        head, _, tail = path.rpartition("/")
        return head, tail

    def mkdirs(self, path):
        pass

    def has_dirs(self):
        return False

    def _list(self, dir_or_prefix):
        for path in sorted(FILES):
            if path.startswith(dir_or_prefix):
                yield self.metadata(path)

    def create(self, path, mime_type="application/octet-stream", compression_type="auto"):
        CALLS.append((f"create {mime_type}", path))
        return _Writer(path)

    def open(self, path, mime_type="application/octet-stream", compression_type="auto"):
        if path not in FILES:
            raise BeamIOError(f"no such object {path}")
        return io.BytesIO(FILES[path])

    def copy(self, source_file_names, destination_file_names):
        for source, target in zip(source_file_names, destination_file_names, strict=True):
            FILES[target] = FILES[source]

    def rename(self, source_file_names, destination_file_names):
        for source, target in zip(source_file_names, destination_file_names, strict=True):
            CALLS.append(("rename", target))
            FILES[target] = FILES.pop(source)

    def exists(self, path):
        return path in FILES or any(name.startswith(path.rstrip("/") + "/") for name in FILES)

    def size(self, path):
        return len(FILES[path])

    def last_updated(self, path):
        return 0.0

    def checksum(self, path):
        return str(hash(FILES[path]))

    def metadata(self, path):
        return FileMetadata(path, len(FILES[path]), 0.0)

    def delete(self, paths):
        for path in paths:
            for name in [name for name in FILES if name == path or name.startswith(path + "/")]:
                del FILES[name]
