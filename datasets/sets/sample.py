"""The default set: photographs inside the scikit-image and scikit-learn packages.

Nothing is downloaded or copied: the files are read from the installed packages. Their drawings and
test patterns are left out, and so are the gray photographs unless gray is requested. The splits are
by name, and no two splits show the same scene: both views of the motorcycle are in `train`.
"""

import dataclasses
import importlib.util
import re
from pathlib import Path

from datasets.sets import folder_sets as folder
from datasets.sets.image_set import DatasetInfo, ImageSet, Protocol
from gradnet_tf.runtimes.choose_runtime import has_backend
from gradnet_tf.utils.errors import UserError


@dataclasses.dataclass(frozen=True)
class Photograph:
    """One file: its package, its split and its terms."""

    name: str
    package: str
    split: str
    color: bool
    terms: str


_CC_BY = "Creative Commons BY 2.0"
_MIDDLEBURY = "none stated; Middlebury Stereo 2014, cite Scharstein et al., GCPR 2014"

# Terms as the two packages state them beside the images.
PHOTOGRAPHS = (
    Photograph("astronaut.png", "skimage", "train", True, "public domain (NASA)"),
    Photograph("china.jpg", "sklearn", "train", True, f"{_CC_BY}, danielbuechele"),
    Photograph("hubble_deep_field.jpg", "skimage", "train", True, "public domain (NASA)"),
    Photograph("ihc.png", "skimage", "train", True, "no known copyright restrictions (CMMI)"),
    Photograph("motorcycle_left.png", "skimage", "train", True, _MIDDLEBURY),
    Photograph("motorcycle_right.png", "skimage", "train", True, _MIDDLEBURY),
    Photograph("retina.jpg", "skimage", "train", True, "CC0, M. Häggström"),
    Photograph("rocket.jpg", "skimage", "train", True, "public domain (SpaceX)"),
    Photograph("flower.jpg", "sklearn", "validation", True, f"{_CC_BY}, vultilion"),
    Photograph("chelsea.png", "skimage", "test", True, "CC0, S. van der Walt"),
    Photograph("coffee.png", "skimage", "test", True, "CC0, R. Michetti"),
    Photograph("brick.png", "skimage", "train", False, "CC0 (CC0 Textures)"),
    Photograph("coins.png", "skimage", "train", False, "no known copyright restrictions"),
    Photograph("grass.png", "skimage", "train", False, "CC0, linolafett"),
    Photograph("gravel.png", "skimage", "train", False, "CC0 (CC0 Textures)"),
    Photograph("moon.png", "skimage", "train", False, "none stated"),
    Photograph("camera.png", "skimage", "test", False, "CC0, L. Varshney"),
)

# By package: its distribution, and the folder of its images.
_PACKAGES = {
    "skimage": ("scikit-image", "data"),
    "sklearn": ("scikit-learn", "datasets/images"),
}


def find(info: DatasetInfo, data_dir: str | Path | None, split: str, channels: int) -> ImageSet:
    """Finds the photographs in the installed packages; see `Find`."""
    return folder.image_set(info, split, list_split(split, gray=channels == 1), channels)


def require_packages(dataset: str) -> None:
    """Raises for all at once that a program of this checkout lacks, before its work begins.

    Args:
        dataset: the value of --dataset; the sample photographs are in packages.

    Raises:
        UserError: names what is not installed, and the one command that installs it.
    """
    missing = [] if has_backend() else ["tensorflow"]
    if "sample" in re.split("[:,]", dataset):
        found = {each: importlib.util.find_spec(each) for each in _PACKAGES}
        missing += [_PACKAGES[each][0] for each in found if found[each] is None]
    if missing:
        raise UserError(
            f"not installed: {', '.join(missing)}.\n"
            "Run: pip install -r requirements.txt in this environment (or `make venv`)."
        )


def list_split(split: str, gray: bool) -> list[tuple[str, Path]]:
    """Lists a split as (file name, path), in byte order of the names.

    Args:
        split: `train`, `validation`, `test` or `all`.
        gray: include the photographs that exist in gray only.

    Raises:
        UserError: if a package is not installed or does not contain a file.
    """
    wanted = [
        photograph
        for photograph in PHOTOGRAPHS
        if split in (photograph.split, "all") and (photograph.color or gray)
    ]
    return [(p.name, _locate(p)) for p in sorted(wanted, key=lambda p: p.name.encode())]


def _locate(photograph: Photograph) -> Path:
    distribution, folder_name = _PACKAGES[photograph.package]
    spec = importlib.util.find_spec(photograph.package)
    if spec is None or spec.origin is None:
        raise UserError(
            f"the sample photograph {photograph.name} ships inside {distribution}, which is not "
            f"installed.\nRun: pip install {distribution}, or name another --dataset."
        )
    path = Path(spec.origin).parent / folder_name / photograph.name
    if not path.is_file():
        raise UserError(
            f"the installed {distribution} has no sample photograph {photograph.name} "
            f"(looked for {path}).\nInstall the version in requirements.txt, or name another "
            "--dataset."
        )
    return path


SAMPLE = DatasetInfo(
    name="sample",
    title="sample photographs",
    find=find,
    splits=("train", "validation", "test", "all"),
    unions=("all",),
    training_split="train",
    validation_split="validation",
    origin="photographs inside the installed scikit-image and scikit-learn packages",
    protocol=Protocol(
        split="chelsea and coffee are the test split; no two splits show the same scene",
        compares_with="none; for quick tests",
    ),
    terms="each photograph has its own, see datasets/sets/sample.py",
    citation="see datasets/sets/sample.py",
    how_to_get="pip install scikit-image scikit-learn (they are in requirements.txt)",
)
