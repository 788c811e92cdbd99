"""Prepares a set by its name: what `python -m datasets prepare` does."""

from datasets.pipeline.mixture import find_training_mixture, parts_of
from gradnet_tf.utils.errors import UserError


def prepare_named(
    dataset: str,
    data_dir: str | None,
    prepared_dir: str | None,
    split: str | None = None,
    channels: int = 3,
    shards: int | None = None,
) -> None:
    """Finds the images, writes the shards of each set, says where they are.

    Args:
        dataset: one set, or several as `train.py --dataset` takes them.
        data_dir: as in `find_dataset`.
        prepared_dir: where the folders of shards are made.
        split: `None`, or the name of the training split.
        channels: 3 or 1.
        shards: number of files of a set.

    Raises:
        UserError: for a set that is not trained on, and as `find_training_mixture`
            and `prepare` do.
    """
    if not prepared_dir:
        raise UserError("--prepared_dir is missing; expected a folder for the shards.")
    images, _ = find_training_mixture(dataset, data_dir, channels)
    for part in parts_of(images):
        if split not in (None, part.split):
            raise UserError(
                f"only images to train on are prepared: `split` must be {part.split}. "
                f"Received: split={split}"
            )
    from datasets.shards.shard_writer import prepare

    for part in parts_of(images):
        prepared = prepare(part, prepared_dir, shards)
        size = sum(shard["bytes"] for shard in prepared.index["shards"])
        print(f"{len(prepared)} images, {size / 1e6:.1f} MB: {prepared.folder}")
