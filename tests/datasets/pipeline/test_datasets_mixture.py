"""Several training sets at once: the order, the weights, real noise beside made noise."""

import dataclasses

import numpy as np
import pytest

from datasets.pipeline.batches import PipelineConfig, TrainingBatches, validation_pairs
from datasets.pipeline.mixture import find_training_mixture, parse_mixture, real_sets
from datasets.sets.catalog import find_training_sets
from gradnet_tf.degradations.compose import parse_degradation
from gradnet_tf.degradations.draws import Draws
from gradnet_tf.degradations.sampling import WeightedOrder, orient
from gradnet_tf.images.image_files import to_float, write_image
from gradnet_tf.utils.errors import UserError

CONFIG = PipelineConfig(batch_size=5, crop_size=16, sigma_min=25, sigma_max=25, seed=3)


@pytest.fixture
def sets(make_images, tmp_path):
    """A parent folder with 4 scenes of RENOIR (one to validate on) and 12 images of BSDS500."""
    names = [f"batch{n:02d}_{kind}.png" for n in (1, 2, 3, 31) for kind in _KINDS]
    make_images("renoir", names)
    for subfolder, numbers in (("train", range(1, 9)), ("val", (9, 10)), ("test", (134052, 11))):
        make_images(f"bsds500/{subfolder}", [f"{number}.jpg" for number in numbers])
    return tmp_path


_KINDS = ("noisy", "reference", "clean")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sample", (["sample"], None)),
        ("bsds500,renoir_512", (["bsds500", "renoir"], None)),
        (" bsds500:3, renoir:1", (["bsds500", "renoir"], (3, 1))),
    ],
)
def test_mixtures_are_read(text, expected):
    assert parse_mixture(text) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("bsds500,", "unknown dataset ''"),
        ("bsds500,nonesuch", "unknown dataset 'nonesuch'"),
        ("bsds500,BSR", "names a set twice"),
        ("bsds500:2,renoir", "give every set a weight"),
        ("bsds500:0,renoir:1", "integers from 1 to 1000.* Received: bsds500:0"),
        ("bsds500:1.5,renoir:1", "integers from 1 to 1000"),
    ],
)
def test_mistakes_in_mixtures_are_named(text, words):
    with pytest.raises(UserError, match=words):
        parse_mixture(text)


def test_one_set_is_that_set(sets):
    plain = find_training_sets("bsds500", sets, 3)
    assert find_training_mixture("bsds500", sets, 3) == plain


def test_splits_are_joined_and_each_image_is_its_own(sets, capsys):
    training, validation = find_training_mixture("bsds500,renoir", sets)
    parts = [find_training_sets(name, sets)[0] for name in ("bsds500", "renoir")]
    assert len(training) == 11 + 3 and len(validation) == 1 + 1
    assert training.names[0].startswith("bsds500/") and training.names[-1] == "renoir/batch03.png"
    assert real_sets(training) == ["renoir"]
    for index in range(14):
        part, own = (parts[0], index) if index < 11 else (parts[1], index - 11)
        np.testing.assert_array_equal(training.load(index), part.load(own))
        assert training.paths[index] == part.paths[own]
        noisy, expected = training.noisy(index), part.noisy(own)
        assert (noisy is None) == (expected is None) == (index < 11)
        np.testing.assert_array_equal(noisy, expected)


def test_own_sets_have_their_folder_beside_others(make_images):
    for split in ("train", "validation"):
        for word in ("noisy", "clean"):
            make_images(f"D/pairs/{split}/{word}", [f"{split}{n}.png" for n in "12"])
        make_images(f"D/folder/{split}", [f"mine_{split}.png"])
    training, validation = find_training_mixture("pairs,folder", make_images("D", []))
    expected = ["train1.png", "train2.png", "mine_train.png"]
    assert [name.split("/")[-1] for name in training.names] == expected
    assert len(validation.names) == 3


def test_every_image_comes_once_an_epoch_and_real_noise_is_left_alone(sets):
    training, _ = find_training_mixture("bsds500,renoir", sets)
    degradation = parse_degradation("2*gaussian(0,55)|camera")
    config = dataclasses.replace(CONFIG, batch_size=7, degradation=degradation)
    batches = TrainingBatches(training, config)
    assert batches.has_real_noise
    seen = []
    for step in range(2):
        noisy, clean = batches.batch(step)
        for position in range(7):
            choice = batches.sampler.choose(7 * step + position)
            seen.append(choice.image)
            rows = slice(choice.top, choice.top + 16)
            columns = slice(choice.left, choice.left + 16)

            def cut(image, rows=rows, columns=columns, choice=choice):
                return to_float(orient(image[rows, columns], choice.orientation))

            expected = cut(training.load(choice.image))
            np.testing.assert_array_equal(clean[position], expected)
            real = training.noisy(choice.image)
            if real is None:
                made = degradation.apply(expected, Draws(choice.noise_seed, fast=True))
                np.testing.assert_array_equal(noisy[position], made)
            else:
                np.testing.assert_array_equal(noisy[position], cut(real))
    assert sorted(seen) == list(range(14))


