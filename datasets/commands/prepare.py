r"""Decodes the training images of a set once, into shards that training maps into memory.

Example:
  python -m datasets.commands.prepare --dataset=bsds500 --data_dir=DATA --prepared_dir=PREPARED
  python train.py --dataset=bsds500 --data_dir=DATA --prepared_dir=PREPARED ...
`python -m datasets prepare bsds500 ...` is the same. The same command again checks every shard's
sha256 and writes what is missing or damaged.
"""

from absl import flags

from gradnet_tf.utils.command import run_script

FLAGS = flags.FLAGS

flags.DEFINE_string("dataset", "sample", "training set, or several as a,b: see train.py")
flags.DEFINE_string("data_dir", None, "folder that holds the data set, or the set's parent")
flags.DEFINE_string("prepared_dir", None, "folder to make the set's folder of shards in")
flags.DEFINE_string("split", None, "the set's training split and nothing else (default)")
flags.DEFINE_integer("channels", 3, "3 for RGB, 1 for grey")
flags.DEFINE_integer("shards", None, "number of files (default: by the number of images)")


def main() -> None:
    """Finds the images, writes the shards of each set, says where they are."""
    from datasets.shards.preparing import prepare_named

    names = ("dataset", "data_dir", "prepared_dir", "split", "channels", "shards")
    prepare_named(*(FLAGS[name].value for name in names))


if __name__ == "__main__":
    run_script(main, __doc__)
