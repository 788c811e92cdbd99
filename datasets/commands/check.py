"""Checks a set of images for problems that would invalidate a training run or a score."""

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
from datasets.sets.catalog import find_dataset, get_info
from datasets.sets.image_set import DatasetInfo, ImageSet, central_crop
from gradnet_tf.images.image_files import list_images
from gradnet_tf.utils.console import ProgressLine
from gradnet_tf.utils.errors import UserError

# Whether a noisy and a clean image show the same scene and are aligned is decided on patterns, not
# on pixel values: noise, exposure and color may differ. The limits were tested on the 140 pairs of
# RENOIR and PolyU as their authors aligned them: thumbnails of pairs correlate at 0.91 and above,
# those of different scenes below 0.77.
_SAME_SCENE = 0.6  # least correlation of the thumbnails of one scene
_THUMBNAIL = 16
_CROP = 512  # only the center of the images is compared
_LARGEST_SHIFT = 24
_GAIN_DB = 1.0  # least gain of a reported shift; half a pixel gains less


@dataclasses.dataclass(frozen=True)
class Shift:
    """The best alignment of the noisy image with the clean one.

    Attributes:
        down: pixels by which the noisy image is too low.
        right: pixels by which it is too far to the right.
        gain_db: decibels by which the difference of the patterns decreases there.
    """

    down: int
    right: int
    gain_db: float

    @property
    def is_misaligned(self) -> bool:
        """Whether a shift would clearly improve the pair."""
        return (self.down, self.right) != (0, 0) and self.gain_db >= _GAIN_DB


def shows_same_scene(noisy: np.ndarray, clean: np.ndarray) -> bool:
    """Compares thumbnails of two uint8 images [H, W, C]; images without texture pass."""
    thumbnails = [
        cv2.resize(_gray(image), (_THUMBNAIL, _THUMBNAIL), interpolation=cv2.INTER_AREA).ravel()
        for image in (noisy, clean)
    ]
    if min(thumbnail.std() for thumbnail in thumbnails) < 1:
        return True
    return float(np.corrcoef(*thumbnails)[0, 1]) >= _SAME_SCENE


