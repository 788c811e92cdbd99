"""Keeps the images that a model is to be tested on out of its training, by their content.

Compared are the decoded pixels: a copy under another name, in another folder,
in grey or in another lossless format is found. A crop, a flip, or a copy saved
again as JPEG is not, but for the images of BSD68 and CBSD68, which
`datasets.sets.held_out` finds scaled and compressed too.
"""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from datasets.facts.all_facts import FACTS
from datasets.facts.dataset_facts import DatasetFacts
from datasets.pipeline.known_tests import KNOWN_TESTS
from datasets.resolve import find_dataset
from datasets.sets.held_out import find_test_image
from datasets.sets.image_set import ImageSet
from datasets.sets.set_folder import named_folders
from gradnet_tf.images.image_files import to_grey
from gradnet_tf.utils.console import note
from gradnet_tf.utils.errors import UserError

# Found by `held_out`, or known without their files.
_ALWAYS_KNOWN = {"cbsd68", "bsd68", "sample", *KNOWN_TESTS}
_DECODED_AT_ONCE = 4


def content_hash(image: np.ndarray) -> str:
    """Returns 16 hexadecimal digits of the pixels in grey, the same for a grey and a colour copy.

    Args:
        image: uint8 [H, W, 3] or [H, W, 1].
    """
    grey = to_grey(image) if image.shape[2] == 3 else np.ascontiguousarray(image)
    return hashlib.blake2b(grey.tobytes(), digest_size=8).hexdigest()


class LeakGuard:
    """The images of test sets by content; refuses to train on them.

    Attributes:
        counts: number of images by set that are known, beside BSD68's.
    """

    def __init__(self, allow: bool = False):
        """Args:
        allow: let test images pass, with a note for each.
        """
        self.allow = allow
        self.counts: dict[str, int] = {}
        # Height and width → hash → set, and whether it must not be validated on either.
        self._known: dict[tuple[int, int], dict[str, tuple[str, bool]]] = {}
        self._told: set[str] = set()
        for name, sizes in KNOWN_TESTS.items():
            for size, hashes in sizes.items():
                for each in hashes.split():
                    self._add(name, size, each, True)

    def _add(self, name: str, size: tuple[int, int], content: str, strict: bool) -> None:
        known = self._known.setdefault(size, {})
        if content not in known:
            known[content] = (name, strict)
            self.counts[name] = self.counts.get(name, 0) + 1

    def add_set(self, image_set: ImageSet) -> None:
        """Adds the clean images of a set that a model is to be evaluated on.

        Raises:
            UserError: when one cannot be read.
        """
        facts = image_set.facts
        # Where a set's own validation split is what it is evaluated on, a run may validate on it.
        strict = facts.evaluation_split != facts.validation_split
        image_set.load(0)  # Sets that are one array read it here, and not in every thread.
        with ThreadPoolExecutor(_DECODED_AT_ONCE) as threads:
            for size, content in threads.map(
                lambda index: _size_and_hash(image_set.load(index)), range(len(image_set))
            ):
                self._add(image_set.name, size, content, strict)

    def may_hold(self, size: tuple[int, int]) -> bool:
        """Tells whether a known image has this height and width."""
        return size in self._known

    def find(self, image: np.ndarray, validating: bool = False) -> str | None:
        """Returns what test image a uint8 image [H, W, C] is, in words, else `None`."""
        number = find_test_image(image)
        if number is not None:
            return f"test image {number} of BSD68/CBSD68"
        known = self._known.get(image.shape[:2])
        if not known:
            return None
        name, strict = known.get(content_hash(image), (None, True))
        return f"a test image of {name}" if name and (strict or not validating) else None

    def check(self, image: np.ndarray, path, validating: bool = False) -> None:
        """Raises when an image that is about to be trained or validated on is a test image.

        Args:
            image: uint8 [H, W, 3] or [H, W, 1].
            path: its file, for the message.
            validating: it chooses checkpoints and is not trained on.

        Raises:
            UserError: names the file and the test set; not with `allow`.
        """
        found = self.find(image, validating)
        if found is None:
            return
        if not self.allow:
            raise UserError(
                f"{path} is {found}; training on it would spoil every score on that set.\n"
                "Take it out of the training folder (or give --allow_test_images, which the run's "
                "config.json records)."
            )
        if str(path) not in self._told:
            self._told.add(str(path))
            note(f"{path} is {found}; --allow_test_images lets it pass.")


def _size_and_hash(image: np.ndarray) -> tuple[tuple[int, int], str]:
    return image.shape[:2], content_hash(image)


def make_guard(
    data_dir: str | Path | None, eval_sets: Sequence[str] = (), allow: bool = False
) -> LeakGuard:
    """Builds the guard of a training.

    It knows BSD68's, Set12's and the sample photographs' test images always,
    the test sets that lie in `data_dir` under their own names, and `eval_sets`.

    Args:
        data_dir: where sets are looked for.
        eval_sets: names of sets in `data_dir`, or folders of images.
        allow: see `LeakGuard`.

    Raises:
        UserError: for one of `eval_sets` that is not found or cannot be read.
    """
    guard = LeakGuard(allow)
    guard.add_set(find_dataset("sample", split="test", channels=1))
    named = {name for name in eval_sets if not Path(name).is_dir()}
    for name in eval_sets:
        if name in named:
            guard.add_set(find_dataset(name, data_dir))
        else:
            guard.add_set(find_dataset("folder", name))
    for facts in FACTS.values():
        if facts.name not in named and _lies_in(facts, data_dir):
            try:
                guard.add_set(find_dataset(facts.name, data_dir, tell=False))
            except UserError as error:
                # Nobody asked for it; a damaged test set must not stop a training.
                what = str(error).splitlines()[0]
                note(f"test images of {facts.name} are not guarded: {what}")
    return guard


def _lies_in(facts: DatasetFacts, data_dir: str | Path | None) -> bool:
    split = facts.evaluation_split
    chosen_on = split in (facts.training_split, facts.validation_split, *facts.without_clean)
    if chosen_on or facts.is_own or facts.name in _ALWAYS_KNOWN or not data_dir:
        return False
    folder = Path(data_dir).expanduser()
    # By the folder's name alone: files called 01.png may be anybody's training images.
    return folder.is_dir() and bool(named_folders(facts, folder))
