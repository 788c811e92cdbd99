"""Batches made on the device: the same crops as everywhere else, noise of the right size."""

import itertools

import numpy as np
import pytest

jax = pytest.importorskip("jax")

from datasets.pipeline.batches import PipelineConfig, TrainingBatches  # noqa: E402
from datasets.pipeline.stream import device_batches  # noqa: E402
from datasets.sets.catalog import find_dataset  # noqa: E402
from gradnet_tf.degradations.sampling import CropSampler  # noqa: E402
from gradnet_tf.images.image_files import write_image  # noqa: E402
from gradnet_tf.training.engines import device_batches as module  # noqa: E402
from gradnet_tf.utils.errors import UserError  # noqa: E402

CONFIG = PipelineConfig(batch_size=6, crop_size=16, sigma_min=5, sigma_max=50, seed=3)
MAKE = jax.jit(module.make_batch, static_argnums=2)


@pytest.fixture
def image_set(tmp_path):
    random = np.random.default_rng(0)
    # Of several sizes, one as large as the crop and one too small for it.
    for index, size in enumerate([(24, 32), (16, 16), (40, 17), (15, 30), (16, 50)]):
        pixels = random.integers(0, 256, (*size, 3), np.uint8)
        write_image(tmp_path / "images" / f"{index}.png", pixels)
    return find_dataset("folder", tmp_path / "images")


def test_clean_crops_are_those_of_the_other_pipeline_bit_for_bit(image_set):
    batches, reference = (
        device_batches(TrainingBatches(image_set, CONFIG)),
        TrainingBatches(image_set, CONFIG),
    )
    orientations = set()
    for step in range(8):
        choices = batches.choices(step)
        noisy, clean = MAKE(batches.planes, choices, batches.crop_size)
        np.testing.assert_array_equal(np.asarray(clean), reference.batch(step)[1])
        assert noisy.dtype == clean.dtype == np.float32
        orientations |= set(choices.orientation.tolist())
    assert orientations == set(range(8))


def test_every_byte_becomes_the_float_of_numpy():
    image = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    batches = module.DeviceBatches([image], CropSampler([(16, 16)], 16, 0, 0, 0), 1)
    _, clean = MAKE(batches.planes, batches.choices(0), 16)
    expected = np.arange(256, dtype=np.float32) / np.float32(255)
    np.testing.assert_array_equal(np.sort(np.asarray(clean).ravel()), expected)


def test_noise_has_its_sigma_and_follows_the_seed_alone(image_set):
    batches = device_batches(TrainingBatches(image_set, CONFIG))
    choices = batches.choices(5)
    noisy, clean = MAKE(batches.planes, choices, 16)
    noise = np.asarray(noisy - clean)
    ratio = noise.std(axis=(1, 2, 3)) * 255 / choices.sigma
    assert np.abs(ratio - 1).max() < 0.1 and np.abs(noise.mean()) < 0.01
    assert len(set(choices.sigma.tolist())) == 6
    # An example keeps its noise in a batch of another size.
    half = device_batches(TrainingBatches(image_set, PipelineConfig(3, 16, 5, 50, seed=3)))
    again, _ = MAKE(half.planes, half.choices(11), 16)
    np.testing.assert_array_equal(np.asarray(again), np.asarray(noisy)[3:])


def test_a_stream_starts_at_its_step_and_keeps_the_order(image_set):
    from_start = itertools.islice(device_batches(TrainingBatches(image_set, CONFIG)), 7)
    from_two = itertools.islice(device_batches(TrainingBatches(image_set, CONFIG), 2), 5)
    for one, two in zip(list(from_start)[2:], from_two, strict=True):
        jax.tree.map(np.testing.assert_array_equal, one, two)


def test_a_set_beyond_32_bit_numbers_is_refused(monkeypatch):
    monkeypatch.setattr(module, "_MOST_PIXELS", 100)
    images = [np.zeros((8, 8, 3), np.uint8)] * 2
    with pytest.raises(UserError, match="128 pixels"):
        module.DeviceBatches(images, CropSampler([(8, 8)] * 2, 8, 0, 1, 0), 1)
