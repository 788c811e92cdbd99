"""Drawings follow from their number, differ between the splits, and need no files."""

import numpy as np
import pytest

from datasets.__main__ import main as datasets_command
from datasets.pipeline.batches import TrainingBatches
from datasets.pipeline.pipeline_config import PipelineConfig
from datasets.sets import drawings
from datasets.sets.catalog import find_calibration_sets, find_dataset, find_training_sets
from gradnet_tf.images.image_files import to_gray

SOME = 12


def test_a_drawing_follows_from_its_number_alone():
    first, second = (find_dataset("drawings", split="train") for _ in range(2))
    forward = [first.load(index) for index in range(SOME)]
    backward = [second.load(index) for index in reversed(range(SOME))][::-1]
    for one, other in zip(forward, backward, strict=True):
        np.testing.assert_array_equal(one, other)
    assert len({image.tobytes() for image in forward}) == SOME


def test_splits_are_disjoint_and_as_large_as_stated():
    training, validation = find_training_sets("drawings")
    assert (len(training), len(validation)) == (240, 8)
    assert not set(training.names) & set(validation.names)
    numbers = [
        {drawings._FIRST[split] + index for index in range(count)}
        for split, count in drawings.COUNTS.items()
    ]
    assert not numbers[0] & numbers[1]
    shown = {validation.load(index).tobytes() for index in range(8)}
    assert not shown & {training.load(index).tobytes() for index in range(0, len(training), 4)}


def test_images_are_bytes_in_color_and_gray():
    colour = find_dataset("drawings", split="train")
    grey = find_dataset("drawings", split="train", channels=1)
    for index in range(SOME):
        image, one = colour.load(index), grey.load(index)
        assert image.dtype == one.dtype == np.uint8
        assert image.shape == (256, 256, 3) and one.shape == (256, 256, 1)
        np.testing.assert_array_equal(one, to_gray(image).reshape(one.shape))
        assert image.flags.c_contiguous and colour.noisy(index) is None


@pytest.mark.parametrize("split", ["train", "validation"])
def test_each_kind_is_drawn(split, monkeypatch):
    drawn = []

    def kind(name):
        def draw(generator):
            drawn.append(name)
            return np.zeros((256, 256, 3), np.uint8)

        return draw

    names = [each.__name__ for each in drawings.KINDS]
    assert len(set(names)) == 6
    monkeypatch.setattr(drawings, "KINDS", [kind(name) for name in names])
    image_set = find_dataset("drawings", split=split)
    for index in range(len(image_set)):
        image_set.load(index)
    assert set(drawn) == set(names)
    counts = [drawn.count(name) for name in names]
    assert max(counts) - min(counts) <= 1


@pytest.mark.parametrize("kind", drawings.KINDS, ids=lambda kind: kind.__name__.strip("_"))
def test_every_kind_fills_the_picture_with_what_it_should(kind):
    images = [np.asarray(kind(np.random.default_rng(n))) for n in range(12)]
    assert all(i.shape == (256, 256, 3) and i.dtype == np.uint8 for i in images)
    colours = [len(np.unique(image @ np.array([65536, 256, 1]))) for image in images]
    if kind in (drawings._flat, drawings._pattern):
        assert max(colours) <= 9
    else:
        assert max(colours) > 9
    if kind is drawings._flat:
        assert min(colours) == 1
    else:
        assert sum(number > 1 for number in colours) >= 11


def test_black_white_and_saturated_surfaces_are_among_them():
    pictures = [drawings._flat(np.random.default_rng(n)) for n in range(60)]
    seen = {tuple(picture[0, 0].tolist()) for picture in pictures}
    assert {(0, 0, 0), (255, 255, 255)} <= seen
    assert any(set(colour) == {0, 255} for colour in seen)


def test_the_set_is_checked_and_prepared_without_files(tmp_path, capsys):
    assert datasets_command(["check", "drawings", "--split=validation"]) == 0
    assert "validation (8) checked, no problem" in capsys.readouterr().out
    pytest.importorskip("tensorflow")
    from datasets.shards.shard_writer import prepare

    image_set = find_dataset("drawings", split="train").first(3)
    prepared = prepare(image_set, tmp_path)
    np.testing.assert_array_equal(prepared.load(2), image_set.load(2))
    prepare(image_set, tmp_path)
    assert "nothing to do" in capsys.readouterr().out


def test_batches_are_made_of_it():
    image_set = find_dataset("drawings", split="train").first(6)
    noisy, clean = TrainingBatches(image_set, PipelineConfig(4, 64, 25, 25)).batch(0)
    assert noisy.shape == clean.shape == (4, 64, 64, 3)
    assert 0 <= clean.min() and clean.max() <= 1


@pytest.mark.parametrize("channels", [1, 3])
def test_ranges_of_8_bits_are_chosen_with_drawings_too(channels):
    photographs, lines = find_calibration_sets("sample", channels=channels)
    assert photographs.name == "sample" and lines.name == "drawings" and len(lines.names) == 16
    assert photographs.load(0).shape[-1] == lines.load(0).shape[-1] == channels
