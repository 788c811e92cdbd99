"""Sets that are folders of images, and how the folder of any set is found below --data_dir.

A new set of this kind is a row at the end of this file. A set with a layout of its own has a
module with a `find` and a row, and is listed in `datasets.sets.catalog`.
"""

import re
from pathlib import Path

from datasets.sets.image_set import FOR_TRAINING, TRAINABLE, DatasetFacts, ImageSet, Protocol
from gradnet_tf.images.image_files import list_images
from gradnet_tf.utils.errors import UserError

# A folder without a split of its own gives every twentieth image, at most 16, to validation.
_VALIDATION_SHARE = 20
_MOST_VALIDATION = 16


def check_data_dir(facts: DatasetFacts, data_dir: str | Path | None) -> Path:
    """Returns `data_dir` as a path to an existing folder.

    Raises:
        UserError: when it is not given, missing or a file; says how to get the set.
    """
    if data_dir is None or str(data_dir) == "":
        raise UserError(
            f"dataset {facts.name} needs --data_dir, the folder that holds it; none was given.\n"
            f"To get it: {facts.how_to_get}."
        )
    path = Path(data_dir).expanduser()
    if not path.is_dir():
        what = "is not a folder" if path.exists() else "does not exist"
        raise UserError(
            f"dataset {facts.name}: --data_dir={data_dir} {what}.\n"
            f"Expected the folder that holds it; to get it: {facts.how_to_get}."
        )
    return path


def named_folders(facts: DatasetFacts, data_dir: Path) -> list[Path]:
    """Lists the subfolders called like the set or an alias, whatever the case; its name first."""
    names = [name.casefold() for name in (facts.name, *facts.aliases)]
    found = [p for p in data_dir.iterdir() if p.is_dir() and p.name.casefold() in names]
    return sorted(found, key=lambda p: (names.index(p.name.casefold()), p.name))


def is_named(facts: DatasetFacts, folder: Path) -> bool:
    """Returns whether the folder itself has the name of the set or an alias."""
    names = {name.casefold() for name in (facts.name, *facts.aliases)}
    return folder.resolve().name.casefold() in names


def find_named(facts: DatasetFacts, data_dir: Path) -> Path:
    """Returns D/<name or alias>, or D itself if it has such a name or such files.

    Raises:
        UserError: when the set is not found.
    """
    named = named_folders(facts, data_dir)
    fits = any(re.fullmatch(facts.pattern, p.name.lower()) for p in list_images(data_dir))
    if not named and not fits and not is_named(facts, data_dir):
        raise not_found(facts, data_dir)
    return named[0] if named else data_dir


def not_found(facts: DatasetFacts, data_dir: Path) -> UserError:
    """Returns the error for a set that was not found: what was looked for, what to do."""
    names = list(dict.fromkeys((facts.name, *facts.aliases)))
    return UserError(
        f"dataset {facts.name} is not in --data_dir={data_dir}.\n"
        f"Looked for a subfolder named {' or '.join(names)} (in any case), and for its files in "
        f"the folder itself.\nTo get it: {facts.how_to_get}."
    )


def find(facts: DatasetFacts, data_dir: str | Path | None, split: str, channels: int) -> ImageSet:
    """Finds a set that is one flat folder; see `datasets.sets.catalog`."""
    named = find_flat(facts, check_data_dir(facts, data_dir))
    return image_set(facts, split, named, channels)


def find_own(
    facts: DatasetFacts, data_dir: str | Path | None, split: str, channels: int
) -> ImageSet:
    """Finds a person's own folder; see `datasets.sets.catalog`."""
    paths = list_own_folder(check_data_dir(facts, data_dir), split)
    return image_set(facts, split, [(path.name, path) for path in paths], channels)


def image_set(
    facts: DatasetFacts, split: str, named: list[tuple[str, Path]], channels: int
) -> ImageSet:
    """Makes an `ImageSet` of (name, path) pairs."""
    names, paths = [name for name, _ in named], [path for _, path in named]
    return ImageSet(facts.name, split, names, paths, channels, facts)


