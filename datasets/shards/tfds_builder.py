"""The sets as TensorFlow Datasets: one builder with a config for each set.

    from datasets.shards.tfds_builder import open_tfds
    builder = open_tfds("polyu", data_dir="DATA", prepared_dir="PREPARED")
    for example in builder.as_dataset(split="test"):
        example["name"], example["noisy"], example["clean"]

No two splits share a picture: splits that contain others are left out, and so are splits whose
files are not there. Nothing is downloaded: the originals are read from `data_dir` with the
project's decoder and stored as PNG in TFRecord files, which support `as_dataset` (not
`as_data_source`). Training and evaluation do not need this; it is for users of TFDS.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import tensorflow_datasets as tfds

from datasets.sets.bsds500 import refuse_test_image
from datasets.sets.catalog import DATASETS, find_dataset, get_info
from datasets.sets.image_set import DatasetInfo, ImageSet
from gradnet_tf.utils.console import note
from gradnet_tf.utils.errors import UserError


class SetConfig(tfds.core.BuilderConfig):
    """The config of one set."""

    @property
    def info(self) -> DatasetInfo:
        """The description of the set."""
        return DATASETS[self.name]


class DenoisingImages(tfds.core.GeneratorBasedBuilder):
    """Clean images, and real noisy ones if a set has them."""

    # 2: the splits share no picture; train of nyuv2 contained validation.
    VERSION = tfds.core.Version("2.0.0")
    BUILDER_CONFIGS = [
        SetConfig(name=info.name, description=info.title) for info in DATASETS.values()
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = "Give the folder of the originals; see docs/datasets.md."

    def _info(self) -> tfds.core.DatasetInfo:
        info = self.builder_config.info
        image = tfds.features.Image(shape=(None, None, info.channels), encoding_format="png")
        features = {"name": tfds.features.Text()}
        if any(split not in info.without_clean for split in _used_splits(info)):
            features["clean"] = image
        if info.protocol.noise == "real":
            features["noisy"] = image
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(features),
            description=f"{info.title}: {info.origin}. Terms: {info.terms or 'yours'}.",
            citation=info.citation or None,
        )

    def _split_generators(self, dl_manager) -> dict[str, Iterator]:
        info = self.builder_config.info
        found = _found_splits(info, dl_manager.manual_dir)
        return {split: self._generate_examples(images) for split, images in found.items()}

    def _generate_examples(self, images: ImageSet) -> Iterator[tuple[str, dict]]:
        for index, name in enumerate(images.names):
            example = {"name": name}
            if "clean" in self.info.features:
                example["clean"] = images.load(index)
                if images.info.training_split:
                    refuse_test_image(example["clean"], images.paths[index])
            if "noisy" in self.info.features:
                example["noisy"] = images.noisy(index)
            yield name, example


def _used_splits(info: DatasetInfo) -> list[str]:
    """Returns the splits for TFDS: none contains pictures of another.

    Splits without clean images are only used for sets that have no others.
    """
    apart = [split for split in info.splits if split not in info.unions]
    return [split for split in apart if split not in info.without_clean] or apart


def _found_splits(info: DatasetInfo, data_dir) -> dict[str, ImageSet]:
    """Returns the splits whose files are there, by name.

    Raises:
        UserError: if there are none; says what is missing of the first.
    """
    found, missing = {}, []
    for split in _used_splits(info):
        try:
            found[split] = find_dataset(info.name, data_dir, split)
        except UserError as error:
            missing.append((split, error))
    if not found:
        raise missing[0][1]
    for split, error in missing:
        note(f"{info.name} {split} is left out: {str(error).splitlines()[0]}")
    return found


def open_tfds(
    name: str, data_dir: str | os.PathLike | None, prepared_dir: str | os.PathLike
) -> tfds.core.DatasetBuilder:
    """Opens a set as a TFDS builder, after preparing it if necessary.

    Prepared files are kept even if the originals change or splits are added: delete the folder to
    prepare again. An interrupted preparation leaves nothing behind. Afterwards `tfds.load` with
    `data_dir=prepared_dir` serves the set once this module is imported.

    Args:
        name: a name or alias of a set.
        data_dir: the originals, as in `find_dataset`.
        prepared_dir: the `data_dir` of TFDS; gets denoising_images/<name>.

    Raises:
        UserError: if the images are not found or one cannot be read.
    """
    info = get_info(name)
    builder = DenoisingImages(config=info.name, data_dir=prepared_dir, file_format="tfrecord")
    if not Path(builder.data_dir).is_dir():
        _found_splits(info, data_dir)  # raises before TFDS makes its folders
        Path(prepared_dir).mkdir(parents=True, exist_ok=True)
        manual = tfds.download.DownloadConfig(manual_dir=os.fspath(data_dir or prepared_dir))
        builder.download_and_prepare(download_config=manual)
    return builder
