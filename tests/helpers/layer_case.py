"""The trials that every layer and model of gradnet_tf goes through."""

import json

import keras
import numpy as np
from keras import ops


def _round_trip(layer):
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(layer)))
    return keras.saving.deserialize_keras_object(config)


def _apply(layer, images):
    """Calls a layer or model, with a noise level for each image where it needs one."""
    if getattr(layer, "needs_sigma", False):
        return layer(images, np.linspace(10, 50, len(images), dtype=np.float32))
    return layer(images)


def _call(layer, images):
    return ops.convert_to_numpy(ops.cast(_apply(layer, images), "float32"))


def run_layer_trials(make, channels, weights, trainable, float32_output=False):
    """Runs the shared trials.

    Args:
        make: called with keyword arguments (`dtype`) and returns a fresh layer.
        channels: channels of the input.
        weights: expected number of weight tensors.
        trainable: expected number of trainable ones.
        float32_output: whether the output is float32 under every policy.
    """
    images = np.random.default_rng(0).random((2, 6, 5, channels), dtype=np.float32)
    layer = make()
    expected = _call(layer, images)
    assert len(layer.weights) == weights
    assert len(layer.trainable_weights) == trainable

    # Configuration and weights survive JSON.
    copy = _round_trip(layer)
    _call(copy, images)
    copy.set_weights(layer.get_weights())
    np.testing.assert_array_equal(_call(copy, images), expected)
    assert json.dumps(copy.get_config()) == json.dumps(layer.get_config())

    # One layer serves every height and width from 1.
    for height, width in ((1, 1), (1, 7), (9, 4)):
        small = _call(layer, images[:1, :1, :1].repeat(height, 1).repeat(width, 2))
        assert np.isfinite(small).all()

    # The computed shape is the real one.
    assert tuple(layer.compute_output_shape(images.shape)) == expected.shape

    # Images of a batch do not mix.
    # One that is told the noise level hears 10 for the first image, alone or not.
    np.testing.assert_allclose(_call(layer, images[:1]), expected[:1], rtol=1e-5, atol=1e-6)

    # Half precision reaches every sublayer, variables stay float32.
    for policy in ("mixed_bfloat16", "mixed_float16"):
        half = make(dtype=policy)
        output = _apply(half, images)
        compute = policy.removeprefix("mixed_")
        wanted = "float32" if float32_output else compute
        assert keras.backend.standardize_dtype(output.dtype) == wanted
        assert all(weight.dtype == "float32" for weight in half.weights)
        for sublayer in half._flatten_layers():
            if isinstance(sublayer, keras.layers.Conv2D):
                assert sublayer.compute_dtype == compute, sublayer.path
        half.set_weights(layer.get_weights())
        difference = np.abs(_call(half, images) - expected).max()
        assert difference <= 0.06 * max(np.abs(expected).max(), 1.0)
