"""RENOIR: photographs of one scene with real low-light noise and with hardly any.

A scene is three files, `batchNN_noisy.png`, `batchNN_reference.png` and
`batchNN_clean.png`; the last two are shots with little noise, and their mean
is the clean image. Scene 17 is left out because its shots are not aligned.
"""

import dataclasses
import re
from pathlib import Path

import numpy as np

from datasets.sets import folder_sets as folder
from datasets.sets.image_set import TRAINABLE, DatasetFacts, ImageSet, Protocol
from gradnet_tf.images.image_files import list_images, read_image
from gradnet_tf.utils.errors import UserError

_KINDS = ("noisy", "reference", "clean")
_MISALIGNED = 17
_LAST_TRAINING_SCENE = 30


def find(facts: DatasetFacts, data_dir: str | Path | None, split: str, channels: int) -> ImageSet:
    """Finds the scenes; see `datasets.sets.catalog`."""
    root = folder.find_named(facts, folder.check_data_dir(facts, data_dir))
    scenes = list_split(facts, root, split)
    names, shots = [name for name, _ in scenes], tuple(files for _, files in scenes)
    paths = [files[-1] for files in shots]
    return RenoirSet(facts.name, split, names, paths, channels, facts, shots)


def list_split(
    facts: DatasetFacts, root: Path, split: str
) -> list[tuple[str, tuple[Path, Path, Path]]]:
    """Lists a split as (name, its three files), in order of the scenes.

    Args:
        facts: the set's row.
        root: the folder that holds the files.
        split: `train` (scenes 1-30), `validation` (from 31), `all`, or
            `with_misaligned`, the only one with scene 17.

    Raises:
        UserError: when a scene lacks one of its files, or no scene is there.
    """
    scenes: dict[int, dict[str, Path]] = {}
    for path in list_images(root):
        if re.fullmatch(facts.pattern, path.name.lower()):
            stem, kind = path.stem.lower().split("_")
            scenes.setdefault(int(stem.removeprefix("batch")), {})[kind] = path
    found = []
    for number, files in sorted(scenes.items()):
        own = "train" if number <= _LAST_TRAINING_SCENE else "validation"
        if split != "with_misaligned" and (number == _MISALIGNED or split not in (own, "all")):
            continue
        missing = [f"batch{number:02d}_{kind}.png" for kind in _KINDS if kind not in files]
        if missing:
            raise UserError(
                f"dataset {facts.name}: folder {root} lacks {', '.join(missing)}.\n"
                f"A scene is a noisy, a reference and a clean image; {facts.how_to_get}."
            )
        found.append((f"batch{number:02d}.png", tuple(files[kind] for kind in _KINDS)))
    if not found:
        raise UserError(
            f"dataset {facts.name}: folder {root} has no scene of the split {split}.\n"
            f"To get it: {facts.how_to_get}."
        )
    return found


@dataclasses.dataclass(frozen=True)
class RenoirSet(ImageSet):
    """Scenes with really noisy partners.

    Attributes:
        shots: of each name the files (noisy, reference, clean); `paths` has the last.
    """

    shots: tuple[tuple[Path, Path, Path], ...] = ()

    def load(self, index: int) -> np.ndarray:
        """Returns the mean of the two shots with little noise, uint8 (halves go to even)."""
        return np.rint(self._mean(index)).astype(np.uint8)

    def clean(self, index: int) -> np.ndarray:
        """Returns the same mean unrounded, float32 in [0, 1]: rounding it costs 0.007 dB."""
        return self._mean(index) / np.float32(255)

    def _mean(self, index: int) -> np.ndarray:
        shots = [read_image(path, self.channels) for path in self.shots[index][1:]]
        self._require_one_size(index, *shots)
        return np.mean(shots, axis=0, dtype=np.float32)

    def noisy(self, index: int) -> np.ndarray:
        """Returns the shot with real noise, uint8, of the size of `load(index)`."""
        return read_image(self.shots[index][0], self.channels)

    def sources(self, index: int) -> tuple[Path, ...]:
        """Returns the three shots."""
        return self.shots[index]

    def _require_one_size(self, index: int, *images: np.ndarray) -> None:
        sizes = {image.shape for image in images}
        if len(sizes) > 1:
            raise UserError(
                f"the shots of {self.names[index]} in {self.paths[index].parent} have different "
                f"sizes: {sorted(sizes)}.\nExpected images of one scene that lie on each other."
            )


RENOIR = DatasetFacts(
    name="renoir",
    title="RENOIR",
    find=find,
    aliases=("renoir_512",),
    splits=("train", "validation", "all", "with_misaligned"),
    **TRAINABLE,
    counts={"train": 29, "validation": 10, "all": 39, "with_misaligned": 40},
    pattern=r"batch\d\d_(noisy|reference|clean)\.png",
    protocol=Protocol(
        split="scenes 1-30 train, 31-40 validate; scene 17 is misaligned and in no split but "
        "with_misaligned",
        crop="the 512×512 crops as published",
        clipping="noisy files as they are, output clipped",
        rounding="none; the clean image is the unrounded mean of two shots",
        noise="real",
        compares_with="none known for these crops; noisy input 28.24 dB over 39 scenes, "
        "28.06 dB over 40",
    ),
    origin="https://github.com/lbasek/image-denoising-benchmark: 512×512 crops of RENOIR",
    terms="MIT for the repository; none stated for the photographs, which are RENOIR's",
    citation="J. Anaya, A. Barbu: RENOIR - A Dataset for Real Low-Light Image Noise Reduction, "
    "Journal of Visual Communication and Image Representation 51, 2018",
    how_to_get="copy the folder of batchNN_{noisy,reference,clean}.png from "
    "https://github.com/lbasek/image-denoising-benchmark",
)