def find_shift(noisy: np.ndarray, clean: np.ndarray) -> Shift:
    """Finds the shift, up to 24 pixels each way, with the highest normalized cross-correlation.

    Args:
        noisy: uint8 [H, W, C].
        clean: uint8 of the same shape.

    Returns:
        The best shift of the smoothed patterns; none for images that are too small or too plain.
    """
    first, second = _pattern(noisy), _pattern(clean)
    margin = min(_LARGEST_SHIFT, min(first.shape) // 4)
    inner = second[margin : len(second) - margin, margin : second.shape[1] - margin]
    if margin < 1 or inner.std() < 0.5 or first.std() < 0.5:
        return Shift(0, 0, 0.0)
    fit = cv2.matchTemplate(first, inner, cv2.TM_CCOEFF_NORMED)
    top, left = np.unravel_index(int(np.argmax(fit)), fit.shape)
    # The squared difference of normalized patterns with correlation c is proportional to 1 - c.
    here, there = 1 - float(fit[margin, margin]), 1 - float(fit[top, left])
    gain = 10 * math.log10(max(here, 1e-9) / max(there, 1e-9))
    return Shift(int(top) - margin, int(left) - margin, gain)


def _gray(image: np.ndarray) -> np.ndarray:
    return image.astype(np.float32).mean(axis=-1)


def _pattern(image: np.ndarray) -> np.ndarray:
    """Returns the band-pass filtered center of an image, float32 [H, W]."""
    gray = cv2.GaussianBlur(_gray(central_crop(image, _CROP)), (0, 0), 1.5)
    return gray - cv2.GaussianBlur(gray, (0, 0), 8)


@dataclasses.dataclass(frozen=True)
class Finding:
    """One finding.

    Attributes:
        kind: a word or two.
        text: the files and their problem.
        is_problem: False for properties of the published files, and for what does no harm.
    """

    kind: str
    text: str
    is_problem: bool = True


@dataclasses.dataclass(frozen=True)
class Checked:
    """The result of a check: the number of images by split, and the findings."""

    images: dict[str, int]
    findings: list[Finding]


def check_set(
    name: str,
    data_dir: str | Path | None = None,
    split: str | None = None,
    line: ProgressLine | None = None,
) -> Checked:
    """Decodes every image of a set and compares the files with its description.

    Args:
        name: a name or alias of a set.
        data_dir: as in `find_dataset`.
        split: one split; by default all that exist.
        line: shows the progress.

    Raises:
        UserError: for an unknown name or split, or if there is no split.
    """
    info = get_info(name)
    findings: list[Finding] = []
    if info.find is paired.find:
        findings += _unmatched(info, paired.find_root(info, folder.check_data_dir(info, data_dir)))
    sets = _found_splits(info, data_dir, split, findings)
    images, seen = {}, set()
    line = line or ProgressLine(io.StringIO())
    for image_set in sets:
        images[image_set.split] = len(image_set)
        findings += _wrong_files(image_set)
        for index, key in enumerate(zip(image_set.names, image_set.paths, strict=True)):
            line.show(f"checking {info.name} {image_set.split}: {index + 1}/{len(image_set)}")
            if key not in seen:
                seen.add(key)
                findings += _check_image(image_set, index)
    line.end()
    return Checked(images, findings)


def _own_splits(info: DatasetInfo, data_dir: str | Path | None) -> list[str]:
    """Returns the splits that a folder of one's own has; "all" is what lies in it directly."""
    root = folder.check_data_dir(info, data_dir)
    places = {"all": root, "validation": folder.validation_folder(root)}
    places |= {name: root / name for name in ("train", "test")}
    found = [name for name, path in places.items() if path and path.is_dir() and list_images(path)]
    return found or ["all"]


def _found_splits(
    info: DatasetInfo, data_dir: str | Path | None, split: str | None, findings: list[Finding]
) -> list[ImageSet]:
    """Finds the existing splits; continues after unmatched pairs, which are already known."""
    found, errors = [], []
    default = (info.evaluation_split, *info.splits)
    if info.is_own:
        default = ("all",) if info.find is paired.find else _own_splits(info, data_dir)
    for wanted in dict.fromkeys((split,) if split else default):
        # Unexpected numbers of images are reported as findings instead.
        with contextlib.redirect_stderr(io.StringIO()):
            try:
                found.append(find_dataset(info.name, data_dir, wanted))
            except UserError as error:
                errors.append((wanted, error))
    if not found and not findings:
        raise errors[0][1]
    for wanted, error in errors:
        if info.find is not paired.find or not findings:
            findings.append(Finding("split missing", f"{wanted}: {_one_line(error)}", False))
    if not found and info.find is paired.find:
        root = paired.find_root(info, folder.check_data_dir(info, data_dir))
        pairs = paired.match_pairs(info, root).pairs
        found = [paired.make_set(info, info.evaluation_split, pairs, info.channels)]
    return found


def _unmatched(info: DatasetInfo, root: Path) -> Iterator[Finding]:
    found = paired.match_pairs(info, root)
    for path in found.unmatched:
        yield Finding("unpaired", f"{path.relative_to(root)} has no partner, or several")
    for path in found.others:
        text = f"{path.relative_to(root)} is neither noisy nor clean by name"
        yield Finding("extra", text, info.is_own)


def _wrong_files(image_set: ImageSet) -> Iterator[Finding]:
    info, expected = image_set.info, image_set.info.counts.get(image_set.split)
    if expected is not None and expected != len(image_set):
        text = f"{image_set.split} has {expected} images, but {len(image_set)} were found"
        yield Finding("number of images", text)
    if info.find in (folder.find, folder.find_split, bsds500.find):
        for path in image_set.paths:
            if not re.fullmatch(info.pattern, path.name.lower()):
                yield Finding("name", f"{path} is not named like the files of {info.title}")


def _check_image(image_set: ImageSet, index: int) -> Iterator[Finding]:
    """Decodes one image and its partner."""
    name, info = image_set.names[index], image_set.info
    images = []
    for load in (image_set.load, image_set.noisy) if image_set.has_clean else (image_set.noisy,):
        try:
            images.append(load(index))
        except UserError as error:
            yield Finding("unreadable", f"{name}: {_one_line(error)}")
            images.append(None)
    if info.training_split and image_set.has_clean and images[0] is not None:
        number = find_test_image(images[0])
        if number is not None:
            yield Finding("test image", f"{image_set.paths[index]} is {number} of BSD68/CBSD68")
    if len(images) < 2 or any(image is None for image in images):
        return
    clean, noisy = images
    if clean.shape != noisy.shape:
        sizes = " and ".join(f"{image.shape[0]}×{image.shape[1]}" for image in (clean, noisy))
        yield Finding("sizes differ", f"{name}: clean and noisy are {sizes} pixels")
    elif not shows_same_scene(noisy, clean):
        yield Finding("different scenes", f"{name}: noisy and clean do not look alike", info.is_own)
    else:
        shift = find_shift(noisy, clean)
        if shift.is_misaligned:
            text = (
                f"{name}: the noisy image looks {shift.down:+d} pixels down and {shift.right:+d} "
                f"right of the clean one (aligning them reduces the difference by "
                f"{shift.gain_db:.1f} dB)"
            )
            yield Finding("misaligned", text, info.is_own)


def _one_line(error: UserError) -> str:
    return str(error).splitlines()[0]
