"""Keeps test images out of training, by content.

The decoded pixels are compared: this finds copies under another name, in another folder, in gray
or in another lossless format, but no crops, flips or copies saved again as JPEG.
`datasets.sets.bsds500` also finds scaled and compressed copies of the images of BSD68 and CBSD68.

The hash is exact because similar images are legitimate: a scene at several noise levels, or frames
of a video, would raise false alarms. Only images of equal size are compared, so most files need
not be read.
"""

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from datasets.pipeline.mixture import known_sizes
from datasets.sets.bsds500 import find_test_image
from datasets.sets.catalog import DATASETS, DatasetInfo, find_dataset
from datasets.sets.folder_sets import named_folders
from datasets.sets.image_set import ImageSet
from gradnet_tf.images.image_files import to_gray
from gradnet_tf.utils.console import note
from gradnet_tf.utils.errors import UserError

# Set → (height, width) → content hashes.
KNOWN_TESTS: dict[str, dict[tuple[int, int], str]] = {
    "set12": {
        (256, 256): (
            "6cb175a828da82db 9fd31678940bc58f 5ba6c8164b7024cc 7d0e901d9070fdc2 5fd21ae26aa70604 "
            "0b2dfac89d013fe7 c6acccb9fd7bf6a3"
        ),
        (512, 512): (
            "a37edfca13fa1c42 a7c72a0094b42d0a c3eedcbb68ce35da 7918f743b61e121d dad3abe15504fc0a"
        ),
    },
    "polyu": {
        (512, 512): (
            "8275c265e580724a f0035afb334deaaf e2d9bd86517510d0 5cf777ee5f01b99a 8bc783f83b6a9de2 "
            "eed0867b5e2b04da 0bf281ef3c285236 9e4c66269d1dbd03 7e72ea0a6000d202 117a6636f71c342d "
            "754cef46687ab5ea 3955698a9f3370c2 4951afbd9c0878e0 3892c9bc934ac5c0 f7aae7b5da4daf96 "
            "3012df1d472907ad 4a5930fd4b6c32e8 a54fd8b77dad4dd3 49caaa9f62620bdf 50839141baa06237 "
            "f0a778665759c2b1 496014256c0002c5 1ee5187751e499a9 daeac6817e181cb3 daa94df1a59535db "
            "319cf5a72506858c d5213cb6dcf64f7c 31b05009b1a1ce3c 41688bf010a47277 a8b139935dea4898 "
            "55bbff752f2ec1cb 7530ef2fb2383b8b 7a7c5d313b503929 f16892a6e6756285 8ba86ae32dd47e03 "
            "ee7d1b4b7c071e90 45a0d21ab7fce8a4 0cc01b663172f93d b197234117c0a8d3 d640f3e158dacfcd "
            "e3b93b36cb4bf7a1 90500ce75b087a48 c3ff5e70f34af516 88fe02e98384b3a0 3e8d70fcea3ff78b "
            "8bb2dac25e88c83c 83a0ad3e81f2580c 042284bf66448d58 543aa8f78410312e dad769120a91de2f "
            "56e2d723a67d24d2 1b8764e0cbc8f2f1 f0f39ffeb7f443d5 d098ed496781dda2 6c568cea2e830308 "
            "1be71dc3b7e60a96 e18c70c6acea3d90 8510fa46e2ffa4ad a8e19b05fba67d61 a119b2e4bc8819cf "
            "27724716051f51d5 7c47a4dc18fb82ff 8758f86a6977d152 519ab42f6cb755d4 bf989ba358761db3 "
            "3756974d61da98f0 841f8fd97498ae6b c01951fca4382848 e7d39164cdc2ce67 f3f1f15d0cf5415f "
            "5b84ca018391889e ddb9a368c47a48ed 55d6603745aa6b6c f64cc8e4c06578d0 4714b4686395d269 "
            "32e7835e5fbb6bf3 1b34ad69a0d0129a 9e93526a3d6830e0 2ae2e20d2310226f 9b2cf15c0522f560 "
            "fce571941df9c502 9c21d223088f7ffd 401b93ed17f4e83c ec56d88c8bc88ca8 c136c06e6e53ea39 "
            "99f41e98a58c6ef3 b7039ef92bdb985b 9a530813d1542b50 c3aea2b8aad11982 db4524f5e6c10744 "
            "a3728144338ada49 d666d2b0aa2399d1 0fd4a55e970ddf43 7f7a79d83ce52327 ec5e8305a2fca8f3 "
            "2b84370e2e047d5c f5ed0ae67af7c513 1bddaea4299153b0 a5eab6e0177e3f51 f28b2dc3240e916f"
        ),
    },
}


# Known without reading their files.
_ALWAYS_KNOWN = {"cbsd68", "bsd68", "sample", *KNOWN_TESTS}
_DECODED_AT_ONCE = 4


def content_hash(image: np.ndarray) -> str:
    """Returns 16 hex digits of the gray pixels of uint8 [H, W, C], equal for gray and color."""
    gray = to_gray(image) if image.shape[2] == 3 else np.ascontiguousarray(image)
    return hashlib.blake2b(gray.tobytes(), digest_size=8).hexdigest()


