"""Sets that are folders of images, and the search for the folder of a set below --data_dir.

To add such a set, add its `DatasetInfo` at the end of this file. A set with a layout of its own
has a module with its `find` and its `DatasetInfo`, and is listed in `datasets.sets.catalog`.
"""

import re
from pathlib import Path

from datasets.sets.image_set import (
    FOR_TRAINING,
    OWN_SPLITS,
    REAL_NOISE,
    TRAINABLE,
    DatasetInfo,
    ImageSet,
    Protocol,
)
from gradnet_tf.images.image_files import list_images
from gradnet_tf.utils.errors import UserError

# One of this many images, at most 16, is held out where there is no validation split.
_VALIDATION_SHARE = 20
_MOST_VALIDATION = 16


def check_data_dir(info: DatasetInfo, data_dir: str | Path | None) -> Path:
    """Returns `data_dir` as a path.

    Raises:
        UserError: if it is not given, missing or a file; says how to get the set.
    """
    if data_dir is None or str(data_dir) == "":
        raise UserError(
            f"dataset {info.name} needs --data_dir, the folder that contains it.\n"
            f"To get it: {info.how_to_get}."
        )
    path = Path(data_dir).expanduser()
    if not path.is_dir():
        what = "is not a folder" if path.exists() else "does not exist"
        raise UserError(
            f"dataset {info.name}: --data_dir={data_dir} {what}.\n"
            f"Expected the folder that contains it; to get it: {info.how_to_get}."
        )
    return path


def named_folders(info: DatasetInfo, data_dir: Path) -> list[Path]:
    """Lists the subfolders named after the set or an alias, in any case; its own name first."""
    names = [name.casefold() for name in (info.name, *info.aliases)]
    found = [p for p in data_dir.iterdir() if p.is_dir() and p.name.casefold() in names]
    return sorted(found, key=lambda p: (names.index(p.name.casefold()), p.name))


def candidates(info: DatasetInfo, data_dir: str | Path | None) -> list[Path]:
    """Returns the folders to look into: D/<name or alias> where they exist, then D itself."""
    root = check_data_dir(info, data_dir)
    return [*named_folders(info, root), root]


def is_named(info: DatasetInfo, folder: Path) -> bool:
    """Whether the folder itself is named after the set or an alias."""
    names = {name.casefold() for name in (info.name, *info.aliases)}
    return folder.resolve().name.casefold() in names


def find_named(info: DatasetInfo, data_dir: Path) -> Path:
    """Returns D/<name or alias>, or D itself if its name or files match; raises `not_found`."""
    named = named_folders(info, data_dir)
    fits = any(re.fullmatch(info.pattern, p.name.lower()) for p in list_images(data_dir))
    if not named and not fits and not is_named(info, data_dir):
        raise not_found(info, data_dir)
    return named[0] if named else data_dir


def not_found(info: DatasetInfo, data_dir: Path) -> UserError:
    """Returns the error for a set that was not found."""
    names = list(dict.fromkeys((info.name, *info.aliases)))
    return UserError(
        f"dataset {info.name} is not in --data_dir={data_dir}.\n"
        f"Looked for a subfolder named {' or '.join(names)} (in any case), and for its files in "
        f"the folder itself.\nTo get it: {info.how_to_get}."
    )


def find(info: DatasetInfo, data_dir: str | Path | None, split: str, channels: int) -> ImageSet:
    """Finds a set that is one flat folder; see `Find`."""
    named = find_flat(info, check_data_dir(info, data_dir))
    return image_set(info, split, named, channels)


def find_own(info: DatasetInfo, data_dir: str | Path | None, split: str, channels: int) -> ImageSet:
    """Finds a split of the user's own folder; see `Find`."""
    paths = list_own_folder(check_data_dir(info, data_dir), split)
    return image_set(info, split, [(path.name, path) for path in paths], channels)


def image_set(
    info: DatasetInfo, split: str, named: list[tuple[str, Path]], channels: int
) -> ImageSet:
    """Makes an `ImageSet` of (name, path) pairs."""
    names, paths = [name for name, _ in named], [path for _, path in named]
    return ImageSet(info.name, split, names, paths, channels, info)


def find_flat(info: DatasetInfo, data_dir: Path) -> list[tuple[str, Path]]:
    """Lists the images of a set that is one folder, as (name, path) in byte order of the names.

    Looks at D/<name or alias>, then at D itself, which matches if it has the name of the set, or
    if the names and the number of its images are those of the set.

    Raises:
        UserError: if the set is not found, or its folder has no images.
    """
    named = named_folders(info, data_dir)
    if is_named(info, data_dir):
        named.append(data_dir)
    for folder in named:
        paths = list_images(folder, info.recursive)
        if paths:
            return [(path.relative_to(folder).as_posix(), path) for path in paths]
    paths = list_images(data_dir)
    if len(paths) in info.counts.values() and all(
        re.fullmatch(info.pattern, path.name, re.IGNORECASE) for path in paths
    ):
        return [(path.name, path) for path in paths]
    if named:
        raise UserError(
            f"dataset {info.name}: folder {named[0]} has no images.\nTo get it: {info.how_to_get}."
        )
    raise not_found(info, data_dir)