def find_flat(facts: DatasetFacts, data_dir: Path) -> list[tuple[str, Path]]:
    """Lists the images of a set that is one folder, as (name, path) in byte order of the names.

    Looks at D/<name or alias>, then at D itself, which fits when it is called
    like the set, or when all its images are named like the set's and are as many.

    Raises:
        UserError: when the set is not found, or its folder has no images.
    """
    named = named_folders(facts, data_dir)
    if is_named(facts, data_dir):
        named.append(data_dir)
    for folder in named:
        paths = list_images(folder, facts.recursive)
        if paths:
            return [(path.relative_to(folder).as_posix(), path) for path in paths]
    paths = list_images(data_dir)
    if len(paths) in facts.counts.values() and all(
        re.fullmatch(facts.pattern, path.name, re.IGNORECASE) for path in paths
    ):
        return [(path.name, path) for path in paths]
    if named:
        raise UserError(
            f"dataset {facts.name}: folder {named[0]} has no images.\n"
            f"To get it: {facts.how_to_get}."
        )
    raise not_found(facts, data_dir)


def list_own_folder(data_dir: Path, split: str) -> list[Path]:
    """Lists a split of a person's own folder D.

    `all` is the images in D. `train` and `validation` are D/train and
    D/validation (or D/val) where these exist. Without the latter every
    twentieth image (1 to 16 of them, evenly spaced in byte order) is held out
    of D/train or D for validation. `test` is D/test.

    Raises:
        UserError: when there are no images, or a single one to split in two.
    """
    if split in ("all", "test"):
        return _require_images(data_dir / "test" if split == "test" else data_dir)
    separate = validation_folder(data_dir)
    if split == "validation" and separate is not None:
        return _require_images(separate)
    folder = training_folder(data_dir)
    paths = _require_images(folder)
    if separate is not None:
        return paths
    if len(paths) < 2:
        raise UserError(
            f"folder {folder} has one image; expected at least two, since one is held out.\n"
            "Add images, or put the validation images into a subfolder named validation."
        )
    return held_out_split(paths, split)


def validation_folder(data_dir: Path) -> Path | None:
    """Returns D/validation or D/val if there is one."""
    folders = (data_dir / name for name in ("validation", "val"))
    return next((folder for folder in folders if folder.is_dir()), None)


def training_folder(data_dir: Path) -> Path:
    """Returns D/train if it exists, else D."""
    folder = data_dir / "train"
    return folder if folder.is_dir() else data_dir