class LeakGuard:
    """Knows the images of test sets by content and refuses to train on them.

    Attributes:
        counts: number of known images by set, besides BSD68's.
    """

    def __init__(self, allow: bool = False):
        """With `allow`, test images only cause a warning each."""
        self.allow = allow
        self.counts: dict[str, int] = {}
        # (height, width) → hash → set, and whether validating on it is forbidden, too.
        self._known: dict[tuple[int, int], dict[str, tuple[str, bool]]] = {}
        self._warned: set[str] = set()
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
        """Adds the clean images of a set; raises a `UserError` if one cannot be read."""
        info = image_set.info
        # Some sets are evaluated on their validation split, which may choose checkpoints.
        strict = info.evaluation_split != info.validation_split
        image_set.load(0)  # Sets stored as one array read it once, here, not in every thread.
        with ThreadPoolExecutor(_DECODED_AT_ONCE) as threads:
            for size, content in threads.map(
                lambda index: _size_and_hash(image_set.load(index)), range(len(image_set))
            ):
                self._add(image_set.name, size, content, strict)

    def may_hold(self, size: tuple[int, int]) -> bool:
        """Whether a known image has this height and width."""
        return size in self._known

    def find(self, image: np.ndarray, validating: bool = False) -> str | None:
        """Describes the test image that a uint8 image [H, W, C] is a copy of, else `None`."""
        number = find_test_image(image)
        if number is not None:
            return f"test image {number} of BSD68/CBSD68"
        known = self._known.get(image.shape[:2])
        if not known:
            return None
        name, strict = known.get(content_hash(image), (None, True))
        return f"a test image of {name}" if name and (strict or not validating) else None

    def check(self, image: np.ndarray, path, validating: bool = False) -> None:
        """Raises if an image is a test image, or warns with `allow`.

        Args:
            image: uint8 [H, W, 3] or [H, W, 1].
            path: its file, for the message.
            validating: whether it only serves to choose checkpoints.

        Raises:
            UserError: names the file and the test set.
        """
        found = self.find(image, validating)
        if found is None:
            return
        if not self.allow:
            raise UserError(
                f"{path} is {found}; training on it would invalidate all scores on that set.\n"
                "Remove it from the training folder (or use --allow_test_images, which is recorded "
                "in config.json)."
            )
        if str(path) not in self._warned:
            self._warned.add(str(path))
            note(f"{path} is {found}; it is used because of --allow_test_images.")


def _size_and_hash(image: np.ndarray) -> tuple[tuple[int, int], str]:
    return image.shape[:2], content_hash(image)


def make_guard(
    data_dir: str | Path | None, eval_sets: Sequence[str] = (), allow: bool = False
) -> LeakGuard:
    """Builds the guard of a training run.

    It always knows the test images of BSD68, Set12, PolyU and the sample photographs; also those
    of the test sets in `data_dir`, recognized by their folder names, and of `eval_sets`.

    Args:
        data_dir: the folder that contains the sets.
        eval_sets: names of sets in `data_dir`, or folders of images.
        allow: see `LeakGuard`.

    Raises:
        UserError: if one of `eval_sets` is not found or cannot be read.
    """
    guard = LeakGuard(allow)
    guard.add_set(find_dataset("sample", split="test", channels=1))
    named = {name for name in eval_sets if not Path(name).is_dir()}
    for name in eval_sets:
        place = (name, data_dir) if name in named else ("folder", name)
        guard.add_set(find_dataset(*place))
    for info in DATASETS.values():
        if info.name not in named and _is_test_set_in(info, data_dir):
            try:
                guard.add_set(find_dataset(info.name, data_dir, warn=False))
            except UserError as error:
                # Not requested by the user, so a damaged test set must not stop the training.
                what = str(error).splitlines()[0]
                note(f"test images of {info.name} are not guarded: {what}")
    return guard


def _is_test_set_in(info: DatasetInfo, data_dir: str | Path | None) -> bool:
    split = info.evaluation_split
    chosen_on = split in (info.training_split, info.validation_split, *info.without_clean)
    if chosen_on or info.is_own or info.name in _ALWAYS_KNOWN or not data_dir:
        return False
    folder = Path(data_dir).expanduser()
    # By folder name only: files named 01.png may be training images.
    return folder.is_dir() and bool(named_folders(info, folder))


def usable_images(
    image_set: ImageSet, crop_size: int, guard: LeakGuard | None = None
) -> Iterator[tuple[int, tuple[int, int], np.ndarray | None]]:
    """Checks a set for test images and skips, with a warning, images smaller than the crop.

    A prepared set knows its sizes and has no image of BSD68, so only images that have the size of
    a known test image are read.

    Args:
        image_set: clean images.
        crop_size: side of the square crops in pixels.
        guard: by default a guard with the images that are always known.

    Yields:
        Index, (height, width), and uint8 [H, W, C] or `None` if the image was not read.

    Raises:
        UserError: if an image cannot be read or is a test image, or none is as large as the crop.
    """
    guard = guard or LeakGuard()
    sizes, found = known_sizes(image_set), False
    for index, path in enumerate(image_set.paths):
        image = None
        if sizes[index] is None:
            image = image_set.load(index)
            guard.check(image, path)
            # Most test images are not recognized after scaling.
            original = image_set.original(index)
            if original is not None:
                guard.check(original, path)
        elif guard.may_hold(sizes[index]):
            guard.check(image_set.load(index), path)
        height, width = sizes[index] if image is None else image.shape[:2]
        if min(height, width) < crop_size:
            note(
                f"{path} is skipped: {height}×{width} pixels are smaller "
                f"than the crop of {crop_size}."
            )
            continue
        found = True
        yield index, (height, width), image
    if not found:
        raise UserError(
            f"none of the {len(image_set)} images of {image_set.name} {image_set.split} is as "
            f"large as the crop.\n`crop_size` must not be above the smaller side of the "
            f"images. Received: crop_size={crop_size}"
        )
