"""BSDS500 to train on, and the 68 images of it that BSD68 and CBSD68 test on.

All 68 test images are in BSDS500's `val` folder. They are excluded by number in every subfolder,
which leaves 200 `train` + 200 `test` + 32 `val` images. Sixteen of these are the validation
split, the other 416 the train split.

The test images are also recognized by content: sixteen means of the luma over a 4×4 grid. This
finds copies that were renamed, scaled, converted to gray or saved again as JPEG (the means move by
at most one gray level); the nearest other photograph among BSDS500, NYUv2 samples and Set12 is
more than 10 levels away. Crops, flips and rotations are not found.
"""

import dataclasses
import os
import re
from pathlib import Path

import cv2
import numpy as np

from datasets.sets import folder_sets as folder
from datasets.sets.image_set import FOR_TRAINING, TRAINABLE, DatasetInfo, ImageSet, Protocol
from gradnet_tf.images.image_files import list_images, to_gray
from gradnet_tf.utils.errors import UserError

_TOLERANCE = 2

# BSDS500 number and its 16 grid means, row by row, as hexadecimal bytes.
_TABLE = """
    101085 8c6e5e4543523839646e59477a828465  101087 f6feeff6878b8478586b8e7e6a86796b
    102061 b5a68a7b94ae7250659161524649403c  103070 6b7c57475556565c646a6443565a5944
    105025 bbd4edfeab9b9ccd988298b3949dd9d1  106024 e4e7e2e5dad5d0a49895a58d5c5d6264
    108005 4c4f5f46425d77474058684941414c4e  108070 3b49434e373d6459475973662f374737
    108082 2d29411e44588328384c7f393d33322f  109053 424b48545265735e837c8e5a60766f4f
    119082 6bb08e546098763d43624a38575a8483  12084 3143605c4767746e5863657066665d6f
    123074 7f7aa0885d589b934b6a8b6576917f41  126007 65645c31747264626d51755f3e367b3c
    130026 402e251f4f5c44377074947277947080  134035 76826f6076805c4d8073725d6e574943
    14037 6f76685e2d7890732933441a3218100c  143090 9d6c5a4a7d61364973502f437f513f39
    145086 6e817154568262226c87867b6779987a  147091 86a28d709253496ea8bf5f415e542117
    148026 46635b4c675e567d5f8e5e3fa3a9af8f  148089 639090425b949c4e305e7c3135495c1c
    157055 8274b9aca793ba8ca6b9b49b68839d73  159008 41313447288188686b6f785b3422738d
    160068 372f2e2e6b8073466c7279873d4d5f66  16077 77abb76c7ea56f476a724b465f4b4a3e
    163085 475f583046685f5751635566564b4b47  167062 0f100f0c0d130f0fdcb6721afbfdfdf4
    167083 36353e5479818f9977735ca7535a5285  170057 7f8e8859868a706b7574575972898666
    175032 4a5453516871606e60685f7d74715d64  175043 6a636463646c6e76675f6c756e748470
    182053 8488898992aaafae856b535498813b59  189080 d04f4daeb06756acc96462c7a74943ab
    19021 554b4a3245596e3b4e5a915e4a566941  196073 8083848284858886847e7f857b7e7d7e
    197017 c4b7bcc77d9b99893d6c4f564951655e  208001 625452725f8c7d4b4b6443693145463f
    210088 5f5562556c726a70725f746676686886  21077 a8a7807f918c7e777572767170615e5d
    216081 552e154674868d945c504e69383e3554  219090 96a19c9096695a646455604a385c553e
    220075 5a66665378909956363c595e2d363d4d  223061 aac6cdc28e8aa6a758636d842d373643
    227092 70746f6e7787797e7f90878342584e47  229036 614e688a5f515c8c7cb05f8a7f82ba70
    236037 6571706b808083656957696974747658  24077 65d4c92973cdaa34737c7c496f988732
    241004 d0f9feba9eaa94684e70583d3b56522c  241048 dfd2c0769c8899748673897fdcbeac8c
    253027 5d5f5e4d77877b6e808086786e737469  253055 fefbf6d0d3cecae484828c9770717270
    260058 7d849b7a97aab8ab97b1c3c6839daeb1  271035 8b75615792a4905a9abd8b8b819d977a
    285079 547a7a41465a776e465e4f5e3f3f3d48  291000 9dac857f917c7c7aa08f8b8e9ea7a19b
    295087 303851673a526a88526a73833d3d3c52  296007 979b9a9897997d8a7073676a7072807c
    296059 71908b7f4256475f384f6476565a6961  299086 576565595b76636a73866b5c69756765
    300091 3c5685504152957341528f5d2b465a49  302008 0a151a3e117e5e720952673b35113e30
    304034 4d67726454696a614b45337a4b596c98  304074 756e2e30886a7f4c856f5b7d76787f86
    306005 581f0a098b874409787a561f5b516438  3096 89877e7a8b787b7d7a6b4d785f69737a
    33039 5d6d696a7e8378779174817d666a6c72  351093 c5f6f9865ecad3c3404f56552e4d6033
""".split()
BSD68_IMAGES = dict(zip(_TABLE[::2], _TABLE[1::2], strict=True))

_GRIDS = np.array([list(bytes.fromhex(grid)) for grid in BSD68_IMAGES.values()], np.int16)


def grid_means(image: np.ndarray) -> np.ndarray:
    """Returns the 16 grid means of a uint8 image [H, W, 3] or [H, W, 1], as uint8 [16]."""
    gray = to_gray(image) if image.shape[2] == 3 else image
    return cv2.resize(np.ascontiguousarray(gray), (4, 4), interpolation=cv2.INTER_AREA).ravel()


