"""TensorFlow Datasets of the sets: one folder-shaped builder, a config for each row of facts.

    from datasets.shards.tfds_builder import open_tfds
    builder = open_tfds("polyu", data_dir="DATA", prepared_dir="PREPARED")
    for example in builder.as_dataset(split="test"):
        example["name"], example["noisy"], example["clean"]

Nothing is downloaded: the originals are read from `data_dir` through the project's one decoder and
kept as PNG in TFRecord files, which serve `as_dataset` (not `as_data_source`). Training and
evaluation do not need this; it is for those who build on TFDS.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import tensorflow_datasets as tfds

from datasets.sets.bsds500 import refuse_test_image
from datasets.sets.catalog import FACTS, find_dataset, get_facts
from datasets.sets.image_set import DatasetFacts, ImageSet
from gradnet_tf.utils.errors import UserError

# TFDS keeps `all` for itself, and splits that overlap would be stored twice.
_SPLITS = ("train", "validation", "test")


class SetConfig(tfds.core.BuilderConfig):
    """The config of one set; `facts` is its row."""

    @property
    def facts(self) -> DatasetFacts:
        """The set's row of facts."""
        return FACTS[self.name]


class DenoisingImages(tfds.core.GeneratorBasedBuilder):
    """Clean images, and really noisy ones where a set has them."""

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = [
        SetConfig(name=facts.name, description=facts.title) for facts in FACTS.values()
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = "Give the folder of the originals; see docs/datasets.md."

    def _info(self) -> tfds.core.DatasetInfo:
        facts = self.builder_config.facts
        image = tfds.features.Image(shape=(None, None, facts.channels), encoding_format="png")
        features = {"name": tfds.features.Text()}
        if any(split not in facts.without_clean for split in _used_splits(facts)):
            features["clean"] = image
        if facts.protocol.noise == "real":
            features["noisy"] = image
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(features),
            description=f"{facts.title}: {facts.origin}. Terms: {facts.terms or 'yours'}.",
            citation=facts.citation or None,
        )

    def _split_generators(self, dl_manager) -> dict[str, Iterator]:
        facts = self.builder_config.facts
        found = {}
        for split in _used_splits(facts):
            try:
                found[split] = find_dataset(facts.name, dl_manager.manual_dir, split)
            except UserError:
                # Your own folder need not have a test folder.
                if not (facts.is_own and split == "test"):
                    raise
        return {split: self._generate_examples(images) for split, images in found.items()}

    def _generate_examples(self, images: ImageSet) -> Iterator[tuple[str, dict]]:
        for index, name in enumerate(images.names):
            example = {"name": name}
            if "clean" in self.info.features:
                example["clean"] = images.load(index)
                if images.facts.training_split:
                    refuse_test_image(example["clean"], images.paths[index])
            if "noisy" in self.info.features:
                example["noisy"] = images.noisy(index)
            yield name, example


def _used_splits(facts: DatasetFacts) -> list[str]:
    """Returns the splits that TFDS gets: those that do not overlap, else the first."""
    return [split for split in _SPLITS if split in facts.splits] or [facts.splits[0]]


def open_tfds(
    name: str, data_dir: str | os.PathLike | None, prepared_dir: str | os.PathLike
) -> tfds.core.DatasetBuilder:
    """Opens a set as a TFDS builder; prepares it first where that was not done.

    Prepared files are kept even if the originals change: delete the folder to
    prepare again. An interrupted preparation leaves nothing and starts again.

    Args:
        name: a name or alias of `datasets.sets.catalog`.
        data_dir: the originals, as in `find_dataset`.
        prepared_dir: what TFDS calls `data_dir`; gets denoising_images/<name>.

    Raises:
        UserError: when the images are not found or one cannot be read.
    """
    facts = get_facts(name)
    builder = DenoisingImages(config=facts.name, data_dir=prepared_dir, file_format="tfrecord")
    if not Path(builder.data_dir).is_dir():
        # Before TFDS makes its folders; it looks for the set again by itself.
        find_dataset(facts.name, data_dir, _used_splits(facts)[0])
        Path(prepared_dir).mkdir(parents=True, exist_ok=True)
        manual = tfds.download.DownloadConfig(manual_dir=os.fspath(data_dir or prepared_dir))
        builder.download_and_prepare(download_config=manual)
    return builder
