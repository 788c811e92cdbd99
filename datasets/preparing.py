"""Prepares a set by its name: what both `python -m datasets prepare` and `.prepare` do."""

from datasets.resolve import find_training_sets
from gradnet_tf.errors import UserError


def prepare_named(
    dataset: str,
    data_dir: str | None,
    prepared_dir: str | None,
    split: str | None = None,
    channels: int = 3,
    shards: int | None = None,
) -> None:
    """Finds the images, writes the shards, says where they are.

    Raises:
        UserError: for a set that is not trained on, and as `find_training_sets`
            and `prepare` do.
    """
    if not prepared_dir:
        raise UserError("--prepared_dir is missing; expected a folder for the shards.")
    images, _ = find_training_sets(dataset, data_dir, channels)
    if split not in (None, images.split):
        raise UserError(
            f"only images to train on are prepared: `split` must be {images.split}. "
            f"Received: split={split}"
        )
    from datasets.shard_writer import prepare

    prepared = prepare(images, prepared_dir, shards)
    size = sum(shard["bytes"] for shard in prepared.index["shards"])
    print(f"{len(prepared)} images, {size / 1e6:.1f} MB: {prepared.folder}")
