"""Image sets: the description of a set, and access to its images, which are decoded on demand."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np

from gradnet_tf.images.image_files import read_image, to_float, to_gray
from gradnet_tf.utils.errors import UserError


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How a set is scored, in words, so that scores can be compared with published ones.

    `noise` is `AWGN` (added here) or `real` (photographed); `compares_with` names the published
    table. The field names are keys of metrics.json.
    """

    split: str = "all images"
    crop: str = "whole images"
    clipping: str = "noisy input not clipped, output clipped"
    rounding: str = "none"
    colour_space: str = "RGB"
    noise: str = "AWGN"
    compares_with: str = "none"


#: `Protocol.compares_with` of sets that are only for training.
FOR_TRAINING = "none; for training and for choosing checkpoints"
#: How a protocol differs for photographs with real noise.
REAL_NOISE = {"clipping": "noisy files as they are, output clipped", "noise": "real"}
#: The roles of the splits of a training set whose checkpoints are chosen on `validation`.
TRAINABLE = {
    "evaluation_split": "validation",
    "training_split": "train",
    "validation_split": "validation",
}
#: The splits of a folder that users arrange themselves.
OWN_SPLITS = {
    "color": None,
    "splits": ("all", "train", "validation", "test"),
    "unions": ("all",),
    **TRAINABLE,
    "evaluation_split": "all",
}


@dataclasses.dataclass(frozen=True)
class DatasetInfo:
    """The description of one set.

    Attributes:
        name: the name on the command line.
        title: the name in tables.
        find: finds its files; see `Find`.
        aliases: further folder names under `--data_dir`; case does not matter.
        color: True for RGB, False for gray, None if it depends on the files.
        splits: the available splits.
        evaluation_split: the default split of `evaluate.py`.
        training_split: the split to train on; None for a test set.
        validation_split: the split to choose checkpoints on; None for a test set.
        unions: splits that contain pictures of others; all other splits share none.
        counts: number of images by split; empty if it depends on the user's files.
        pattern: regular expression for the file names, to recognize a folder of another name.
        recursive: whether images in subfolders belong to the set.
        split_folders: candidate subfolders of each split, for `folder_sets.find_split`.
        protocol: how the set is scored.
        split_protocols: how individual splits are scored, where they differ.
        without_clean: the splits without clean images to score against.
        refused_splits: names that users may expect among `splits`, and why they are missing.
        origin: where the images come from.
        terms: the terms of use, as far as they are stated.
        citation: what to cite.
        how_to_get: how to obtain the images.
    """

    name: str
    title: str
    find: "Find"
    aliases: tuple[str, ...] = ()
    color: bool | None = True
    splits: tuple[str, ...] = ("test",)
    evaluation_split: str = "test"
    training_split: str | None = None
    validation_split: str | None = None
    unions: tuple[str, ...] = ()
    counts: dict[str, int] = dataclasses.field(default_factory=dict)
    pattern: str = ".*"
    recursive: bool = False
    split_folders: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    protocol: Protocol = Protocol()
    split_protocols: dict[str, Protocol] = dataclasses.field(default_factory=dict)
    without_clean: tuple[str, ...] = ()
    refused_splits: dict[str, str] = dataclasses.field(default_factory=dict)
    origin: str = ""
    terms: str = ""
    citation: str = ""
    how_to_get: str = ""

    def protocol_of(self, split: str) -> Protocol:
        """Returns the protocol of a split."""
        return self.split_protocols.get(split, self.protocol)

    @property
    def has_real_noise(self) -> bool:
        """Whether the set has noisy photographs, to which no noise is added: σ has no meaning."""
        return self.protocol.noise == REAL_NOISE["noise"]

    @property
    def test_split(self) -> str:
        """The split to score on after training on `training_split`; shares no picture with it."""
        if self.evaluation_split in self.unions and self.validation_split:
            return self.validation_split
        return self.evaluation_split

    @property
    def role(self) -> str:
        """`train` for sets with a training split, else `test`."""
        return "test" if self.training_split is None else "train"

    @property
    def is_own(self) -> bool:
        """Whether the images are the user's own, so that no published scores exist."""
        return not self.citation

    @property
    def channels(self) -> int:
        """The default number of channels to read images with."""
        return 1 if self.color is False else 3


@dataclasses.dataclass(frozen=True)
class ImageSet:
    """Images of one split of one set.

    Attributes:
        name: the set's name, for example `cbsd68`.
        split: the split's name.
        names: file names, in byte order; relative to the split's folder.
        paths: the files, in the order of `names`.
        channels: 3 or 1; `load` converts to it.
        info: the description of the set.
        available: number of images before `first` cut the set; `None` if it was not cut.
    """

    name: str
    split: str
    names: list[str]
    paths: list[Path]
    channels: int
    info: DatasetInfo
    available: int | None = dataclasses.field(default=None, kw_only=True)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def has_clean(self) -> bool:
        """Whether there are clean images for `load`; otherwise there is only `noisy`."""
        return self.split not in self.info.without_clean

    def load(self, index: int) -> np.ndarray:
        """Decodes one clean image: uint8 [H, W, `channels`], RGB order.

        Raises:
            UserError: if the file cannot be read, or the split has no clean images.
        """
        if not self.has_clean:
            raise UserError(f"{self.info.title} {self.split} has no clean images to load.")
        return read_image(self.paths[index], self.channels)

    def clean(self, index: int) -> np.ndarray:
        """Returns the image to score against, float32 in [0, 1]; by default `load` converted."""
        return to_float(self.load(index))

    def noisy(self, index: int) -> np.ndarray | None:
        """Returns the noisy photograph, uint8 like `load`; None if the noise is synthetic."""
        return None if self.has_clean else read_image(self.paths[index], self.channels)

    def original(self, index: int) -> np.ndarray | None:
        """Returns the image before `load` modifies it, for the leak guard; None if it does not."""
        return None

    def sources(self, index: int) -> tuple[Path, ...]:
        """Returns every file that image `index` and its noisy partner are read from."""
        return (self.paths[index],)

    def first(self, count: int | None) -> "ImageSet":
        """Returns the set cut to its first `count` names (None keeps all).

        Raises:
            UserError: if `count` is below 1.
        """
        if count is None:
            return self
        if count < 1:
            raise UserError(f"`max_images` must be at least 1. Received: max_images={count}")
        return dataclasses.replace(
            self,
            names=self.names[:count],
            paths=self.paths[:count],
            available=self.available or len(self.names),
        )


#: `find(info, data_dir, split, channels)` locates the files of a split and returns an `ImageSet`
#: without decoding any. `data_dir` is `--data_dir` as given, or None. Raises a `UserError` that
#: describes the search and how to get the set.
Find = Callable[[DatasetInfo, str | Path | None, str, int], ImageSet]


def as_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """Returns a contiguous uint8 RGB image [H, W, 3] with 3 channels or as luma with 1."""
    image = np.ascontiguousarray(image)
    return to_gray(image) if channels == 1 else image


def central_crop(image: np.ndarray, size: int) -> np.ndarray:
    """Returns the center of an image [H, W, C], at most `size` pixels a side."""
    height, width = (min(size, side) for side in image.shape[:2])
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return image[top : top + height, left : left + width]