def list_own_folder(data_dir: Path, split: str) -> list[Path]:
    """Lists a split of the user's own folder D.

    `all` is the images in D, `test` those in D/test. `train` and `validation` are D/train and
    D/validation (or D/val) if they exist; without the latter, see `held_out_split`.

    Raises:
        UserError: if there are no images, or only one to split in two.
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
    """Returns D/validation or D/val if one of them exists."""
    folders = (data_dir / name for name in ("validation", "val"))
    return next((folder for folder in folders if folder.is_dir()), None)


def training_folder(data_dir: Path) -> Path:
    """Returns D/train if it exists, else D."""
    folder = data_dir / "train"
    return folder if folder.is_dir() else data_dir


def held_out_split(items: list, split: str) -> list:
    """Returns the items held out for `validation`, or the others for `train`.

    One of twenty is held out, 1 to 16 in total, evenly spaced in the given order.
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
        hint = f" (there are images in {below[0].parent})" if below else ""
        raise UserError(
            f"folder {folder} has no images{hint}.\nExpected clean images directly in --data_dir."
        )
    return paths


def find_split(
    info: DatasetInfo, data_dir: str | Path | None, split: str, channels: int
) -> ImageSet:
    """Finds a split; see `Find`.

    Looks for the subfolders of `info.split_folders` in D/<name or alias>, in D, and beside D if D
    is one of them. Without a validation folder, see `held_out_split`.
    """
    root = check_data_dir(info, data_dir)
    own = info.split_folders.get(split)
    found = _split_folder(info, root, own or info.split_folders["train"])
    named = [(path.name, path) for path in list_images(found)]
    if own is None and split != "all":
        named = held_out_split(named, split)
    elif split == "train" and "validation" not in info.split_folders:
        named = held_out_split(named, split)
    return image_set(info, split, named, channels)


def _split_folder(info: DatasetInfo, root: Path, names: tuple[str, ...]) -> Path:
    """Returns the first of the subfolders that has images."""
    places = [*named_folders(info, root), root]
    if root.resolve().name in {name for some in info.split_folders.values() for name in some}:
        places.append(root.resolve().parent)
    wanted = [name.casefold() for name in names]
    for place in places:
        below = {path.name.casefold(): path for path in place.iterdir() if path.is_dir()}
        for name in wanted:
            if name in below and list_images(below[name]):
                return below[name]
    for place in places:
        # A folder that contains only images of the set.
        images = list_images(place) if "." in names else []
        if images and all(re.fullmatch(info.pattern, path.name.lower()) for path in images):
            return place
    if named_folders(info, root) or is_named(info, root):
        raise UserError(
            f"dataset {info.name}: {places[0]} has no images in a subfolder "
            f"{' or '.join(name for name in names if name != '.')}"
            f"{', nor directly' if '.' in names else ''}.\nTo get it: {info.how_to_get}."
        )
    raise not_found(info, root)


FFDNET = "https://github.com/cszn/FFDNet (folder testsets)"
COLOR_TABLES = (
    "color tables of FFDNet, DPIR and SwinIR: σ = 15, 25, 50, PSNR over the three channels"
)
GRAY_TABLES = "gray tables of DnCNN, FFDNet, DPIR and SwinIR: σ = 15, 25, 50"


def awgn(split: str, compares_with: str, colour_space: str = "RGB") -> Protocol:
    """Returns the protocol of a set of clean images, to which Gaussian noise is added."""
    return Protocol(split=split, colour_space=colour_space, compares_with=compares_with)


_HELD_OUT = "the split train; 16 images, evenly spaced in byte order, are held out for validation"

