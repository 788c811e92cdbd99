"""What is known about each set of images, as data: where it is found, its splits and its terms."""

from datasets.facts.dataset_facts import DatasetFacts, Protocol
from datasets.facts.facts_clean import CLEAN_ROWS
from datasets.facts.facts_real import REAL_ROWS
from datasets.facts.facts_special import SPECIAL_ROWS
from datasets.facts.facts_training import TRAINING_ROWS
from gradnet_tf.utils.errors import UserError

_OWN_ROWS = (
    DatasetFacts(
        name="sample",
        title="sample photographs",
        layout="sample",
        splits=("train", "validation", "test", "all"),
        training_split="train",
        validation_split="validation",
        origin="photographs inside the installed scikit-image and scikit-learn packages",
        protocol=Protocol(
            split="chelsea and coffee are the test split; no two splits show the same scene",
            compares_with="none; for trying things",
        ),
        terms="each photograph its own; see datasets/sets/sample.py",
        citation="see datasets/sets/sample.py",
        how_to_get="pip install scikit-image scikit-learn (they are in requirements.txt)",
    ),
    DatasetFacts(
        name="folder",
        title="folder",
        layout="own_folder",
        colour=None,
        splits=("all", "train", "validation", "test"),
        evaluation_split="all",
        training_split="train",
        validation_split="validation",
        protocol=Protocol(
            split="all images, or the folders train, validation and test; without a folder "
            "validation one image of twenty is held out of train, 16 at most",
            compares_with="none: your own images",
        ),
        origin="your own images",
        how_to_get="give --data_dir a folder of clean images",
    ),
)

_ROWS = (*_OWN_ROWS, *TRAINING_ROWS, *CLEAN_ROWS, *REAL_ROWS, *SPECIAL_ROWS)

FACTS: dict[str, DatasetFacts] = {row.name: row for row in _ROWS}
#: Names of the sets that may be trained on.
TRAINING_SETS = tuple(sorted(row.name for row in _ROWS if row.training_split))


def get_facts(name: str) -> DatasetFacts:
    """Returns the row of a set by its name or an alias, whatever the case.

    Raises:
        UserError: for an unknown name; the message lists the known ones.
    """
    wanted = name.casefold()
    for row in _ROWS:
        if wanted in {known.casefold() for known in (row.name, *row.aliases)}:
            return row
    raise UserError(f"unknown dataset {name!r}.\n`dataset` must be one of {', '.join(FACTS)}.")
