"""A named, ordered list of images that are decoded when asked for."""

import dataclasses
from pathlib import Path

import numpy as np

from datasets.facts.dataset_facts import DatasetFacts
from gradnet_tf.images.image_files import read_image, to_float
from gradnet_tf.utils.errors import UserError


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
        """Tells whether `load` works; without clean images there is `noisy` alone."""
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
        """Returns what is scored against: `load` as float32 in [0, 1], where nothing finer is."""
        return to_float(self.load(index))

    def noisy(self, index: int) -> np.ndarray | None:
        """Returns the noisy photograph that belongs to a clean one; None: noise is synthetic.

        Of a split without clean images it is the image itself. uint8 like `load`.
        """
        return None if self.has_clean else read_image(self.paths[index], self.channels)

    def original(self, index: int) -> np.ndarray | None:
        """Returns the image that `load` changes, for the leak guard; None: `load` changes none."""
        return None

    def sources(self, index: int) -> tuple[Path, ...]:
        """Returns every file that image `index` and its noisy partner come from."""
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
