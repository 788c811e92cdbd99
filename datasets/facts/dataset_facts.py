"""The shape of a row of facts: what is known of a set of images, and how it is scored."""

import dataclasses


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


@dataclasses.dataclass(frozen=True)
class DatasetFacts:
    """The facts of one set.

    Attributes:
        name: the name on the command line.
        title: the name in tables.
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
        layout: how its files lie, a key of `datasets.layouts.LAYOUTS`.
        split_folders: for the layout `split_folders` the subfolders that a split may lie in.
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
    aliases: tuple[str, ...] = ()
    colour: bool | None = True
    splits: tuple[str, ...] = ("test",)
    evaluation_split: str = "test"
    training_split: str | None = None
    validation_split: str | None = None
    counts: dict[str, int] = dataclasses.field(default_factory=dict)
    pattern: str = ".*"
    recursive: bool = False
    layout: str = "flat"
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