def test_batch_size_and_order_of_asking_change_no_value(sets):
    training, _ = find_training_mixture("bsds500:2,renoir:1", sets)
    degradation = parse_degradation("gaussian(0,55)|correlated(sigma=20,length=1)+jpeg(50,90)")
    config = dataclasses.replace(CONFIG, batch_size=6, degradation=degradation)
    first = TrainingBatches(training, config)
    batches = {step: first.batch(step) for step in (3, 0, 2, 1)}
    for index in (0, 1):
        expected = np.concatenate([batches[step][index] for step in range(4)])
        other = TrainingBatches(training, dataclasses.replace(config, batch_size=8))
        ours = np.concatenate([other.batch(step)[index] for step in range(3)])
        np.testing.assert_array_equal(ours, expected)


def test_without_a_degradation_pure_gaussian_is_the_same_noise(sets):
    training, validation = find_training_mixture("bsds500,renoir", sets)
    gaussian = parse_degradation("gaussian(25)")
    plain = TrainingBatches(training, CONFIG).batch(4)
    same = TrainingBatches(training, dataclasses.replace(CONFIG, degradation=gaussian)).batch(4)
    np.testing.assert_allclose(same[0], plain[0], atol=1e-7)
    pairs = validation_pairs(validation, 25, 0, crop=16)
    again = validation_pairs(validation, 0, 0, crop=16, degradation=gaussian)
    for ours, theirs in zip(again, pairs, strict=True):
        np.testing.assert_allclose(ours[0], theirs[0], atol=1e-7)


def test_validation_joins_the_sets_own_pairs(sets):
    _, validation = find_training_mixture("bsds500,renoir", sets)
    expected = []
    for name in ("bsds500", "renoir"):
        expected += validation_pairs(find_training_sets(name, sets)[1], 25, 5)
    for ours, theirs in zip(validation_pairs(validation, 25, 5), expected, strict=True):
        np.testing.assert_array_equal(ours[0], theirs[0])
        np.testing.assert_array_equal(ours[1], theirs[1])


def test_weights_are_kept_exactly_and_groups_come_round_evenly():
    order = WeightedOrder([(range(5), 3), ([7, 8], 1)], seed=2)
    images = [order.image(n) for n in range(4 * 20)]
    assert [order.image(n) for n in (70, 3, 55)] == [images[n] for n in (70, 3, 55)]
    for start in range(0, 80, 4):
        assert sum(image > 6 for image in images[start : start + 4]) == 1
    counts = {image: images.count(image) for image in (0, 1, 2, 3, 4, 7, 8)}
    assert counts == {0: 12, 1: 12, 2: 12, 3: 12, 4: 12, 7: 10, 8: 10}
    assert images != [
        WeightedOrder([(range(5), 3), ([7, 8], 1)], seed=3).image(n) for n in range(80)
    ]


def test_weights_reach_the_batches(sets):
    training, _ = find_training_mixture("bsds500:1,renoir:4", sets)
    sampler = TrainingBatches(training, CONFIG).sampler
    real = sum(sampler.choose(n).image >= 11 for n in range(100))
    assert real == 80


def test_a_weighted_set_without_a_large_enough_image_is_named(sets):
    for path in (sets / "renoir").iterdir():
        write_image(path, np.zeros((8, 8, 3), np.uint8))
    training, _ = find_training_mixture("bsds500:1,renoir:4", sets)
    with pytest.raises(UserError, match="no image of renoir is as large as the crop"):
        TrainingBatches(training, CONFIG)


def test_a_noisy_partner_of_another_size_is_named_before_training(sets):
    write_image(sets / "renoir" / "batch02_noisy.png", np.zeros((24, 30, 3), np.uint8))
    training, _ = find_training_mixture("bsds500,renoir", sets)
    with pytest.raises(UserError, match="batch02.png have different sizes: 24×32 and 24×30"):
        TrainingBatches(training, CONFIG)
