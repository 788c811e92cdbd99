"""Checks a set of images for everything that would spoil a training or a score."""

import contextlib
import dataclasses
import io
import math
import re
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from datasets.sets import bsds500, paired
from datasets.sets import folder_sets as folder
from datasets.sets.bsds500 import find_test_image
from datasets.sets.catalog import find_dataset, get_facts
from datasets.sets.image_set import DatasetFacts, ImageSet
from gradnet_tf.utils.console import ProgressLine
from gradnet_tf.utils.errors import UserError

# Whether a noisy and a clean image show the same scene and are aligned is decided on patterns, not
# on pixel values: noise, exposure and color may differ. The limits were tried on the 140 pairs of
# RENOIR and PolyU, which are as their authors aligned them: thumbnails of pairs correlate at 0.91
# and above, those of different scenes below 0.77.
# Thumbnails of one scene correlate at least so much.
_SAME_SCENE = 0.6
_THUMBNAIL = 16
# The middle of the image is enough, and larger shifts than this are not looked for.
_CROP = 512
_LARGEST_SHIFT = 24
# How much smaller the difference must get when the noisy image is moved. A pair half a pixel
# apart gains less.
_GAIN_DB = 1.0


@dataclasses.dataclass(frozen=True)
class Shift:
    """Where the noisy image fits the clean one best.

    Attributes:
        down: pixels that the noisy image lies too low, whole.
        right: pixels that it lies too far to the right.
        gain_db: by how many dB the difference of the patterns gets smaller there.
    """

    down: int
    right: int
    gain_db: float

    @property
    def is_misaligned(self) -> bool:
        """Whether a shift would improve the pair clearly."""
        return (self.down, self.right) != (0, 0) and self.gain_db >= _GAIN_DB


def shows_same_scene(noisy: np.ndarray, clean: np.ndarray) -> bool:
    """Compares thumbnails of two uint8 images [H, W, C]; plain pictures pass."""
    thumbnails = [
        cv2.resize(_grey(image), (_THUMBNAIL, _THUMBNAIL), interpolation=cv2.INTER_AREA).ravel()
        for image in (noisy, clean)
    ]
    if min(thumbnail.std() for thumbnail in thumbnails) < 1:
        return True
    return float(np.corrcoef(*thumbnails)[0, 1]) >= _SAME_SCENE