def held_out_split(items: list, split: str) -> list:
    """Returns the items held out for `validation`, or the others for `train`.

    One of twenty is held out, from 1 to 16, evenly spaced in the order given.
    """
    count = len(items)
    number = min(_MOST_VALIDATION, max(1, count // _VALIDATION_SHARE))
    held_out = {(2 * index + 1) * count // (2 * number) for index in range(number)}
    wanted = split == "validation"
    return [item for index, item in enumerate(items) if (index in held_out) == wanted]


def _require_images(folder: Path) -> list[Path]:
    paths = list_images(folder)
    if not paths:
        below = list_images(folder, recursive=True)
        hint = f" (images lie deeper, in {below[0].parent})" if below else ""
        raise UserError(
            f"folder {folder} has no images{hint}.\nExpected clean images directly in --data_dir."
        )
    return paths


def find_split(
    facts: DatasetFacts, data_dir: str | Path | None, split: str, channels: int
) -> ImageSet:
    """Finds a split; see `datasets.sets.catalog`.

    The subfolders of `facts.split_folders` are looked for in D/<name or
    alias>, in D, and beside D where D is one of them. A set without a
    validation folder gives evenly spaced images of its training folder, one of
    twenty and 16 at most.
    """
    root = check_data_dir(facts, data_dir)
    own = facts.split_folders.get(split)
    found = _split_folder(facts, root, own or facts.split_folders["train"])
    named = [(path.name, path) for path in list_images(found)]
    if own is None and split != "all":
        named = held_out_split(named, split)
    elif split == "train" and "validation" not in facts.split_folders:
        named = held_out_split(named, split)
    return image_set(facts, split, named, channels)


def _split_folder(facts: DatasetFacts, root: Path, names: tuple[str, ...]) -> Path:
    """Returns the first of the subfolders that has images."""
    places = [*named_folders(facts, root), root]
    if root.resolve().name in {name for some in facts.split_folders.values() for name in some}:
        places.append(root.resolve().parent)
    wanted = [name.casefold() for name in names]
    for place in places:
        below = {path.name.casefold(): path for path in place.iterdir() if path.is_dir()}
        for name in wanted:
            if name in below and list_images(below[name]):
                return below[name]
    for place in places:
        # The images themselves, where nothing but such images is there.
        images = list_images(place) if "." in names else []
        if images and all(re.fullmatch(facts.pattern, path.name.lower()) for path in images):
            return place
    if named_folders(facts, root) or is_named(facts, root):
        raise UserError(
            f"dataset {facts.name}: {places[0]} has no images in a subfolder "
            f"{' or '.join(name for name in names if name != '.')}"
            f"{', nor directly' if '.' in names else ''}.\nTo get it: {facts.how_to_get}."
        )
    raise not_found(facts, root)


FFDNET = "https://github.com/cszn/FFDNet (folder testsets)"
COLOUR_TABLES = (
    "colour tables of FFDNet, DPIR and SwinIR: σ = 15, 25, 50, PSNR over the three channels"
)
GREY_TABLES = "grey tables of DnCNN, FFDNet, DPIR and SwinIR: σ = 15, 25, 50"


def awgn(split: str, compares_with: str, colour_space: str = "RGB") -> Protocol:
    """Returns how a set of clean images is scored, to which Gaussian noise is added."""
    return Protocol(split=split, colour_space=colour_space, compares_with=compares_with)


_HELD_OUT = "the split train; 16 images, evenly spaced in byte order, are held out for validation"
_REAL = "noisy files as they are, output clipped"
_RNI = (
    "M. Lebrun, M. Colom, J.-M. Morel: The Noise Clinic: a Blind Image Denoising Algorithm, "
    "Image Processing On Line 5, 2015; the choice of 15: K. Zhang, W. Zuo, L. Zhang: FFDNet, "
    "IEEE TIP 27(9), 2018"
)

FOLDER = DatasetFacts(
    name="folder",
    title="folder",
    find=find_own,
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
)
TRAINING = (
    DatasetFacts(
        name="div2k",
        title="DIV2K",
        find=find_split,
        splits=("train", "validation"),
        **TRAINABLE,
        counts={"train": 800, "validation": 100},
        pattern=r"\d{4}\.png",
        split_folders={"train": ("DIV2K_train_HR",), "validation": ("DIV2K_valid_HR",)},
        protocol=Protocol(
            split="the 800 of DIV2K_train_HR train, the 100 of DIV2K_valid_HR validate",
            compares_with=FOR_TRAINING,
        ),
        origin="https://data.vision.ee.ethz.ch/cvl/DIV2K/",
        terms="academic research only; the photographs belong to their owners",
        citation="E. Agustsson, R. Timofte: NTIRE 2017 Challenge on Single Image "
        "Super-Resolution: Dataset and Study, CVPR Workshops 2017",
        how_to_get="unpack DIV2K_train_HR.zip and DIV2K_valid_HR.zip of "
        "https://data.vision.ee.ethz.ch/cvl/DIV2K/ into a folder DIV2K",
    ),
    DatasetFacts(
        name="flickr2k",
        title="Flickr2K",
        find=find_split,
        splits=("train", "validation", "all"),
        **TRAINABLE,
        counts={"train": 2634, "validation": 16, "all": 2650},
        pattern=r"\d{6}\.png",
        split_folders={"train": ("Flickr2K_HR", ".")},
        protocol=Protocol(split=_HELD_OUT, compares_with=FOR_TRAINING),
        origin="https://github.com/limbee/NTIRE2017",
        terms="none stated with the images; the photographs belong to their owners on Flickr",
        citation="B. Lim, S. Son, H. Kim, S. Nah, K. M. Lee: Enhanced Deep Residual Networks for "
        "Single Image Super-Resolution, CVPR Workshops 2017",
        how_to_get="unpack Flickr2K.tar, linked at https://github.com/limbee/NTIRE2017; its images "
        "are in Flickr2K/Flickr2K_HR",
    ),
    DatasetFacts(
        name="wed",
        title="WED",
        find=find_split,
        aliases=("WaterlooED", "WED4744", "exploration_database_and_code"),
        splits=("train", "validation", "all"),
        **TRAINABLE,
        counts={"train": 4728, "validation": 16, "all": 4744},
        pattern=r"\d{5}\.(bmp|png)",
        split_folders={"train": ("pristine_images", ".")},
        protocol=Protocol(split=_HELD_OUT, compares_with=FOR_TRAINING),
        origin="https://ece.uwaterloo.ca/~k29ma/exploration/",
        terms="research use; asks for citation",
        citation="K. Ma, Z. Duanmu, Q. Wu, Z. Wang, H. Yong, H. Li, L. Zhang: Waterloo Exploration "
        "Database: New Challenges for Image Quality Assessment Models, IEEE TIP 26(2), 2017",
        how_to_get="unpack the archive of https://ece.uwaterloo.ca/~k29ma/exploration/ into a "
        "folder WED; its images are in pristine_images",
    ),
)
CLEAN = (
    DatasetFacts(
        name="set12",
        title="Set12",
        find=find,
        colour=False,
        counts={"test": 12},
        pattern=r"\d\d\.(png|tif|bmp)",
        protocol=awgn("all 12 images", GREY_TABLES, "grey"),
        origin=FFDNET,
        terms="no licence file",
        citation="K. Zhang, W. Zuo, Y. Chen, D. Meng, L. Zhang: Beyond a Gaussian Denoiser, "
        "IEEE TIP 26(7), 2017",
        how_to_get=f"copy Set12 from {FFDNET}",
    ),
    DatasetFacts(
        name="kodak24",
        title="Kodak24",
        find=find,
        aliases=("Kodak", "KodakCD"),
        counts={"test": 24},
        pattern=r"(kodim|kodak)?_?\d{1,2}\.(png|tiff?|bmp)",
        protocol=awgn("all 24 images", COLOUR_TABLES),
        origin=f"https://r0k.us/graphics/kodak/ and {FFDNET}",
        terms="released by Eastman Kodak for unrestricted use, as r0k.us states",
        citation="R. Franzen: Kodak Lossless True Color Image Suite, https://r0k.us/graphics/kodak/",
        how_to_get=f"copy Kodak24 from {FFDNET}",
    ),
    DatasetFacts(
        name="mcmaster",
        title="McMaster",
        find=find,
        aliases=("McM", "McMaster18"),
        counts={"test": 18},
        pattern=r"(mcm|mcmaster)?_?\d{1,2}\.(png|tiff?|bmp)",
        protocol=awgn("all 18 images", COLOUR_TABLES),
        origin="https://www4.comp.polyu.edu.hk/~cslzhang/CDM_Dataset.htm",
        terms="no licence file",
        citation="L. Zhang, X. Wu, A. Buades, X. Li: Color demosaicking by local directional "
        "interpolation and nonlocal adaptive thresholding, Journal of Electronic Imaging 20(2), "
        "2011",
        how_to_get="download McM from https://www4.comp.polyu.edu.hk/~cslzhang/CDM_Dataset.htm",
    ),
    DatasetFacts(
        name="urban100",
        title="Urban100",
        find=find,
        aliases=("Urban100_HR", "image_SRF_4"),
        counts={"test": 100},
        pattern=r"img_?\d{3}(_srf_\d_hr)?\.png",
        protocol=awgn("all 100 images", "colour tables of SwinIR and Restormer: σ = 15, 25, 50"),
        origin="https://github.com/jbhuang0604/SelfExSR",
        terms="none stated with the images, which are from Flickr",
        citation="J.-B. Huang, A. Singh, N. Ahuja: Single Image Super-Resolution from Transformed "
        "Self-Exemplars, CVPR 2015",
        how_to_get="get the high-resolution images img_001 to img_100 of Urban100, linked at "
        "https://github.com/jbhuang0604/SelfExSR",
    ),
)
RNI15 = DatasetFacts(
    name="rni15",
    title="RNI15",
    find=find,
    aliases=("RNI",),
    counts={"test": 15},
    pattern=r"(audrey_hepburn|bears|boy|dog|flowers|frog|glass|movie|pattern[123]|postcards|"
    r"singer|stars|window)\.(png|jpe?g)",
    without_clean=("test",),
    protocol=Protocol(
        split="all 15 images",
        clipping=_REAL,
        noise="real",
        compares_with="nothing: no clean images; for looking at",
    ),
    origin="https://github.com/cszn/FFDNet (folder testsets), from the Noise Clinic",
    terms="no licence file",
    citation=_RNI,
    how_to_get="copy RNI15 from https://github.com/cszn/FFDNet (folder testsets)",
)
