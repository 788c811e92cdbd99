"""A wider GradNet starts as the narrow one whose weights it gets, with new channels at work."""

import keras
import numpy as np
import pytest

from gradnet_tf.models import DnCNN, GradNet, MSKResnet
from gradnet_tf.models.base import build_model
from gradnet_tf.training.config import TrainConfig
from gradnet_tf.training.run import initial_weights
from gradnet_tf.training.widening import widened_weights
from gradnet_tf.utils.errors import UserError

SIZES = {"num_modules": 2, "num_units": 1, "scale": 2}


def network(filters, seed, psi=8, channels=3, **changes):
    """A GradNet whose weights are all different from zero."""
    keras.utils.set_random_seed(seed)
    naive = DnCNN(num_layers=3, filters=psi, scale=2, channels=channels)
    model = build_model(GradNet(naive, filters, channels=channels, **{**SIZES, **changes}))
    rng = np.random.default_rng(seed)
    model.set_weights([rng.normal(0, 0.1, w.shape).astype("float32") for w in model.weights])
    return model


def outputs(model, images):
    return keras.ops.convert_to_numpy(model(images))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("position", ["before_fusion", "after_fusion"])
def test_the_wide_network_computes_what_the_narrow_one_does(channels, position):
    images = np.random.default_rng(1).random((2, 22, 31, channels), np.float32)
    narrow = network(5, 1, channels=channels, attention_position=position)
    wide = network(9, 2, channels=channels, attention_position=position)
    assert np.abs(outputs(wide, images) - outputs(narrow, images)).max() > 0.1
    wide.set_weights(widened_weights(narrow, wide))
    assert np.abs(outputs(wide, images) - outputs(narrow, images)).max() < 1e-5


def test_every_new_channel_is_computed_and_gets_a_gradient_where_it_is_not_read_yet():
    tf = pytest.importorskip("tensorflow")
    narrow, wide = network(5, 1), network(9, 2)
    wide.set_weights(widened_weights(narrow, wide))
    images = np.random.default_rng(3).random((2, 24, 24, 3), np.float32)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.square(wide(images) - 0.5))
    kernel = wide.reconstruction.kernel
    gradient = keras.ops.convert_to_numpy(tape.gradient(loss, kernel))
    new = slice(5, 9)
    assert not np.any(keras.ops.convert_to_numpy(kernel)[:, :, new])
    assert np.all(np.abs(gradient[:, :, new]).max(axis=(0, 1, 3)) > 0)


@pytest.mark.parametrize(
    "other",
    [
        lambda: network(5, 2),
        lambda: network(3, 2),
        lambda: network(9, 2, psi=12),
        lambda: network(9, 2, channels=1),
        lambda: network(9, 2, num_modules=1),
        lambda: network(9, 2, num_units=2),
        lambda: network(9, 2, reduction=4),
        lambda: network(9, 2, attention_position="after_fusion"),
        lambda: network(9, 2, takes_level=True),
        lambda: network(9, 2, global_skip=False),
        lambda: build_model(MSKResnet(9, **SIZES)),
    ],
)
def test_only_the_number_of_features_may_differ(other):
    assert widened_weights(network(5, 1), other()) is None


def config(tmp_path, **changes):
    return TrainConfig(preset="gradnet_medium", workdir=str(tmp_path), naive_steps=0, **changes)


def test_init_from_takes_weights_of_a_narrower_preset_and_depends_on_the_seed_alone(tmp_path):
    start = {"init_from": "gradnet_small_color_blind", "joint": True}
    first, again, other = (
        initial_weights(config(tmp_path, seed=seed, **start)) for seed in (1, 1, 2)
    )
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert any(not np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_init_from_does_not_take_weights_of_fewer_modules_or_units(tmp_path):
    with pytest.raises(UserError, match=r"gradnet_tiny with 96,076 parameters"):
        initial_weights(config(tmp_path, init_from="gradnet_tiny_color_blind", joint=True))
