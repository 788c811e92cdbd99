"""Pairs of noisy and clean images: found by name in every usual layout, and nothing guessed."""

import shutil

import numpy as np
import pytest

from datasets.pipeline.batches import PipelineConfig, TrainingBatches, validation_pairs
from datasets.sets.catalog import find_dataset, find_training_sets, get_info
from datasets.sets.paired import match_pairs
from gradnet_tf.images.image_files import read_image, write_image
from gradnet_tf.utils.errors import UserError


def pairs_of(root, name="pairs"):
    """Returns name → (noisy, clean) as paths below the root, the longest way round."""
    found = find_dataset(name, root)
    return {
        pair: (noisy.relative_to(root).as_posix(), clean.relative_to(root).as_posix())
        for pair, noisy, clean in zip(found.names, found.noisy_paths, found.paths, strict=True)
    }


@pytest.mark.parametrize(
    ("noisy", "clean"),
    [
        ("noisy/a.png", "clean/a.png"),
        ("input/a.png", "target/a.png"),
        ("NOISY/a.png", "GT/a.png"),
        ("Noisy/a.jpg", "Clean/a.png"),
        ("noisy/a_noisy.png", "clean/a_clean.png"),
        ("noisy/a.png", "clean/a_gt.png"),
        ("a_noisy.png", "a_clean.png"),
        ("a_real.JPG", "a_mean.JPG"),
        ("NOISY_a.png", "GT_a.png"),
        ("lq/real_estate.png", "gt/real_estate.png"),
        ("scene/noisy/a.png", "scene/clean/a.png"),
        ("noisy/scene/a.png", "clean/scene/a.png"),
        ("scene/NOISY_SRGB_010.PNG", "scene/GT_SRGB_010.PNG"),
    ],
)
def test_usual_names_are_understood(make_images, tmp_path, noisy, clean):
    make_images("D", [noisy, clean])
    (pair,) = pairs_of(tmp_path / "D").values()
    assert pair == (noisy, clean)


def test_names_are_the_clean_files_without_the_words(make_images, tmp_path):
    make_images("D", ["s/a_noisy.png", "s/a_clean.png", "B_noisy.jpg", "B_clean.png"])
    assert list(pairs_of(tmp_path / "D")) == ["B.png", "s/a.png"]


def test_the_pixels_are_those_of_the_files(make_images):
    root = make_images("D", ["noisy/a.png", "clean/a.png", "noisy/b.png", "clean/b.png"])
    found = find_dataset("pairs", root, max_images=1)
    assert len(found) == 1 and found.has_clean
    np.testing.assert_array_equal(found.load(0), read_image(root / "clean/a.png"))
    np.testing.assert_array_equal(found.noisy(0), read_image(root / "noisy/a.png"))


def test_a_file_without_a_partner_stops_and_is_named(make_images):
    root = make_images("D", ["noisy/a.png", "clean/a.png", "noisy/b.png", "clean/c.png"])
    words = (
        "no partner, or several: clean/c.png, noisy/b.png.\n(.|\n)*python -m datasets check pairs"
    )
    with pytest.raises(UserError, match=words):
        find_dataset("pairs", root)


def test_two_files_of_one_name_are_no_pair(make_images):
    root = make_images("D", ["noisy/a.png", "noisy/a.jpg", "clean/a.png"])
    found = match_pairs(get_info("pairs"), root)
    assert not found.pairs and len(found.unmatched) == 3


def test_a_folder_without_pairs_says_what_is_expected(make_images):
    root = make_images("D", ["a.png", "b.png"])
    with pytest.raises(
        UserError, match="no pairs of noisy and clean images.\nExpected two folders"
    ):
        find_dataset("pairs", root)


def test_validation_pairs_are_held_out_or_in_their_own_folder(make_images):
    names = [f"{kind}/p{number:02d}.png" for kind in ("noisy", "clean") for number in range(40)]
    training, validation = find_training_sets("pairs", make_images("D", names))
    assert validation.names == ["p10.png", "p30.png"]
    assert len(training) == 38 and not set(training.names) & set(validation.names)
    make_images("E", ["train/noisy/a.png", "train/clean/a.png"])
    root = make_images("E", ["val/input/b.png", "val/target/b.png"])
    training, validation = find_training_sets("pairs", root)
    assert (training.names, validation.names) == (["a.png"], ["b.png"])
    with pytest.raises(UserError, match="one pair; expected at least two"):
        find_training_sets("pairs", root / "train")