FOLDER = DatasetInfo(
    name="folder",
    title="folder",
    find=find_own,
    **OWN_SPLITS,
    protocol=Protocol(
        split="all images, or the folders train, validation and test; without a folder "
        "validation, one image of twenty is held out of train, at most 16",
        compares_with="none: your own images",
    ),
    origin="your own images",
    how_to_get="give --data_dir a folder of clean images",
)
TRAINING = (
    DatasetInfo(
        name="div2k",
        title="DIV2K",
        find=find_split,
        splits=("train", "validation"),
        **TRAINABLE,
        counts={"train": 800, "validation": 100},
        pattern=r"\d{4}\.png",
        split_folders={"train": ("DIV2K_train_HR",), "validation": ("DIV2K_valid_HR",)},
        protocol=Protocol(
            split="800 images of DIV2K_train_HR for training, 100 of DIV2K_valid_HR for validation",
            compares_with=FOR_TRAINING,
        ),
        origin="https://data.vision.ee.ethz.ch/cvl/DIV2K/",
        terms="academic research only; the photographs belong to their owners",
        citation="E. Agustsson, R. Timofte: NTIRE 2017 Challenge on Single Image "
        "Super-Resolution: Dataset and Study, CVPR Workshops 2017",
        how_to_get="unpack DIV2K_train_HR.zip and DIV2K_valid_HR.zip of "
        "https://data.vision.ee.ethz.ch/cvl/DIV2K/ into a folder DIV2K",
    ),
    DatasetInfo(
        name="flickr2k",
        title="Flickr2K",
        find=find_split,
        splits=("train", "validation", "all"),
        unions=("all",),
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
    DatasetInfo(
        name="wed",
        title="WED",
        find=find_split,
        aliases=("WaterlooED", "WED4744", "exploration_database_and_code"),
        splits=("train", "validation", "all"),
        unions=("all",),
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
    DatasetInfo(
        name="set12",
        title="Set12",
        find=find,
        color=False,
        counts={"test": 12},
        pattern=r"\d\d\.(png|tif|bmp)",
        protocol=awgn("all 12 images", GRAY_TABLES, "gray"),
        origin=FFDNET,
        terms="no licence file",
        citation="K. Zhang, W. Zuo, Y. Chen, D. Meng, L. Zhang: Beyond a Gaussian Denoiser, "
        "IEEE TIP 26(7), 2017",
        how_to_get=f"copy Set12 from {FFDNET}",
    ),
    DatasetInfo(
        name="kodak24",
        title="Kodak24",
        find=find,
        aliases=("Kodak", "KodakCD"),
        counts={"test": 24},
        pattern=r"(kodim|kodak)?_?\d{1,2}\.(png|tiff?|bmp)",
        protocol=awgn("all 24 images", COLOR_TABLES),
        origin=f"https://r0k.us/graphics/kodak/ and {FFDNET}",
        terms="released by Eastman Kodak for unrestricted use, as r0k.us states",
        citation="R. Franzen: Kodak Lossless True Color Image Suite, https://r0k.us/graphics/kodak/",
        how_to_get=f"copy Kodak24 from {FFDNET}",
    ),
    DatasetInfo(
        name="mcmaster",
        title="McMaster",
        find=find,
        aliases=("McM", "McMaster18"),
        counts={"test": 18},
        pattern=r"(mcm|mcmaster)?_?\d{1,2}\.(png|tiff?|bmp)",
        protocol=awgn("all 18 images", COLOR_TABLES),
        origin="https://www4.comp.polyu.edu.hk/~cslzhang/CDM_Dataset.htm",
        terms="no licence file",
        citation="L. Zhang, X. Wu, A. Buades, X. Li: Color demosaicking by local directional "
        "interpolation and nonlocal adaptive thresholding, Journal of Electronic Imaging 20(2), "
        "2011",
        how_to_get="download McM from https://www4.comp.polyu.edu.hk/~cslzhang/CDM_Dataset.htm",
    ),
    DatasetInfo(
        name="urban100",
        title="Urban100",
        find=find,
        aliases=("Urban100_HR", "image_SRF_4"),
        counts={"test": 100},
        pattern=r"img_?\d{3}(_srf_\d_hr)?\.png",
        protocol=awgn("all 100 images", "color tables of SwinIR and Restormer: σ = 15, 25, 50"),
        origin="https://github.com/jbhuang0604/SelfExSR",
        terms="none stated with the images, which are from Flickr",
        citation="J.-B. Huang, A. Singh, N. Ahuja: Single Image Super-Resolution from Transformed "
        "Self-Exemplars, CVPR 2015",
        how_to_get="get the high-resolution images img_001 to img_100 of Urban100, linked at "
        "https://github.com/jbhuang0604/SelfExSR",
    ),
)
RNI15 = DatasetInfo(
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
        **REAL_NOISE,
        compares_with="nothing: no clean images; for visual comparison",
    ),
    origin=f"{FFDNET}, from the Noise Clinic",
    terms="no licence file",
    citation="M. Lebrun, M. Colom, J.-M. Morel: The Noise Clinic: a Blind Image Denoising "
    "Algorithm, Image Processing On Line 5, 2015; the choice of 15: K. Zhang, W. Zuo, L. Zhang: "
    "FFDNet, IEEE TIP 27(9), 2018",
    how_to_get=f"copy RNI15 from {FFDNET}",
)
