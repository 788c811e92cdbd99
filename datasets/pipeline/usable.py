"""Which images of a set can be trained on: no test image, and none smaller than the crop."""

from collections.abc import Iterator

import numpy as np

from datasets.pipeline.leak_guard import LeakGuard
from datasets.sets.image_set import ImageSet
from gradnet_tf.utils.console import note
from gradnet_tf.utils.errors import UserError


def usable_images(
    image_set: ImageSet, crop_size: int, guard: LeakGuard | None = None
) -> Iterator[tuple[int, tuple[int, int], np.ndarray | None]]:
    """Goes through a set and leaves out, with a note, images smaller than the crop.

    A prepared set knows its sizes and has no image of BSD68: nothing of it is
    read but images of the size of another known test image.

    Args:
        image_set: clean images.
        crop_size: side of the square crops in pixels.
        guard: knows the test images; by default those that are always known.

    Yields:
        Number in the set, (height, width), and uint8 [H, W, C] or `None` where
        the image was not read.

    Raises:
        UserError: when an image cannot be read or is a test image, or none is
            as large as the crop.
    """
    guard = guard or LeakGuard()
    sizes, found = getattr(image_set, "sizes", None) or [None] * len(image_set), False
    for index, path in enumerate(image_set.paths):
        image = None
        if sizes[index] is None:
            image = image_set.load(index)
            guard.check(image, path)
            # Most test images are not recognised once they are smaller.
            original = image_set.original(index)
            if original is not None:
                guard.check(original, path)
        elif guard.may_hold(sizes[index]):
            guard.check(image_set.load(index), path)
        height, width = sizes[index] if image is None else image.shape[:2]
        if min(height, width) < crop_size:
            note(
                f"{path} is left out: {height}×{width} pixels are smaller "
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
