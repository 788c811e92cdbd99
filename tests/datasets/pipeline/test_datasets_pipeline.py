"""The tf.data pipeline gives `TrainingBatches`' values, whatever the workers and the restart."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from datasets.pipeline.batches import TrainingBatches
from datasets.pipeline.pipeline_config import PipelineConfig
from datasets.pipeline.tf_pipeline import dataset_of, input_errors, training_dataset
from datasets.sets.catalog import find_dataset
from gradnet_tf.utils.errors import UserError

CONFIG = PipelineConfig(batch_size=4, crop_size=16, sigma_min=0, sigma_max=50, seed=5, steps=6)


@pytest.fixture
def image_set(make_images):
    return find_dataset("folder", make_images("mine", ["a.png", "b.png", "c.png"], size=(24, 32)))


def _run(image_set, **changes):
    config = dataclasses.replace(CONFIG, **changes)
    return [(x.numpy(), y.numpy()) for x, y in training_dataset(image_set, config)]


def _assert_equal(ours, theirs):
    assert len(ours) == len(theirs)
    for pair, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(pair[0], other[0])
        np.testing.assert_array_equal(pair[1], other[1])


def test_the_pipeline_gives_the_batches_in_order(image_set):
    maker = TrainingBatches(image_set, CONFIG)
    _assert_equal(_run(image_set), [maker.batch(step) for step in range(6)])


@pytest.mark.parametrize("workers", [1, 3, 8])
def test_worker_count_and_repetition_change_no_value(image_set, workers):
    _assert_equal(_run(image_set, workers=workers), _run(image_set, workers=2))


@pytest.mark.parametrize("start_step", [1, 4, 6])
def test_a_restart_continues_with_the_same_values(image_set, start_step):
    _assert_equal(_run(image_set, start_step=start_step), _run(image_set)[start_step:])


def test_batch_size_changes_no_value(image_set):
    small = _run(image_set)
    large = _run(image_set, batch_size=8, steps=3)
    for index in (0, 1):
        np.testing.assert_array_equal(
            np.concatenate([pair[index] for pair in small]),
            np.concatenate([pair[index] for pair in large]),
        )


def test_a_late_start_costs_nothing_and_the_stream_is_endless(image_set):
    config = dataclasses.replace(CONFIG, start_step=10**9, steps=None)
    batches = iter(training_dataset(image_set, config))
    noisy, _ = next(batches)
    expected, _ = TrainingBatches(image_set, CONFIG).batch(10**9)
    np.testing.assert_array_equal(noisy.numpy(), expected)
    for _ in range(5):
        next(batches)


def test_shapes_are_static_and_options_keep_the_order(image_set):
    dataset = training_dataset(image_set, CONFIG)
    for spec in dataset.element_spec:
        assert spec.shape.as_list() == [4, 16, 16, 3]
        assert spec.dtype.name == "float32"
    options = dataset.options()
    assert options.deterministic is True
    assert options.experimental_distribute.auto_shard_policy.name == "DATA"


def test_gray_batches_have_one_channel(image_set):
    grey = dataclasses.replace(image_set, channels=1)
    noisy, clean = _run(grey, channels=1, steps=1)[0]
    assert noisy.shape == clean.shape == (4, 16, 16, 1)


def test_errors_come_before_the_first_batch(image_set):
    with pytest.raises(UserError, match="`crop_size` must not be above"):
        training_dataset(image_set, dataclasses.replace(CONFIG, crop_size=64))


def test_what_goes_wrong_in_tensorflows_threads_keeps_its_words(image_set, monkeypatch):
    batches = TrainingBatches(image_set, CONFIG)

    def damaged(step):
        raise UserError("shard-0 is damaged.\nRun it again.")

    monkeypatch.setattr(batches, "batch", damaged)
    with pytest.raises(UserError, match="shard-0 is damaged"), input_errors():
        next(iter(dataset_of(batches, 0)))
    # Other errors stay as they are.
    with pytest.raises(UserError, match="another"), input_errors():
        raise UserError("another")


def test_keras_fit_takes_the_dataset(image_set):
    import keras

    model = keras.Sequential([keras.layers.Conv2D(3, 1)])
    model.compile("sgd", "mse")
    # Keras warns about its own default `shuffle=True` when it is given a dataset.
    history = model.fit(training_dataset(image_set, CONFIG), shuffle=False, verbose=0)
    assert np.isfinite(history.history["loss"][0])


_TWO_REPLICAS_AND_EXIT = """
import sys
import numpy as np
import tensorflow as tf
from datasets.pipeline.batches import TrainingBatches
from datasets.pipeline.pipeline_config import PipelineConfig
from datasets.pipeline.tf_pipeline import training_dataset
from datasets.sets.catalog import find_dataset

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
config = PipelineConfig(batch_size=6, crop_size=16, sigma_min=0, sigma_max=50)
image_set = find_dataset("folder", sys.argv[1])
strategy = tf.distribute.MirroredStrategy(["cpu:0", "cpu:1"])
stream = iter(strategy.experimental_distribute_dataset(training_dataset(image_set, config)))
expected = TrainingBatches(image_set, config)
for step in range(4):
    for part, whole in zip(next(stream), expected.batch(step)):
        values = strategy.experimental_local_results(part)
        assert len(values) == 2 and values[0].shape[0] == 3
        np.testing.assert_array_equal(np.concatenate([v.numpy() for v in values]), whole)
endless = iter(training_dataset(image_set, config))
next(endless)
print("done")
"""


def test_replicas_share_a_batch_in_order_and_the_process_ends(image_set):
    # Ends with iterators alive and batches under way: without the exit hook this hangs.
    result = subprocess.run(
        [sys.executable, "-c", _TWO_REPLICAS_AND_EXIT, str(image_set.paths[0].parent)],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (result.returncode, result.stdout.strip()) == (0, "done"), result.stderr[-2000:]