def find_test_image(image: np.ndarray) -> str | None:
    """Returns the number of the test image that uint8 [H, W, C] `image` is a copy of, or None."""
    distances = np.abs(_GRIDS - grid_means(image).astype(np.int16)).max(axis=1)
    nearest = int(distances.argmin())
    return list(BSD68_IMAGES)[nearest] if distances[nearest] <= _TOLERANCE else None


def refuse_test_image(image: np.ndarray, path) -> None:
    """Raises a `UserError` that names `path` if its image (uint8 [H, W, C]) is a test image."""
    number = find_test_image(image)
    if number is not None:
        raise UserError(
            f"{path} is test image {number} of BSD68/CBSD68; training on it would invalidate all "
            "scores on these sets.\nRemove it from the training folder."
        )


SUBFOLDERS = ("train", "val", "test")

# Location of the three subfolders in the published archives.
_NESTINGS = (".", "images", "data/images", "BSDS500/data/images")

# The 16 of the 432 whose number has the smallest sha256: a fixed choice, independent of content.
VALIDATION_IMAGES = frozenset(
    "134052 153077 155060 156079 161062 196015 20069 216041 "
    "22093 259060 306051 317080 372019 55075 61086 71046".split()
)


def find(info: DatasetInfo, data_dir: str | Path | None, split: str, channels: int) -> ImageSet:
    """Finds the archive in any of its nestings; see `Find`."""
    root = _find_below(info, folder.check_data_dir(info, data_dir))
    return folder.image_set(info, split, list_split(info, root, split), channels)


def _find_below(info: DatasetInfo, data_dir: Path) -> Path:
    for candidate in folder.named_folders(info, data_dir):
        root = find_root(candidate)
        if root is not None:
            return root
    root = find_root(data_dir)
    if root is not None and (
        folder.is_named(info, data_dir)
        or any(re.fullmatch(info.pattern, p.name.lower()) for p in list_images(root / "train"))
    ):
        return root
    raise folder.not_found(info, data_dir)


def find_root(path: Path) -> Path | None:
    """Returns the folder at or below `path` with train, val and test, or None."""
    for nesting in _NESTINGS:
        root = path / nesting
        if all((root / name).is_dir() for name in SUBFOLDERS):
            return root
    return None


def list_split(info: DatasetInfo, root: Path, split: str) -> list[tuple[str, Path]]:
    """Lists a split as (file name, path), in byte order of the file names.

    Args:
        info: the description of the set.
        root: folder with train, val and test.
        split: `train` (416), `validation` (16) or `trainable` (both).

    Raises:
        UserError: if a subfolder has no images.
    """
    found = []
    for subfolder in SUBFOLDERS:
        paths = list_images(root / subfolder)
        if not paths:
            raise UserError(
                f"folder {root / subfolder} has no images.\n"
                f"Expected the {subfolder} images of {info.title}; {info.how_to_get}."
            )
        found += [path for path in paths if path.stem not in BSD68_IMAGES]
    if split != "trainable":
        wanted = split == "validation"
        found = [path for path in found if (path.stem in VALIDATION_IMAGES) == wanted]
    found.sort(key=lambda path: os.fsencode(path.name))
    return [(path.name, path) for path in found]


BSD_TERMS = "non-commercial research and education; asks for citation"
BSDS500 = DatasetInfo(
    name="bsds500",
    title="BSDS500",
    find=find,
    aliases=("BSDS500", "BSR", "BSDS"),
    splits=("train", "validation", "trainable"),
    unions=("trainable",),
    **TRAINABLE,
    refused_splits=dict.fromkeys(
        ("val", "test", "all"),
        "the official val folder contains the 68 test images of CBSD68, which are excluded "
        "(evaluate on them with --dataset=cbsd68)",
    ),
    counts={"train": 416, "validation": 16, "trainable": 432},
    pattern=r"\d+\.jpe?g",
    protocol=Protocol(
        split="432 of the 500 images, those that are not in BSD68; 16 of them, the ones with "
        "the smallest sha256 of their number, are the validation split",
        compares_with=FOR_TRAINING,
    ),
    origin="https://github.com/BIDS/BSDS500",
    terms=BSD_TERMS,
    citation="P. Arbelaez, M. Maire, C. Fowlkes, J. Malik: Contour Detection and Hierarchical "
    "Image Segmentation, IEEE TPAMI 33(5), 2011",
    how_to_get="clone https://github.com/BIDS/BSDS500; its images are in "
    "BSDS500/data/images/{train,val,test}",
)
CBSD68 = DatasetInfo(
    name="cbsd68",
    title="CBSD68",
    find=folder.find,
    counts={"test": 68},
    pattern=r"\d+\.(png|jpg|bmp)",
    protocol=folder.awgn("all 68 images, which are in BSDS500 val", folder.COLOR_TABLES),
    origin=folder.FFDNET,
    terms=f"no licence file; the images are BSDS500's: {BSD_TERMS}",
    citation="D. Martin, C. Fowlkes, D. Tal, J. Malik: A Database of Human Segmented Natural "
    "Images and its Application to Evaluating Segmentation Algorithms, ICCV 2001; the choice of "
    "68: S. Roth, M. J. Black: Fields of Experts, IJCV 2009",
    how_to_get=f"copy CBSD68 from {folder.FFDNET}",
)
BSD68 = dataclasses.replace(
    CBSD68,
    name="bsd68",
    title="BSD68",
    aliases=("Set68",),
    color=False,
    pattern=r"(test)?\d+\.(png|jpg|bmp)",
    protocol=folder.awgn(CBSD68.protocol.split, folder.GRAY_TABLES, "gray"),
    how_to_get=f"copy BSD68 from {folder.FFDNET}",
)
