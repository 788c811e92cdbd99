"""RENOIR: photographs of scenes with real low-light noise and with little noise.

A scene is three files, `batchNN_noisy.png`, `batchNN_reference.png` and `batchNN_clean.png`; the
last two are shots with little noise, and their mean is the clean image. Scene 17 is left out
because its shots are not aligned.
"""

import dataclasses
import re
from pathlib import Path

import numpy as np

from datasets.sets import folder_sets as folder
from datasets.sets.image_set import REAL_NOISE, TRAINABLE, DatasetInfo, ImageSet, Protocol
from gradnet_tf.images.image_files import list_images, read_image
from gradnet_tf.utils.errors import UserError

_KINDS = ("noisy", "reference", "clean")
_MISALIGNED = 17
_LAST_TRAINING_SCENE = 30


def find(info: DatasetInfo, data_dir: str | Path | None, split: str, channels: int) -> ImageSet:
    """Finds the scenes; see `Find`."""
    root = folder.find_named(info, folder.check_data_dir(info, data_dir))
    scenes = list_split(info, root, split)
    names, shots = [name for name, _ in scenes], tuple(files for _, files in scenes)
    paths = [files[-1] for files in shots]
    return RenoirSet(info.name, split, names, paths, channels, info, shots)


def list_split(
    info: DatasetInfo, root: Path, split: str
) -> list[tuple[str, tuple[Path, Path, Path]]]:
    """Lists a split as (name, its three files), in order of the scenes.

    Args:
        info: the set's row.
        root: the folder of the files.
        split: `train` (scenes 1-30), `validation` (from 31), `all`, or
            `with_misaligned`, the only one with scene 17.

    Raises:
        UserError: if a scene lacks one of its files, or there is no scene.
    """
    scenes: dict[int, dict[str, Path]] = {}
    for path in list_images(root):
        if re.fullmatch(info.pattern, path.name.lower()):
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
                f"dataset {info.name}: folder {root} lacks {', '.join(missing)}.\n"
                f"A scene is a noisy, a reference and a clean image; {info.how_to_get}."
            )
        found.append((f"batch{number:02d}.png", tuple(files[kind] for kind in _KINDS)))
    if not found:
        raise UserError(
            f"dataset {info.name}: folder {root} has no scene for the split {split}.\n"
            f"To get it: {info.how_to_get}."
        )
    return found


@dataclasses.dataclass(frozen=True)
class RenoirSet(ImageSet):
    """Scenes as (noisy, reference, clean) in `shots`; `paths` has the last of each."""

    shots: tuple[tuple[Path, Path, Path], ...] = ()

    def load(self, index: int) -> np.ndarray:
        """Returns the mean of the two shots with little noise, uint8 (half to even)."""
        return np.rint(self._mean(index)).astype(np.uint8)

    def clean(self, index: int) -> np.ndarray:
        """Returns the unrounded mean, float32 in [0, 1]; rounding it would cost 0.007 dB."""
        return self._mean(index) / np.float32(255)

    def _mean(self, index: int) -> np.ndarray:
        shots = [read_image(path, self.channels) for path in self.shots[index][1:]]
        if len({shot.shape for shot in shots}) > 1:
            raise UserError(
                f"the shots of {self.names[index]} in {self.paths[index].parent} have different "
                f"sizes: {sorted(shot.shape for shot in shots)}.\n"
                "Expected aligned images of one scene."
            )
        return np.mean(shots, axis=0, dtype=np.float32)

    def noisy(self, index: int) -> np.ndarray:
        """Returns the shot with real noise, uint8."""
        return read_image(self.shots[index][0], self.channels)

    def sources(self, index: int) -> tuple[Path, ...]:
        """Returns the three shots."""
        return self.shots[index]


RENOIR = DatasetInfo(
    name="renoir",
    title="RENOIR",
    find=find,
    aliases=("renoir_512",),
    splits=("train", "validation", "all", "with_misaligned"),
    unions=("all", "with_misaligned"),
    **TRAINABLE,
    counts={"train": 29, "validation": 10, "all": 39, "with_misaligned": 40},
    pattern=r"batch\d\d_(noisy|reference|clean)\.png",
    protocol=Protocol(
        **REAL_NOISE,
        split="scenes 1-30 for training, 31-40 for validation; scene 17 is misaligned and only in "
        "with_misaligned",
        crop="the 512×512 crops as published",
        rounding="none; the clean image is the unrounded mean of two shots",
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
