r"""Decodes the training images of a set once, into shards that training maps into memory.

Example:
  python -m datasets.prepare --dataset=bsds500 --data_dir=DATA --prepared_dir=PREPARED
  python train.py --dataset=bsds500 --data_dir=DATA --prepared_dir=PREPARED ...
The same command again checks every shard's sha256 and writes what is missing or damaged.
"""

from absl import flags

from gradnet_tf.command import run_script
from gradnet_tf.errors import UserError

FLAGS = flags.FLAGS

flags.DEFINE_string("dataset", "sample", "training set: bsds500, folder or sample")
flags.DEFINE_string("data_dir", None, "folder that holds the data set, or the set's parent")
flags.DEFINE_string("prepared_dir", None, "folder to make the set's folder of shards in")
flags.DEFINE_string("split", None, "the set's training split and nothing else (default)")
flags.DEFINE_integer("channels", 3, "3 for RGB, 1 for grey")
flags.DEFINE_integer("shards", None, "number of files (default: by the number of images)")


def main() -> None:
    """Finds the images, writes the shards, says where they are."""
    from datasets.resolve import find_training_sets
    from datasets.shard_writer import prepare

    if not FLAGS.prepared_dir:
        raise UserError("--prepared_dir is missing; expected a folder for the shards.")
    images, _ = find_training_sets(FLAGS.dataset, FLAGS.data_dir, FLAGS.channels)
    if FLAGS.split not in (None, images.split):
        raise UserError(
            f"only images to train on are prepared: `split` must be {images.split}. "
            f"Received: split={FLAGS.split}"
        )
    prepared = prepare(images, FLAGS.prepared_dir, FLAGS.shards)
    size = sum(shard["bytes"] for shard in prepared.index["shards"])
    print(f"{len(prepared)} images, {size / 1e6:.1f} MB: {prepared.folder}")


if __name__ == "__main__":
    run_script(main, __doc__)