def find_shift(noisy: np.ndarray, clean: np.ndarray) -> Shift:
    """Moves the noisy image over the clean one by up to 24 pixels each way.

    Args:
        noisy: uint8 [H, W, C].
        clean: uint8 of the same shape.

    Returns:
        The best place by normalised cross-correlation of the two patterns,
        smoothed against the noise; no shift for images too small or too plain to tell.
    """
    first, second = _pattern(noisy), _pattern(clean)
    margin = min(_LARGEST_SHIFT, min(first.shape) // 4)
    inner = second[margin : len(second) - margin, margin : second.shape[1] - margin]
    if margin < 1 or inner.std() < 0.5 or first.std() < 0.5:
        return Shift(0, 0, 0.0)
    fit = cv2.matchTemplate(first, inner, cv2.TM_CCOEFF_NORMED)
    top, left = np.unravel_index(int(np.argmax(fit)), fit.shape)
    # Of normalised patterns with correlation c the squared difference goes as 1 - c.
    here, there = 1 - float(fit[margin, margin]), 1 - float(fit[top, left])
    gain = 10 * math.log10(max(here, 1e-9) / max(there, 1e-9))
    return Shift(int(top) - margin, int(left) - margin, gain)


def _grey(image: np.ndarray) -> np.ndarray:
    return image.astype(np.float32).mean(axis=-1)


def _pattern(image: np.ndarray) -> np.ndarray:
    """Returns the middle of an image between two smoothings, float32 [H, W]."""
    top, left = (max(0, (side - _CROP) // 2) for side in image.shape[:2])
    grey = cv2.GaussianBlur(_grey(image[top : top + _CROP, left : left + _CROP]), (0, 0), 1.5)
    return grey - cv2.GaussianBlur(grey, (0, 0), 8)


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that was found.

    Attributes:
        kind: what it is, in a word or two.
        text: which files, and what about them.
        spoils: False for what is as its authors published it, or does not matter.
    """

    kind: str
    text: str
    spoils: bool = True


@dataclasses.dataclass(frozen=True)
class Checked:
    """What a check looked at and what it found."""

    images: dict[str, int]
    findings: list[Finding]

    @property
    def is_good(self) -> bool:
        """Whether nothing was found that spoils."""
        return not any(finding.spoils for finding in self.findings)


def check_set(
    name: str,
    data_dir: str | Path | None = None,
    split: str | None = None,
    line: ProgressLine | None = None,
) -> Checked:
    """Decodes every image of a set and compares what is there with the facts.

    Args:
        name: a name or alias of `datasets.sets.catalog`.
        data_dir: as in `find_dataset`.
        split: one split; by default all that are there.
        line: shows how far it is.

    Raises:
        UserError: for an unknown name or split, or when no split is there.
    """
    facts = get_facts(name)
    findings: list[Finding] = []
    if facts.find is paired.find:
        findings += _unmatched(
            facts, paired.find_root(facts, folder.check_data_dir(facts, data_dir))
        )
    sets = _found_splits(facts, data_dir, split, findings)
    images, seen = {}, set()
    line = line or ProgressLine(io.StringIO())
    for image_set in sets:
        images[image_set.split] = len(image_set)
        findings += _wrong_number(image_set)
        for index, key in enumerate(zip(image_set.names, image_set.paths, strict=True)):
            line.show(f"checking {facts.name} {image_set.split}: {index + 1}/{len(image_set)}")
            if key not in seen:
                seen.add(key)
                findings += _look_at(image_set, index)
    line.end()
    return Checked(images, findings)


def _found_splits(
    facts: DatasetFacts, data_dir: str | Path | None, split: str | None, findings: list[Finding]
) -> list[ImageSet]:
    """Finds what is there; a pair without a partner is known already and stops nothing."""
    found, errors = [], []
    default = (facts.evaluation_split, *facts.splits) if not facts.is_own else ("all",)
    for wanted in dict.fromkeys((split,) if split else default):
        # Unexpected numbers of images are findings here, not messages.
        with contextlib.redirect_stderr(io.StringIO()):
            try:
                found.append(find_dataset(facts.name, data_dir, wanted))
            except UserError as error:
                errors.append((wanted, error))
    if not found and not findings:
        raise errors[0][1]
    for wanted, error in errors:
        if facts.find is not paired.find or not findings:
            findings.append(Finding("split not there", f"{wanted}: {_one_line(error)}", False))
    if not found and facts.find is paired.find:
        found = [_matched_alone(facts, data_dir)]
    return found


def _matched_alone(facts: DatasetFacts, data_dir: str | Path | None) -> ImageSet:
    """Returns the pairs that do match in a folder where some do not."""
    root = paired.find_root(facts, folder.check_data_dir(facts, data_dir))
    pairs = paired.match_pairs(facts, root).pairs
    return paired.make_set(facts, facts.evaluation_split, pairs, facts.channels)


def _unmatched(facts: DatasetFacts, root: Path) -> Iterator[Finding]:
    found = paired.match_pairs(facts, root)
    for path in found.alone:
        yield Finding("unpaired", f"{path.relative_to(root)} has no partner, or several")
    for path in found.others:
        text = f"{path.relative_to(root)} is neither noisy nor clean by its name"
        yield Finding("extra", text, facts.is_own)


def _wrong_number(image_set: ImageSet) -> Iterator[Finding]:
    facts, expected = image_set.facts, image_set.facts.counts.get(image_set.split)
    if expected is not None and expected != len(image_set):
        text = f"{image_set.split} has {expected} images, but {len(image_set)} were found"
        yield Finding("number of images", text)
    if facts.find in (folder.find, folder.find_split, bsds500.find):
        for path in image_set.paths:
            if not re.fullmatch(facts.pattern, path.name.lower()):
                yield Finding("name", f"{path} is not named as the files of {facts.title} are")


def _look_at(image_set: ImageSet, index: int) -> Iterator[Finding]:
    """Decodes one image and its partner."""
    name, facts = image_set.names[index], image_set.facts
    images = []
    for load in (image_set.load, image_set.noisy) if image_set.has_clean else (image_set.noisy,):
        try:
            images.append(load(index))
        except UserError as error:
            yield Finding("unreadable", f"{name}: {_one_line(error)}")
    if facts.training_split and image_set.has_clean and images:
        number = find_test_image(images[0])
        if number is not None:
            yield Finding("test image", f"{image_set.paths[index]} is {number} of BSD68/CBSD68")
    if len(images) < 2 or images[1] is None:
        return
    clean, noisy = images
    if clean.shape != noisy.shape:
        sizes = " and ".join(f"{image.shape[0]}×{image.shape[1]}" for image in (clean, noisy))
        yield Finding("sizes differ", f"{name}: clean and noisy are {sizes} pixels")
    elif not shows_same_scene(noisy, clean):
        yield Finding(
            "different scenes", f"{name}: noisy and clean do not look alike", facts.is_own
        )
    else:
        shift = find_shift(noisy, clean)
        if shift.is_misaligned:
            text = (
                f"{name}: the noisy image looks {shift.down:+d} pixels down and {shift.right:+d} "
                f"right of the clean one (moved back, their difference is {shift.gain_db:.1f} dB "
                "smaller)"
            )
            yield Finding("misaligned", text, facts.is_own)


def _one_line(error: UserError) -> str:
    return str(error).splitlines()[0]
