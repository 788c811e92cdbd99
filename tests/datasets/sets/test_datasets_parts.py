"""Several processes share each batch: parts are disjoint, and nothing repeats within an epoch."""

import dataclasses

import numpy as np
import pytest

from datasets.pipeline.batches import PipelineConfig, TrainingBatches
from datasets.pipeline.tf_pipeline import training_dataset
from datasets.sets.catalog import find_dataset
from gradnet_tf.utils.errors import UserError

# Two batches of 6 are one epoch of 12 images.
CONFIG = PipelineConfig(batch_size=6, crop_size=16, sigma_min=0, sigma_max=50, seed=5)
NAMES = [f"{letter}.png" for letter in "abcdefghijkl"]


@pytest.fixture(scope="module")
def image_set(tmp_path_factory):
    from gradnet_tf.images.image_files import write_image

    folder = tmp_path_factory.mktemp("images")
    for name in NAMES:
        generator = np.random.default_rng(sum(name.encode()))
        write_image(folder / name, generator.integers(0, 256, (24, 32, 3), np.uint8))
    return find_dataset("folder", folder)


def parts_of(parts):
    return [dataclasses.replace(CONFIG, part=part, parts=parts) for part in range(parts)]


@pytest.mark.parametrize("parts", [1, 2, 3])
def test_the_parts_in_order_are_the_batch(image_set, parts):
    whole = TrainingBatches(image_set, CONFIG)
    makers = [TrainingBatches(image_set, config) for config in parts_of(parts)]
    assert {maker.shape[0] for maker in makers} == {6 // parts}
    for step in range(4):
        pieces = [maker.batch(step) for maker in makers]
        for index in (0, 1):
            together = np.concatenate([piece[index] for piece in pieces])
            np.testing.assert_array_equal(together, whole.batch(step)[index])


# Seven images: epochs begin and end inside a batch, and inside a worker's part of it.
@pytest.mark.parametrize("count", [12, 7])
@pytest.mark.parametrize("parts", [1, 2, 3])
def test_workers_take_disjoint_examples_and_an_epoch_has_each_image_once(image_set, parts, count):
    image_set = image_set.first(count)
    chosen = [[] for _ in range(parts)]
    for part, config in enumerate(parts_of(parts)):
        maker = TrainingBatches(image_set, config)
        choose = maker.sampler.choose

        def spy(n, choose=choose, part=part):
            chosen[part].append(n)
            return choose(n)

        maker.sampler.choose = spy
        for step in range(count):
            maker.batch(step)
    # No example is made twice, none is left out.
    assert sorted(n for part in chosen for n in part) == list(range(6 * count))
    sampler = TrainingBatches(image_set, CONFIG).sampler
    for epoch in range(6):
        own = [n for part in chosen for n in part if n // count == epoch]
        assert sorted(sampler.choose(n).image for n in own) == list(range(count))


@pytest.mark.parametrize("parts", [2, 3])
def test_the_pipeline_makes_the_part_after_a_restart_as_well(image_set, parts):
    whole = TrainingBatches(image_set, CONFIG)
    for config in parts_of(parts):
        config = dataclasses.replace(config, start_step=2, steps=4)
        for step, (noisy, clean) in enumerate(training_dataset(image_set, config), start=2):
            size = 6 // parts
            own = slice(config.part * size, (config.part + 1) * size)
            np.testing.assert_array_equal(noisy.numpy(), whole.batch(step)[0][own])
            np.testing.assert_array_equal(clean.numpy(), whole.batch(step)[1][own])


@pytest.mark.parametrize(("part", "parts"), [(0, 4), (2, 2), (-1, 2), (0, 0)])
def test_parts_that_do_not_divide_are_refused(part, parts):
    with pytest.raises(UserError, match="must be"):
        dataclasses.replace(CONFIG, part=part, parts=parts)
