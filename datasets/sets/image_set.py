"""A set of images: what is known about it, and its images, decoded when asked for."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np

from gradnet_tf.images.image_files import read_image, to_float, to_gray
from gradnet_tf.utils.errors import UserError


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How a set is scored, so that numbers can be compared with published ones.

    Attributes:
        split: which images, in words.
        crop: what of each image is scored.
        clipping: what is clipped to [0, 1], and when.
        rounding: what is rounded to 8 bits, and when.
        colour_space: what the scores are taken in.
        noise: `AWGN` (made here) or `real` (photographed).
        compares_with: the published table that the scores stand beside.
    """

    split: str = "all images"
    crop: str = "whole images"
    clipping: str = "noisy input not clipped, output clipped"
    rounding: str = "none"
    colour_space: str = "RGB"
    noise: str = "AWGN"
    compares_with: str = "none"


#: How sets are scored that serve training alone.
FOR_TRAINING = "none; for training and for choosing checkpoints"
#: The splits of a set that is trained on, and whose checkpoints are chosen on `validation`.
TRAINABLE = {
    "evaluation_split": "validation",
    "training_split": "train",
    "validation_split": "validation",
}


@dataclasses.dataclass(frozen=True)
class DatasetFacts:
    """The facts of one set.

    Attributes:
        name: the name on the command line.
        title: the name in tables.
        find: finds its files; see `Find`.
        aliases: further folder names under `--data_dir`, whatever their case.
        colour: True for RGB, False for grey, None for whatever the files are.
        splits: the splits that can be asked for.
        evaluation_split: the split that `evaluate.py` takes by default.
        training_split: the split to train on; None for a set that is for tests only.
        validation_split: the split to choose checkpoints on, None as above.
        counts: number of images by split; empty when it depends on the user's files.
        pattern: regular expression that the file names match, so that a
            folder of another name can be recognised.
        recursive: whether images in folders below belong to the set.
        split_folders: for `folder_sets.find_split` the subfolders that a split may lie in.
        protocol: how it is scored where scores are published.
        split_protocols: the same for splits that are scored in a way of their own.
        without_clean: the splits whose images have no clean partner to score against.
        refused_splits: names that a person may expect among `splits`, and why they are not there.
        origin: where the images come from.
        terms: the terms of use, as far as they are stated.
        citation: what to cite.
        how_to_get: what a person does to obtain the images.
    """

    name: str
    title: str
    find: "Find"
    aliases: tuple[str, ...] = ()
    colour: bool | None = True
    splits: tuple[str, ...] = ("test",)
    evaluation_split: str = "test"
    training_split: str | None = None
    validation_split: str | None = None
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
        """Returns how a split is scored."""
        return self.split_protocols.get(split, self.protocol)

    @property
    def role(self) -> str:
        """Says `train` for sets with a training split and `test` for the others."""
        return "test" if self.training_split is None else "train"

    @property
    def is_own(self) -> bool:
        """Whether the images are a person's own, so that nothing was published about them."""
        return not self.citation

    @property
    def channels(self) -> int:
        """The number of channels that images are read with unless asked otherwise."""
        return 1 if self.colour is False else 3


@dataclasses.dataclass(frozen=True)
class ImageSet:
    """Images of one split of one set.

    Attributes:
        name: the set's name, for example `cbsd68`.
        split: the split's name.
        names: file names, in byte order; relative to the split's folder.
        paths: the files, in the order of `names`.
        channels: 3 or 1; what `load` returns, whatever the files hold.
        facts: the set's row of facts.
        available: number of images before the set was cut to its first ones; `None`: it was not.
    """

    name: str
    split: str
    names: list[str]
    paths: list[Path]
    channels: int
    facts: DatasetFacts
    available: int | None = dataclasses.field(default=None, kw_only=True)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def has_clean(self) -> bool:
        """Whether `load` works; without clean images there is only `noisy`."""
        return self.split not in self.facts.without_clean

    def load(self, index: int) -> np.ndarray:
        """Decodes one clean image: uint8 [H, W, `channels`], RGB order.

        Raises:
            UserError: when the file cannot be read, the message names it; or
                when the split has no clean images.
        """
        if not self.has_clean:
            raise UserError(f"{self.facts.title} {self.split} has no clean images to load.")
        return read_image(self.paths[index], self.channels)

    def clean(self, index: int) -> np.ndarray:
        """Returns the image to score against, float32 in [0, 1]; by default `load` converted."""
        return to_float(self.load(index))

    def noisy(self, index: int) -> np.ndarray | None:
        """Returns the noisy photograph of a clean one; None if the noise is synthetic.

        Of a split without clean images it is the image itself. uint8 like `load`.
        """
        return None if self.has_clean else read_image(self.paths[index], self.channels)

    def original(self, index: int) -> np.ndarray | None:
        """Returns the image that `load` modifies, for the leak guard; None if it modifies none."""
        return None

    def sources(self, index: int) -> tuple[Path, ...]:
        """Returns every file from which image `index` and its noisy partner are read."""
        return (self.paths[index],)

    def first(self, count: int | None) -> "ImageSet":
        """Returns the set cut to its first `count` names; None keeps all.

        Raises:
            UserError: when `count` is below 1.
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


#: `find(facts, data_dir, split, channels)` returns an `ImageSet` whose files were found; it decodes
#: nothing. `data_dir` is `--data_dir` as given or None, `split` one of the set's, `channels` 3 or
#: 1. It raises a `UserError` that says what was looked for and how to get it.
Find = Callable[[DatasetFacts, str | Path | None, str, int], ImageSet]


def as_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """Returns a contiguous uint8 RGB image [H, W, 3] with 3 channels or as luma with 1."""
    image = np.ascontiguousarray(image)
    return to_gray(image) if channels == 1 else image
