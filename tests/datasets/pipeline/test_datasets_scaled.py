"""Smaller copies of images: names, sizes and pixels, in mixtures and beside real noise."""

import numpy as np
import pytest

from datasets.pipeline.batches import TrainingBatches
from datasets.pipeline.mixture import at_scales, find_training_mixture
from datasets.pipeline.pipeline_config import PipelineConfig
from datasets.sets import drawings
from datasets.sets.catalog import find_dataset

SCALES = (1.0, 0.7, 0.5)


@pytest.fixture
def image_set(make_images):
    make_images("mine", ["a.png"], size=(256, 300))
    make_images("mine", ["b.png"], size=(300, 190))
    return find_dataset("folder", make_images("mine", ["c.png"], size=(100, 140)))


def sizes(images):
    return {name: images.load(n).shape[:2] for n, name in enumerate(images.names)}


def test_each_image_is_shown_at_the_scales_that_keep_128_pixels(image_set):
    assert sizes(at_scales(image_set, SCALES)) == {
        "a.png@1": (256, 300),
        "a.png@0.7": (179, 210),
        "a.png@0.5": (128, 150),
        "b.png@1": (300, 190),
        "b.png@0.7": (210, 133),
        "c.png@1": (100, 140),
    }
    # Where no scale keeps 128 pixels, the largest is there all the same.
    assert sizes(at_scales(image_set, (0.5, 0.6))) == {
        "a.png@0.5": (128, 150),
        "a.png@0.6": (154, 180),
        "b.png@0.6": (180, 114),
        "c.png@0.6": (60, 84),
    }


def test_the_scale_1_alone_is_the_set_itself(image_set):
    assert at_scales(image_set, (1.0,)) is image_set


def test_copies_are_means_over_areas_and_come_from_the_same_files(image_set):
    scaled = at_scales(image_set, (1.0, 0.5))
    assert scaled.paths == [image_set.paths[n] for n in (0, 0, 1, 2)]
    assert [scaled.sources(n) for n in range(4)] == [(path,) for path in scaled.paths]
    image = image_set.load(0)
    np.testing.assert_array_equal(scaled.load(0), image)
    means = image.reshape(128, 2, 150, 2, 3).mean(axis=(1, 3))
    assert np.abs(scaled.load(1) - means).max() <= 0.51
    assert scaled.load(1).dtype == np.uint8 and scaled.noisy(1) is None


def test_gray_copies_have_one_channel(make_images):
    folder = make_images("grey", ["a.png"], size=(256, 256))
    scaled = at_scales(find_dataset("folder", folder, channels=1), (1.0, 0.5))
    assert scaled.load(1).shape == (128, 128, 1)


def test_the_guard_is_given_each_original_once(image_set):
    scaled = at_scales(image_set, SCALES)
    assert [scaled.original(n) is None for n in range(len(scaled))] == [True] * 6
    smaller = at_scales(image_set, (0.7, 0.5))
    given = [n for n in range(len(smaller)) if smaller.original(n) is not None]
    assert given == [0, 2, 3] and smaller.names == [
        "a.png@0.7",
        "a.png@0.5",
        "b.png@0.7",
        "c.png@0.7",
    ]
    np.testing.assert_array_equal(smaller.original(2), image_set.load(1))


@pytest.fixture
def mixture(make_images, tmp_path, monkeypatch):
    kinds = ("noisy", "reference", "clean")
    # As many as a test needs.
    monkeypatch.setattr(drawings, "COUNTS", {"train": 10, "validation": 2})
    names = [f"batch{n:02d}_{kind}.png" for n in (1, 2, 31) for kind in kinds]
    make_images("D/renoir", names, size=(256, 256))
    return lambda text: find_training_mixture(text, tmp_path / "D")[0]


def test_of_a_mixture_clean_sets_are_scaled_and_noisy_partners_keep_their_size(mixture):
    plain = mixture("renoir,drawings")
    scaled = at_scales(plain, (1.0, 0.5))
    assert len(plain) == 2 + 10 and len(scaled) == len(scaled.paths) == 2 + 20
    assert scaled.names[:4] == [
        "renoir/batch01.png",
        "renoir/batch02.png",
        "drawings/train_0000@1",
        "drawings/train_0000@0.5",
    ]
    for index in (0, 1):
        assert scaled.noisy(index).shape == scaled.load(index).shape == (256, 256, 3)
    assert scaled.load(3).shape == (128, 128, 3) and scaled.noisy(3) is None
    assert scaled.locate(21) == (1, 19)
    real = mixture("renoir")
    assert at_scales(real, (0.5,)) is real


def test_weights_of_a_mixture_stay(mixture):
    scaled = at_scales(mixture("renoir:1,drawings:3"), (1.0, 0.5))
    batches = TrainingBatches(scaled, PipelineConfig(4, 64, 25, 25))
    order = [batches.sampler.choose(n).image for n in range(400)]
    assert scaled.weights == (1, 3)
    assert sum(image < 2 for image in order) == 100


def test_prepared_images_give_the_same_copies(image_set, tmp_path):
    pytest.importorskip("tensorflow")
    from datasets.shards.shard_writer import prepare

    ours, theirs = (
        at_scales(images, SCALES) for images in (prepare(image_set, tmp_path / "P"), image_set)
    )
    assert ours.names == theirs.names
    for index in range(len(ours)):
        np.testing.assert_array_equal(ours.load(index), theirs.load(index))
