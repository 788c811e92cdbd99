"""Prepared images: decoded once into TFRecord files, read by offset (NumPy only).

P/<dataset>_<split>_<channels>/ contains `shard-00000-of-0000N.tfrecord` and `index.json`. A record
is a header (image number, height, width, channels as little-endian int32) and the pixels as
uint8; if the set has noisy partners, their pixels follow the clean ones. The index has the offset
of every image, so that a memory map finds it: nothing is decoded, only requested images are read,
and processes share the pages. Image i is in shard i mod N, which separates consecutive images,
because these are often similar.
"""

import dataclasses
import functools
import hashlib
import os
import struct
from pathlib import Path

import numpy as np

from datasets.sets.image_set import ImageSet
from gradnet_tf.utils.containers import read_json
from gradnet_tf.utils.errors import UserError

FORMAT = 1
INDEX = "index.json"
_MOST_INDEX = 2**28
_PIECE = 2**14
HEADER = struct.Struct("<4i")
# TFRecord: length (8 bytes), checksum of the length (4), the record, its checksum (4).
BEFORE_RECORD, AFTER_RECORD = 12, 4


@dataclasses.dataclass(frozen=True)
class PreparedSet(ImageSet):
    """An `ImageSet` whose pixels come from shards.

    Attributes:
        folder: the folder of the shards.
        index: the content of index.json.
    """

    folder: Path
    index: dict

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """Height and width of every image."""
        return [(row["height"], row["width"]) for row in self.index["images"][: len(self)]]

    @property
    def files(self) -> list[Path]:
        """The shards, in order."""
        return [self.folder / shard["file"] for shard in self.index["shards"]]

    @functools.cached_property
    def _maps(self) -> dict[int, np.ndarray]:
        return {}

    @property
    def paired(self) -> bool:
        """Whether noisy partners were prepared too."""
        return bool(self.index.get("paired"))

    def load(self, index: int) -> np.ndarray:
        """Returns one image as a view of its shard: uint8 [H, W, `channels`], read-only.

        Raises:
            UserError: if the shard does not contain the image at its offset.
        """
        return self._pixels(index, 0)

    def noisy(self, index: int) -> np.ndarray | None:
        """Returns the noisy partner, like `load`; None if the set has none."""
        return self._pixels(index, 1) if self.paired else None

    def _pixels(self, index: int, place: int) -> np.ndarray:
        """Returns the clean pixels (`place` 0) or the noisy ones that follow them (1)."""
        row = self.index["images"][index]
        shard, end = row["shard"], row["offset"]
        if shard not in self._maps:
            # A plain array: slices of np.memmap cost more than the slicing.
            self._maps[shard] = np.asarray(np.memmap(self.files[shard], np.uint8, "r"))
        pixels = self._maps[shard]
        shape = (row["height"], row["width"], self.channels)
        header = pixels[end - HEADER.size : end].tobytes()
        if header != HEADER.pack(index, *shape):
            raise UserError(
                f"{self.files[shard]} is damaged: expected image {index} of shape {shape} at byte "
                f"{end}.\n{how_to_mend(self)}"
            )
        size = shape[0] * shape[1] * shape[2]
        return pixels[end + place * size : end + (place + 1) * size].reshape(shape)


def prepared_folder(image_set: ImageSet, prepared_dir: str | os.PathLike) -> Path:
    """Returns the folder of a set's shards below `prepared_dir`, absolute."""
    name = f"{image_set.name}_{image_set.split}_{image_set.channels}"
    return Path(prepared_dir).expanduser().absolute() / name


def source_of(image_set: ImageSet) -> str:
    """Returns a fingerprint of the files: sha256 of their names, sizes and content, in order.

    Of a file that is larger than three pieces of `_PIECE` bytes it is that of its begin, its
    middle and its end, since a set may have many gigabytes.
    """
    digest = hashlib.sha256()
    for index, name in enumerate(image_set.names):
        for path in image_set.sources(index):
            size = path.stat().st_size
            digest.update(f"{size} {name}\n".encode())
            with open(path, "rb") as file:
                if size <= 3 * _PIECE:
                    digest.update(file.read())
                    continue
                for start in (0, size // 2, size - _PIECE):
                    file.seek(start)
                    digest.update(file.read(_PIECE))
    return digest.hexdigest()


def how_to_mend(image_set: ImageSet) -> str:
    """Returns the last line of an error about shards."""
    return (
        f"Run python -m datasets prepare {image_set.name} --channels={image_set.channels} with the "
        "same --data_dir and --prepared_dir: it rewrites missing, damaged and outdated shards."
    )


def read_index(folder: Path) -> dict | None:
    """Reads index.json; `None` if there is none.

    Raises:
        UserError: if it is not an index of this format.
    """
    path = folder / INDEX
    try:
        index = read_json(path, _MOST_INDEX)
        known = index["format"] == FORMAT
        for row in index["images"]:
            _ = row["name"], row["height"], row["width"], row["shard"], row["offset"]
        for row in index["shards"]:
            _ = row["file"], row["bytes"], row["sha256"]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} cannot be read ({type(error).__name__}: {error}).\n"
            "Expected the index that python -m datasets prepare writes; delete it and run that "
            "command again."
        ) from error
    if not known:
        raise UserError(
            f"{path} has format {index['format']!r}; expected {FORMAT}.\n"
            "Delete it and run python -m datasets prepare again."
        )
    return index


def _check_shard(path: Path, num_bytes: int, image_set: ImageSet) -> None:
    """Checks that a shard exists and has its size, without reading its content."""
    try:
        size = path.stat().st_size
    except OSError as error:
        raise UserError(
            f"{path} cannot be read: {error.strerror}.\n{how_to_mend(image_set)}"
        ) from error
    if size != num_bytes:
        raise UserError(
            f"{path} is damaged: expected {num_bytes} bytes, found {size}.\n"
            f"{how_to_mend(image_set)}"
        )


def open_prepared(image_set: ImageSet, prepared_dir: str | os.PathLike) -> PreparedSet | None:
    """Opens the shards of a set; `None` if they do not exist yet.

    Checks the names and sizes of the source files and the size of every shard. The header of an
    image is checked when it is read, and sha256 by `python -m datasets prepare`.

    Raises:
        UserError: if the shards are of other images, or damaged.
    """
    folder = prepared_folder(image_set, prepared_dir)
    index = read_index(folder)
    if index is None:
        return None
    if index["source"] != source_of(image_set):
        raise UserError(
            f"{folder} was made from other images than those in the folder now: expected the names "
            f"and sizes of its {len(index['images'])} files, found {len(image_set)} files.\n"
            f"{how_to_mend(image_set)}"
        )
    prepared = with_index(image_set, folder, index)
    for path, shard in zip(prepared.files, index["shards"], strict=True):
        _check_shard(path, shard["bytes"], image_set)
    return prepared


def with_index(image_set: ImageSet, folder: Path, index: dict) -> PreparedSet:
    """Returns `image_set` reading its pixels from the shards that `index` describes."""
    fields = {field.name: getattr(image_set, field.name) for field in dataclasses.fields(ImageSet)}
    return PreparedSet(**fields, folder=folder, index=index)
