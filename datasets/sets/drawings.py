"""Generated drawings: text, line art, screenshots, charts, flat and clipped surfaces.

A denoiser trained only on photographs expects texture everywhere: it damages letters and leaves
stains and rims on flat black, white or saturated surfaces. Image i of a split depends only on the
number i, so the set needs no files and has no terms.
"""

import dataclasses
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from datasets.sets.image_set import TRAINABLE, DatasetInfo, ImageSet, Protocol, as_channels

SIZE = 256
COUNTS = {"train": 240, "validation": 8}
# Image numbers of the splits do not overlap.
_FIRST = {"train": 0, "validation": 1_000_000}
_LETTERS = np.array(list("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,;:-()!?"))


@dataclasses.dataclass(frozen=True)
class DrawingSet(ImageSet):
    """An `ImageSet` whose images are drawn on demand; its `paths` do not exist."""

    def load(self, index: int) -> np.ndarray:
        """Draws one image: uint8 [256, 256, `channels`], RGB order."""
        number = _FIRST[self.split] + index
        image = KINDS[number % len(KINDS)](np.random.default_rng((20, number)))
        return as_channels(image, self.channels)

    def sources(self, index: int) -> tuple[Path, ...]:
        """Returns this module, so that prepared shards are rewritten when it changes."""
        return (Path(__file__),)


def find(info: DatasetInfo, data_dir: str | Path | None, split: str, channels: int) -> ImageSet:
    """Lists a split; see `Find`. `data_dir` is not needed."""
    names = [f"{split}_{index:04d}" for index in range(COUNTS[split])]
    paths = [Path("drawings") / name for name in names]
    return DrawingSet(info.name, split, names, paths, channels, info)


def _color(generator) -> tuple[int, int, int]:
    """Draws black, white, a gray, a fully saturated or any color."""
    kind = generator.integers(6)
    if kind == 0:
        return 0, 0, 0
    if kind == 1:
        return 255, 255, 255
    if kind == 2:
        return (int(generator.integers(256)),) * 3
    if kind == 3:
        return tuple(int(value) for value in 255 * generator.integers(2, size=3))
    return tuple(int(value) for value in generator.integers(256, size=3))


def _ink_and_paper(generator):
    """Draws two colors that differ visibly; most often black on white."""
    if generator.random() < 0.4:
        pair = [(0, 0, 0), (255, 255, 255)]
        return pair if generator.random() < 0.7 else pair[::-1]
    while True:
        ink, paper = _color(generator), _color(generator)
        if abs(sum(ink) - sum(paper)) > 150:
            return ink, paper


