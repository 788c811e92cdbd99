"""The PyTorch twin is the same network: same outputs and loss for the same weights."""

import keras
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from benchmarks.speed.torch_gradnet import build_twin, gradnet_loss, load_keras_weights  # noqa: E402
from gradnet_tf.models.losses import gradnet_loss_per_image  # noqa: E402
from gradnet_tf.models.presets import build_model  # noqa: E402


@pytest.mark.parametrize("preset", ["gradnet", "gradnet_tiny", "gradnet_small", "dncnn_small"])
def test_twin_has_the_weights_and_the_outputs_of_the_keras_network(preset):
    keras.utils.set_random_seed(0)
    random = np.random.default_rng(0)
    clean = random.random((2, 12, 16, 3), dtype=np.float32)
    noisy = clean + np.float32(0.1) * random.standard_normal(clean.shape, dtype=np.float32)
    model = build_model(preset)
    model.reconstruction.kernel.assign(model.reconstruction.kernel * 30.0)
    expected = keras.ops.convert_to_numpy(model(noisy))
    assert np.abs(expected - noisy).max() > 0.05

    twin = build_twin(preset)
    load_keras_weights(twin, model.get_weights())
    first, last = (torch.from_numpy(images).permute(0, 3, 1, 2) for images in (noisy, clean))
    with torch.no_grad():
        output = twin(first)
        loss = gradnet_loss(last, output, 0.1)
    np.testing.assert_allclose(output.permute(0, 2, 3, 1).numpy(), expected, atol=1e-5, rtol=0)
    reference = np.mean(keras.ops.convert_to_numpy(gradnet_loss_per_image(clean, expected, 0.1)))
    assert float(loss) == pytest.approx(float(reference), rel=1e-5)
