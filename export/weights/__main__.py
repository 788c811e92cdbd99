r"""Turns a run into shipped weights: NAME.weights.h5, its card NAME.json and, for hubs, NAME.md.

Example:
  python -m export.weights --run=runs/small_s25 --name=gradnet_small_color_s25 --data_dir=DATA \
      --metrics=out/cbsd68_25/metrics.json,out/cbsd68_0/metrics.json
The scores in the card are those of the metrics files, which must be of this run; one with --sigma=0
measures the effect on clean images. The arrays are stored as float16 if that loses less than
0.005 dB at every noise level of the metrics (clean images: 0.05 dB), measured on the same sets.
"""

import dataclasses
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from gradnet_tf import weights  # noqa: E402
from gradnet_tf.utils.command import run_script
from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.files import atomic_write
from gradnet_tf.utils.options import CommandLine, Given
from gradnet_tf.weights.hub_card import hub_card


@dataclasses.dataclass(frozen=True)
class Options:
    """The command's options.

    Attributes:
        run: folder of a finished run of train.py.
        name: PRESET_color|gray_blind|sNN.
        metrics: metrics.json files of evaluate.py for this run, in float32.
        output: folder for the three files.
        float16: use float16 arrays if their loss is negligible.
        dataset: images to measure the loss on (default: the sets of --metrics).
        data_dir: folder of the data set, or its parent.
        max_images: use only this many images.
        cards: instead of all this, write NAME.md of all shipped weights anew from their NAME.json.
    """

    run: str | None = None
    name: str | None = None
    metrics: tuple[str, ...] = ()
    output: str = str(weights.FOLDER)
    float16: bool = True
    dataset: str | None = None
    data_dir: str | None = None
    max_images: int | None = None
    cards: bool = False


COMMAND_LINE = CommandLine(Options)


def main(given: Given) -> None:
    """Writes the weights of a run and prints their card."""
    options = given.make(Options)
    if options.cards:
        for card in weights.list_weights():
            atomic_write(weights.hub_card_path(card["name"]), hub_card(card))
        return
    for flag in ("run", "name"):
        if not getattr(options, flag):
            raise UserError(f"--{flag} is required. See: python -m export.weights --help")
    from datasets.pipeline.mixture import parse_mixture
    from datasets.sets.catalog import find_dataset, get_info
    from export.weights.shipping import ship
    from gradnet_tf.weights.model_cards import card_text

    def find_images(name):
        return find_dataset(
            options.dataset or name, options.data_dir, max_images=options.max_images
        )

    def terms_of(dataset):
        sentences = []
        for info in map(get_info, parse_mixture(dataset)[0]):
            count = info.counts.get(info.training_split)
            title = f"{info.title}, {count} images" if count else info.title
            where = f"{title}, {info.origin}" if info.origin else title
            terms = info.terms or "terms of their owner"
            sentences.append(f"{where}: {terms}.")
            if info.citation:
                sentences.append(f"To cite: {info.citation}.")
        return " ".join(sentences)

    find = find_images if options.float16 else None
    card = ship(
        Path(options.run),
        options.name,
        options.metrics,
        Path(options.output),
        terms_of,
        find,
        print,
    )
    print(card_text(card))


if __name__ == "__main__":
    run_script(main, __doc__, COMMAND_LINE)