def test_pairs_of_the_other_splits_are_never_trained_on(make_images):
    """Without a folder train, the pairs beside validation and test are those to train on."""
    for folder in ("", "validation/", "test/"):
        for word in ("noisy", "clean"):
            make_images(f"own/{folder}{word}", [f"{folder.strip('/') or 'a'}{n}.png" for n in "12"])
    root = make_images("own", [])
    training, validation = find_training_sets("pairs", root)
    assert training.names == ["a1.png", "a2.png"]
    assert validation.names == ["validation1.png", "validation2.png"]
    shutil.rmtree(root / "validation")
    training, validation = find_training_sets("pairs", root)
    assert sorted(training.names + validation.names) == ["a1.png", "a2.png"]


def test_a_pair_of_two_sizes_is_refused_before_training(make_images):
    root = make_images("D", ["noisy/a.png", "clean/a.png", "noisy/b.png", "clean/b.png"])
    write_image(root / "noisy/b.png", np.zeros((30, 40, 3), np.uint8))
    found = find_dataset("pairs", root)
    words = "b.png have different sizes: 24×32 and 30×40 pixels"
    with pytest.raises(UserError, match=words):
        TrainingBatches(found, PipelineConfig(2, 8, 25, 25))
    with pytest.raises(UserError, match=words):
        validation_pairs(found, 25, 0)


def test_polyu_is_found_in_a_folder_a_parent_and_a_clone(make_images, capsys):
    names = [f"Canon_{n:03d}_{kind}.JPG" for n in range(100) for kind in ("real", "mean")]
    make_images("clone/PolyU/CroppedImages", names, size=(4, 4))
    make_images("clone/PolyU/OriginalImages", ["Canon_compr_Real.JPG"])
    inside = make_images("other", names, size=(4, 4))
    clone = inside.parent / "clone"
    for root in (inside, clone, clone / "PolyU", clone / "PolyU/CroppedImages"):
        found = find_dataset("polyu", root)
        assert len(found) == 100 and found.names[7] == "Canon_007.JPG"
        assert found.noisy_paths[7].name == "Canon_007_real.JPG"
    assert capsys.readouterr().err == ""


def test_cc15_leaves_the_results_beside_the_pairs_alone(make_images, capsys):
    kinds = ("real", "mean", "ours")
    root = make_images("D/any", [f"d800_{n}_{kind}.png" for n in range(15) for kind in kinds])
    found = find_dataset("cc15", root)
    assert len(found) == 15 and found.paths[0].name == "d800_0_mean.png"
    assert capsys.readouterr().err == ""
    with pytest.raises(UserError, match="cc15 is not in"):
        find_dataset("cc15", root.parent)


def test_nam_takes_the_pairs_that_are_there(make_images):
    root = make_images("D/nam", ["a_real.png", "a_mean.png"]).parent
    assert find_dataset("nam", root).names == ["a.png"]


@pytest.mark.parametrize(
    ("noisy", "clean"),
    [
        ("CC60/{0}_Noisy_{1}.png", "CC60/{0}_Mean_{1}.png"),
        ("CC_NoisyImages/{0}_{1}_Noisy.png", "CC_MeanImages/{0}_{1}_Mean.png"),
        ("Real_NoisyImage/{0}_{1}_real.png", "Real_MeanImage/{0}_{1}_mean.png"),
        ("CC60Noisy/{0}{1}.png", "CC60Mean/{0}{1}.png"),
        ("{0}/ISO{1}/C_Noisy_1.png", "{0}/ISO{1}/C_Mean_1.png"),
        ("my Noisy photos/{0} {1}.png", "my Clean photos/{0} {1}.png"),
    ],
)
def test_words_inside_of_names_and_folders(make_images, noisy, clean):
    places = [(camera, number) for camera in ("d800", "5dMark3") for number in range(1, 4)]
    names = [form.format(*place) for place in places for form in (noisy, clean)]
    root = make_images("root", names)
    found = match_pairs(get_info("pairs"), root)
    assert not found.unmatched and not found.others and len(found.pairs) == 6
    for name, one, other in found.pairs:
        place = next(place for place in places if other == root / clean.format(*place))
        assert one == root / noisy.format(*place) and name.endswith(".png")
    assert len({name for name, _, _ in found.pairs}) == 6


def test_words_inside_of_names_leave_other_pairs_alone(make_images):
    root = make_images("root", ["noisy/MeanStreet.png", "clean/MeanStreet.png"])
    (pair,) = match_pairs(get_info("pairs"), root).pairs
    assert pair[0] == "MeanStreet.png"
    root = make_images("other", ["a_Noisy_1.png", "a_Mean_1.png", "b_Noisy_1.png"])
    assert not match_pairs(get_info("pairs"), root).pairs


def test_pairs_of_one_name_are_named_apart(make_images):
    root = make_images(
        "D",
        ["noisy/a.png", "clean/a.png", "a_noisy.png", "a_clean.png", "b_noisy.png", "b_clean.png"],
    )
    names = [name for name, *_ in match_pairs(get_info("pairs"), root).pairs]
    assert names == ["a_clean.png", "b.png", "clean/a.png"]
