"""Training batches: a pure function of (seed, n), with the noise that was asked for."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from datasets.pipeline.batches import (
    PipelineConfig,
    TrainingBatches,
    normal_draws,
    validation_pairs,
)
from datasets.sets.catalog import find_dataset
from datasets.shards.shard_writer import prepare
from gradnet_tf.degradations.sampling import CropSampler, evaluation_noise, orient
from gradnet_tf.images.image_files import to_float, write_image
from gradnet_tf.utils.errors import UserError

CONFIG = PipelineConfig(batch_size=6, crop_size=16, sigma_min=5, sigma_max=50, seed=3)


@pytest.fixture
def image_set(make_images):
    names = [f"{letter}.png" for letter in "abcde"]
    return find_dataset("folder", make_images("mine", names, size=(24, 32)))


def _examples(image_set, config, steps):
    """Concatenates the batches of some steps: (noisy, clean), [examples, crop, crop, C]."""
    maker = TrainingBatches(image_set, config)
    parts = [maker.batch(step) for step in steps]
    return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]


def test_batches_have_the_documented_form(image_set):
    noisy, clean = TrainingBatches(image_set, CONFIG).batch(0)
    assert noisy.shape == clean.shape == (6, 16, 16, 3)
    assert noisy.dtype == clean.dtype == np.float32
    assert clean.min() >= 0 and clean.max() <= 1
    assert noisy.min() < 0 and noisy.max() > 1  # Not clipped.


def test_every_example_is_the_samplers_choice(image_set):
    noisy, clean = _examples(image_set, CONFIG, range(4))
    sampler = CropSampler([(24, 32)] * 5, 16, 5, 50, seed=3)
    for n in range(24):
        choice = sampler.choose(n)
        image = image_set.load(choice.image)
        crop = image[choice.top : choice.top + 16, choice.left : choice.left + 16]
        expected = to_float(orient(crop, choice.orientation))
        np.testing.assert_array_equal(clean[n], expected)
        draws = normal_draws((16, 16, 3), choice.noise_seed)
        np.testing.assert_allclose(noisy[n] - expected, draws * choice.sigma / 255, atol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 4, 12])
def test_batch_size_changes_no_value(image_set, batch_size):
    expected = _examples(image_set, CONFIG, range(4))
    other = dataclasses.replace(CONFIG, batch_size=batch_size)
    for ours, theirs in zip(
        _examples(image_set, other, range(24 // batch_size)), expected, strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_order_of_asking_and_memory_limit_change_no_value(image_set):
    expected = _examples(image_set, CONFIG, [0, 1, 2])
    # Room for two of the five images (2304 bytes each): the others are decoded again.
    small = dataclasses.replace(CONFIG, memory_limit=5000)
    maker = TrainingBatches(image_set, small)
    parts = {step: maker.batch(step) for step in (2, 0, 1)}
    for index in (0, 1):
        ours = np.concatenate([parts[step][index] for step in (0, 1, 2)])
        np.testing.assert_array_equal(ours, expected[index])


def test_memory_limit_is_kept_and_images_are_decoded_once_within_it(image_set, monkeypatch):
    loads = []
    load = type(image_set).load
    monkeypatch.setattr(
        type(image_set), "load", lambda self, index: loads.append(index) or load(self, index)
    )
    _examples(image_set, CONFIG, range(3))
    assert loads == [0, 1, 2, 3, 4]
    maker = TrainingBatches(image_set, dataclasses.replace(CONFIG, memory_limit=5000))
    maker.batch(0)
    assert maker._store._bytes == sum(i.nbytes for i in maker._store._kept.values()) <= 5000
    assert len(loads) > 10


def test_another_seed_gives_other_examples(image_set):
    noisy, clean = _examples(image_set, CONFIG, [0])
    other_noisy, other_clean = _examples(image_set, dataclasses.replace(CONFIG, seed=4), [0])
    assert not np.array_equal(clean, other_clean)
    assert not np.array_equal(noisy - clean, other_noisy - other_clean)


def test_sigma_zero_returns_the_clean_values_exactly(image_set):
    quiet = dataclasses.replace(CONFIG, sigma_min=0, sigma_max=0)
    noisy, clean = _examples(image_set, quiet, range(3))
    np.testing.assert_array_equal(noisy, clean)


def test_fixed_sigma_has_the_standard_deviation_asked_for(image_set):
    fixed = dataclasses.replace(CONFIG, sigma_min=25, sigma_max=25)
    noisy, clean = _examples(image_set, fixed, range(40))
    residual = (noisy - clean) * 255
    count = residual.size
    assert abs(residual.std() - 25) < 4 * 25 / np.sqrt(2 * count)
    assert abs(residual.mean()) < 4 * 25 / np.sqrt(count)


def test_blind_sigma_fills_its_range_uniformly(image_set):
    noisy, clean = _examples(image_set, CONFIG, range(40))
    measured = ((noisy - clean) * 255).std(axis=(1, 2, 3))
    assert measured.min() < 10 and measured.max() > 45
    assert 4 < measured.min() and measured.max() < 55
    assert abs(measured.mean() - 27.5) < 4 * 13 / np.sqrt(len(measured))


def test_draws_are_standard_normal():
    draws = normal_draws((500, 400), (7, 8)).astype(np.float64)
    count = draws.size
    assert abs(draws.mean()) < 4 / np.sqrt(count)
    assert abs(draws.var() - 1) < 4 * np.sqrt(2 / count)
    assert abs((draws**3).mean()) < 4 * np.sqrt(15 / count)
    assert abs((draws**4).mean() - 3) < 4 * np.sqrt(96 / count)
    # The two halves come from the same uniforms, as sine and cosine: still uncorrelated.
    first, second = draws.reshape(2, -1)
    assert abs((first * second).mean()) < 4 / np.sqrt(count / 2)
    for bound, share in ((1, 0.3173), (2, 0.0455), (3, 0.0027)):
        outside = (np.abs(draws) > bound).mean()
        assert abs(outside - share) < 4 * np.sqrt(share / count)


def test_draws_depend_on_the_seed_alone_and_any_size_works():
    np.testing.assert_array_equal(normal_draws((3, 5), (1, 2)), normal_draws((3, 5), (1, 2)))
    assert not np.array_equal(normal_draws((3, 5), (1, 2)), normal_draws((3, 5), (2, 1)))
    assert normal_draws((1, 1, 1), (0, 0)).shape == (1, 1, 1)
    assert normal_draws((3, 5), (1, 2)).dtype == np.float32


def test_small_images_are_left_out_with_a_note(image_set, capsys):
    folder = image_set.paths[0].parent
    write_image(folder / "tiny.png", np.zeros((15, 99, 3), np.uint8))
    with_tiny = find_dataset("folder", folder)
    expected = _examples(image_set, CONFIG, [0, 1])
    for ours, theirs in zip(_examples(with_tiny, CONFIG, [0, 1]), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert "tiny.png is skipped: 15×99 pixels are smaller" in capsys.readouterr().err


def test_no_image_large_enough_is_an_error(image_set):
    big = dataclasses.replace(CONFIG, crop_size=40)
    with pytest.raises(UserError, match="none of the 5 images .*\n`crop_size` must not be above"):
        TrainingBatches(image_set, big)


def test_channels_must_agree(image_set):
    with pytest.raises(UserError, match="`channels` of the images .* Received: 3 and 1"):
        TrainingBatches(image_set, dataclasses.replace(CONFIG, channels=1))


def test_a_damaged_image_is_named_before_training_starts(image_set):
    image_set.paths[2].write_text("text")
    with pytest.raises(UserError, match=r"c\.png is not an image"):
        TrainingBatches(image_set, CONFIG)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("sigma_min", -3, r"`sigma_min` must be in \[0, 255\]. Received: sigma_min=-3"),
        ("sigma_max", 256, r"`sigma_max` must be in \[0, 255\]. Received: sigma_max=256"),
        ("sigma_max", float("nan"), r"`sigma_max` must be in \[0, 255\]. Received: sigma_max=nan"),
        ("sigma_min", 51, "`sigma_min` must not be above `sigma_max`. Received: sigma_min=51"),
        ("batch_size", 0, "`batch_size` must be at least 1. Received: batch_size=0"),
        ("crop_size", 0, "`crop_size` must be at least 1. Received: crop_size=0"),
        ("seed", -1, "`seed` must be at least 0. Received: seed=-1"),
        ("workers", 0, "`workers` must be at least 1. Received: workers=0"),
        ("channels", 2, "`channels` must be 3 or 1. Received: channels=2"),
        ("steps", -1, "`steps` must not be below `start_step`. Received: steps=-1"),
    ],
)
def test_bad_configurations_are_refused_in_words(field, value, words):
    with pytest.raises(UserError, match=words):
        dataclasses.replace(CONFIG, **{field: value})


def test_validation_pairs_are_fixed_centred_and_unclipped(image_set):
    pairs = validation_pairs(image_set, sigma=25, seed=1, crop=20)
    again = validation_pairs(image_set, sigma=25, seed=1, crop=20)
    assert len(pairs) == 5
    for index, ((noisy, clean), (noisy_again, _)) in enumerate(zip(pairs, again, strict=True)):
        expected = to_float(image_set.load(index)[2:22, 6:26])
        np.testing.assert_array_equal(clean, expected)
        np.testing.assert_array_equal(noisy, noisy_again)
        noise = evaluation_noise((20, 20, 3), 1, image_set.names[index])
        np.testing.assert_allclose(noisy - clean, noise * 25 / 255, atol=1e-6)
        assert noisy.dtype == clean.dtype == np.float32
    whole = validation_pairs(image_set.first(1), sigma=0, seed=1)
    assert whole[0][0].shape == (24, 32, 3)
    np.testing.assert_array_equal(*whole[0])


def test_finding_and_batching_need_neither_tensorflow_nor_keras():
    code = (
        "import sys, datasets.pipeline.batches, datasets.pipeline.tf_pipeline; "
        "import datasets.sets.catalog; "
        "print([name for name in ('tensorflow', 'keras', 'jax') if name in sys.modules])"
    )
    root = Path(__file__).parents[3]
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_images_that_are_decoded_again_and_again_are_a_note(image_set, tmp_path, capsys):
    TrainingBatches(image_set, dataclasses.replace(CONFIG, memory_limit=5000))
    said = capsys.readouterr().err
    assert "decoded again and again" in said and "--prepared_dir" in said
    TrainingBatches(image_set, CONFIG)
    prepared = prepare(image_set, tmp_path / "p")
    TrainingBatches(prepared, dataclasses.replace(CONFIG, memory_limit=5000))
    assert "again and again" not in capsys.readouterr().err