def _words(generator, letters: int) -> str:
    lengths = generator.integers(1, 10, size=letters // 3 + 1)
    text = " ".join("".join(generator.choice(_LETTERS, size=length)) for length in lengths)
    return text[:letters]


def _write_lines(generator, draw, box, ink) -> None:
    """Fills a box (left, top, right, bottom) with lines of text of one size."""
    left, top, right, bottom = box
    size = int(generator.integers(8, 30))
    font = ImageFont.load_default(size)
    for y in range(top, bottom - size, int(size * 1.4)):
        draw.text((left, y), _words(generator, max(1, (right - left) * 2 // size)), ink, font)


def _text(generator) -> np.ndarray:
    ink, paper = _ink_and_paper(generator)
    image = Image.new("RGB", (SIZE, SIZE), paper)
    _write_lines(generator, ImageDraw.Draw(image), (4, 4, SIZE, SIZE), ink)
    return np.asarray(image)


def _line_art(generator) -> np.ndarray:
    ink, paper = _ink_and_paper(generator)
    image = np.full((SIZE, SIZE, 3), paper, np.uint8)
    line_type = cv2.LINE_AA if generator.random() < 0.6 else cv2.LINE_8
    for _ in range(int(generator.integers(5, 30))):
        thickness = int(generator.integers(1, 5))
        kind = generator.integers(4)
        if kind == 0:
            ends = generator.integers(-20, SIZE + 20, size=(2, 2)).tolist()
            cv2.line(image, *ends, ink, thickness, line_type)
        elif kind == 1:
            center, radius = generator.integers(SIZE, size=2).tolist(), generator.integers(3, 90)
            cv2.circle(image, center, int(radius), ink, thickness, line_type)
        elif kind == 2:
            steps = generator.normal(0, 18, size=(14, 2)).cumsum(axis=0)
            points = (generator.integers(SIZE, size=2) + steps).astype(np.int32)
            cv2.polylines(image, [points], False, ink, thickness, line_type)
        else:
            center = generator.integers(SIZE, size=2).tolist()
            axes = generator.integers(3, 80, size=2).tolist()
            angle = int(generator.integers(180))
            cv2.ellipse(image, center, axes, angle, 0, 360, ink, thickness, line_type)
    return image


def _screenshot(generator) -> np.ndarray:
    image = Image.new("RGB", (SIZE, SIZE), _color(generator))
    draw = ImageDraw.Draw(image)
    for _ in range(int(generator.integers(2, 7))):
        left, top = generator.integers(-30, SIZE - 40, size=2).tolist()
        right = left + int(generator.integers(40, 220))
        bottom = top + int(generator.integers(30, 200))
        ink, paper = _ink_and_paper(generator)
        draw.rectangle((left, top, right, bottom), paper, ink if generator.random() < 0.5 else None)
        if generator.random() < 0.6:
            _write_lines(generator, draw, (left + 4, top + 4, right, bottom), ink)
    return np.asarray(image)


def _flat(generator) -> np.ndarray:
    """One color, or a few large surfaces that meet at straight borders."""
    image = np.full((SIZE, SIZE, 3), _color(generator), np.uint8)
    for _ in range(int(generator.integers(0, 3))):
        at = int(generator.integers(20, SIZE - 20))
        if generator.random() < 0.5:
            image[at:] = _color(generator)
        else:
            image[:, at:] = _color(generator)
    return image


def _gradient(generator) -> np.ndarray:
    """A smooth shading between two colors, which may clip at both ends."""
    ends = np.array([_color(generator), _color(generator)], np.float32)
    angle = generator.uniform(0, 2 * np.pi)
    rows, columns = np.mgrid[0:SIZE, 0:SIZE] / SIZE - 0.5
    along = rows * np.sin(angle) + columns * np.cos(angle)
    along = np.clip(0.5 + along * generator.uniform(0.6, 2.5), 0, 1)[..., np.newaxis]
    return np.round(ends[0] + (ends[1] - ends[0]) * along).astype(np.uint8)


def _pattern(generator) -> np.ndarray:
    """Stripes, a checkerboard or dots, with a period from two pixels."""
    first, second = _ink_and_paper(generator)
    period = int(generator.integers(1, 12))
    rows, columns = np.mgrid[0:SIZE, 0:SIZE]
    kind = generator.integers(4)
    if kind == 0:
        mask = (rows // period) % 2
    elif kind == 1:
        mask = (columns // period) % 2
    elif kind == 2:
        mask = (rows // period + columns // period) % 2
    else:
        mask = ((rows % (period + 2)) == 0) & ((columns % (period + 2)) == 0)
    mask = mask.astype(bool)
    return np.where(mask[..., np.newaxis], np.uint8(first), np.uint8(second))


KINDS = (_text, _line_art, _screenshot, _flat, _gradient, _pattern)


DRAWINGS = DatasetInfo(
    name="drawings",
    title="drawings",
    find=find,
    splits=("train", "validation"),
    **TRAINABLE,
    counts=COUNTS,
    protocol=Protocol(
        split="generated from their number: text, line art, screenshots, surfaces",
        compares_with="none; for training beside photographs",
    ),
    origin="generated by datasets/sets/drawings.py",
    terms="none",
    citation="datasets/sets/drawings.py",
    how_to_get="nothing to download: they are generated on demand",
)
