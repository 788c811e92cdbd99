"""The guard that keeps BSD68 and CBSD68 out of training, by number and by content."""

import cv2
import numpy as np
import pytest

from datasets.pipeline.batches import PipelineConfig, TrainingBatches, validation_pairs
from datasets.sets.bsds500 import BSD68_IMAGES, find_test_image, grid_means, refuse_test_image
from datasets.sets.catalog import find_dataset
from gradnet_tf.images.image_files import list_images, read_image, to_gray, write_image
from gradnet_tf.utils.errors import UserError


def _like(number: str) -> np.ndarray:
    """A made-up picture whose 4×4 grid means are those of a test image."""
    grid = np.frombuffer(bytes.fromhex(BSD68_IMAGES[number]), np.uint8).reshape(4, 4)
    return np.repeat(np.kron(grid, np.ones((30, 20), np.uint8))[..., np.newaxis], 3, axis=2)


def test_there_are_68_and_their_grids_lie_apart():
    grids = np.array([list(bytes.fromhex(grid)) for grid in BSD68_IMAGES.values()], int)
    assert grids.shape == (68, 16)
    apart = np.abs(grids[:, None] - grids[None]).max(axis=2) + 255 * np.eye(68, dtype=int)
    assert apart.min() > 10


def test_a_copy_is_found_by_content_and_a_flat_picture_is_not():
    picture = _like("101085")
    assert grid_means(picture).tobytes().hex() == BSD68_IMAGES["101085"]
    assert find_test_image(picture) == "101085"
    assert find_test_image(to_gray(picture)) == "101085"
    assert find_test_image(picture[:, ::-1]) is None
    for level in range(256):
        assert find_test_image(np.full((8, 8, 3), level, np.uint8)) is None


def test_the_message_names_the_file_and_the_number():
    with pytest.raises(UserError, match=r"holiday\.png is test image 3096 of BSD68/CBSD68"):
        refuse_test_image(_like("3096"), "holiday.png")


def test_training_and_validation_refuse_a_renamed_test_image(make_images, tmp_path):
    folder = make_images("mine", ["a.png"], size=(120, 80))
    write_image(folder / "b.png", _like("3096"))
    image_set = find_dataset("folder", folder)
    with pytest.raises(UserError, match=r"b\.png is test image 3096"):
        TrainingBatches(image_set, PipelineConfig(2, 16, 25, 25))
    with pytest.raises(UserError, match=r"b\.png is test image 3096"):
        validation_pairs(image_set, 25, seed=0)


def test_real_test_images_are_all_found_even_gray_scaled_or_saved_again(data_dir):
    for path in list_images(data_dir / "cbsd68"):
        image = read_image(path)
        quality = [cv2.IMWRITE_JPEG_QUALITY, 30]
        again = cv2.imdecode(cv2.imencode(".jpg", image, quality)[1], cv2.IMREAD_UNCHANGED)
        scaled = cv2.resize(image, (240, 200), interpolation=cv2.INTER_AREA)
        for copy in (image, to_gray(image), again, scaled):
            assert find_test_image(copy) == path.stem
    assert all(find_test_image(read_image(p, 1)) for p in list_images(data_dir / "bsd68"))


def test_no_other_real_image_is_taken_for_a_test_image(data_dir):
    for image_set in (
        find_dataset("bsds500", data_dir, "trainable", channels=1),
        find_dataset("set12", data_dir),
        find_dataset("sample", split="all", channels=1),
    ):
        for index in range(len(image_set)):
            assert find_test_image(image_set.load(index)) is None, image_set.names[index]
