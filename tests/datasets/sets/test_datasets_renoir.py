"""NYUv2 and RENOIR: their layouts, and what real noise does to batches and scores."""

import numpy as np
import pytest

from datasets.pipeline.batches import PipelineConfig, TrainingBatches, validation_pairs
from datasets.sets.catalog import find_dataset, find_training_sets
from gradnet_tf.degradations.sampling import orient
from gradnet_tf.images.image_files import read_image, to_float, write_image
from gradnet_tf.utils.errors import UserError

KINDS = ("noisy", "reference", "clean")


def scene_files(numbers):
    return [f"batch{number:02d}_{kind}.png" for number in numbers for kind in KINDS]


@pytest.fixture
def renoir(make_images):
    """Scenes on both sides of the split, and the misaligned one."""
    return make_images("D/renoir_512", scene_files((1, 17, 30, 31, 40))).parent


def test_splits_are_by_scene_and_leave_the_misaligned_one_out(renoir, capsys):
    for split, names in (
        ("train", ["batch01.png", "batch30.png"]),
        ("validation", ["batch31.png", "batch40.png"]),
        ("all", ["batch01.png", "batch30.png", "batch31.png", "batch40.png"]),
    ):
        assert find_dataset("renoir", renoir, split).names == names
    assert find_dataset("RENOIR_512", renoir).split == "validation"
    assert "note: RENOIR train has 29 images, but 2 were found" in capsys.readouterr().err


def test_clean_is_the_mean_of_both_quiet_shots(renoir):
    image_set = find_dataset("renoir", renoir, "train")
    folder = renoir / "renoir_512"
    shots = {kind: read_image(folder / f"batch30_{kind}.png").astype(int) for kind in KINDS}
    clean = image_set.load(1)
    assert clean.dtype == np.uint8
    twice = shots["reference"] + shots["clean"]
    assert np.abs(2 * clean.astype(int) - twice).max() <= 1  # half a level, where the sum is odd
    np.testing.assert_array_equal(clean[twice % 2 == 0] * 2, (twice % 256)[twice % 2 == 0] % 256)
    np.testing.assert_allclose(image_set.clean(1) * 510, twice, atol=1e-4)
    np.testing.assert_array_equal(image_set.noisy(1), shots["noisy"])


def test_max_images_keeps_names_and_shots_together(renoir):
    image_set = find_dataset("renoir", renoir, "all", max_images=2)
    assert len(image_set) == 2
    expected = read_image(renoir / "renoir_512/batch30_noisy.png")
    np.testing.assert_array_equal(image_set.noisy(1), expected)


def test_batches_cut_the_noisy_partner_along_and_add_no_noise(renoir):
    image_set, _ = find_training_sets("renoir", renoir)
    config = PipelineConfig(batch_size=6, crop_size=16, sigma_min=50, sigma_max=50, seed=2)
    maker = TrainingBatches(image_set, config)
    assert maker.has_real_noise
    noisy, clean = maker.batch(1)
    assert noisy.dtype == clean.dtype == np.float32
    for position in range(6):
        choice = maker.sampler.choose(6 + position)
        place = np.s_[choice.top : choice.top + 16, choice.left : choice.left + 16]
        for ours, image in (
            (noisy, image_set.noisy(choice.image)),
            (clean, image_set.load(choice.image)),
        ):
            expected = to_float(orient(image[place], choice.orientation))
            np.testing.assert_array_equal(ours[position], expected)


def test_validation_pairs_are_the_photographs(renoir):
    image_set = find_dataset("renoir", renoir)
    noisy, clean = validation_pairs(image_set, 25, 0, crop=16)[0]
    np.testing.assert_array_equal(noisy, to_float(image_set.noisy(0)[4:20, 8:24]))
    np.testing.assert_array_equal(clean, to_float(image_set.load(0)[4:20, 8:24]))


def test_a_scene_that_lacks_a_shot_is_named(renoir):
    (renoir / "renoir_512/batch31_reference.png").unlink()
    with pytest.raises(UserError, match="lacks batch31_reference.png"):
        find_dataset("renoir", renoir)
    assert len(find_dataset("renoir", renoir, "train")) == 2


def test_shots_of_different_sizes_are_refused(renoir):
    write_image(renoir / "renoir_512/batch31_clean.png", np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(UserError, match="shots of batch31.png .* have different sizes"):
        find_dataset("renoir", renoir).load(0)


def test_a_folder_without_scenes_is_not_a_renoir_set(make_images):
    folder = make_images("D/other", ["a.png"])
    with pytest.raises(UserError, match="dataset renoir is not in --data_dir="):
        find_dataset("renoir", folder.parent)
    with pytest.raises(UserError, match="has no scene for the split validation"):
        find_dataset("renoir", make_images("E/renoir", scene_files((2,))).parent)


def test_nyuv2_counts_folders_below(make_images):
    make_images("D/nyuv2_sample/some", ["2.png", "1.png"])
    root = make_images("D/nyuv2_sample", ["b.png", "a.png"]).parent
    image_set = find_dataset("nyuv2", root)
    assert image_set.names == ["a.png", "b.png", "some/1.png", "some/2.png"]
    assert image_set.load(2).shape == (24, 32, 3) and image_set.noisy(2) is None


def test_the_real_sets(data_dir):
    renoir = find_dataset("renoir", data_dir, "all")
    noisy, clean = (to_float(image) for image in (renoir.noisy(0), renoir.load(0)))
    assert len(renoir) == 39 and clean.shape == (512, 512, 3)
    assert 15 < -10 * np.log10(np.mean((noisy - clean) ** 2)) < 45
    assert len(find_dataset("nyuv2", data_dir)) == 20
