r"""Turns a run into weights that ship: NAME.weights.h5 and its card, NAME.json.

Example:
  python -m export.weights --run=runs/small_s25 --name=gradnet_small_color_s25 --data_dir=DATA \
      --metrics=out/cbsd68_25/metrics.json,out/cbsd68_0/metrics.json
The scores in the card are those of the metrics files, which must be of this very run; one with
--sigma=0 says what the network does to clean images. The arrays ship as float16 where that loses
less than 0.005 dB at every noise level of the metrics, which is measured on the same sets.
"""

import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from absl import flags  # noqa: E402

from gradnet_tf import weights  # noqa: E402
from gradnet_tf.utils.command import run_script  # noqa: E402
from gradnet_tf.utils.errors import UserError  # noqa: E402

FLAGS = flags.FLAGS

flags.DEFINE_string("run", None, "folder of a finished run of train.py")
flags.DEFINE_string("name", None, "PRESET_color|gray_blind|sNN")
flags.DEFINE_list("metrics", [], "metrics.json files of evaluate.py for this run, in float32")
flags.DEFINE_string("output", str(weights.FOLDER), "folder for the two files")
flags.DEFINE_bool("float16", True, "ship float16 arrays where they lose next to nothing")
flags.DEFINE_string("dataset", None, "images to measure that on (default: the sets of --metrics)")
flags.DEFINE_string("data_dir", None, "folder that holds the data set, or the set's parent")
flags.DEFINE_integer("max_images", None, "take the first so many images")


def main() -> None:
    """Ships one run's weights and prints their card."""
    for flag in ("run", "name"):
        if not FLAGS[flag].value:
            raise UserError(f"--{flag} is required. See: python -m export.weights --help")
    from datasets.facts.all_facts import get_facts
    from datasets.pipeline.mixture import parse_mixture
    from datasets.resolve import find_dataset
    from export.weights import ship
    from gradnet_tf.weights.model_cards import card_text

    def find_images(name):
        return find_dataset(FLAGS.dataset or name, FLAGS.data_dir, max_images=FLAGS.max_images)

    def terms_of(dataset):
        return " ".join(map(terms_of_one, parse_mixture(dataset)[0]))

    def terms_of_one(name):
        facts = get_facts(name)
        count = facts.counts.get(facts.training_split)
        images = f", {count} images" if count else ""
        return f"{facts.title}{images}, {facts.origin}: {facts.terms}. To cite: {facts.citation}."

    find = find_images if FLAGS.float16 else None
    card = ship(
        Path(FLAGS.run), FLAGS.name, FLAGS.metrics, Path(FLAGS.output), terms_of, find, print
    )
    print(card_text(card))


if __name__ == "__main__":
    run_script(main, __doc__)
