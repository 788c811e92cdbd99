"""The PyTorch twin is the same network: same outputs and loss for the same weights."""

import keras
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from benchmarks.speed.torch_gradnet import (  # noqa: E402
    Muon,
    build_twin,
    gradnet_loss,
    load_keras_weights,
)
from gradnet_tf.models.losses import gradnet_loss_per_image  # noqa: E402
from gradnet_tf.models.presets import build_model  # noqa: E402
from gradnet_tf.training.engines import optimizers  # noqa: E402


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


def test_muon_is_the_muon_of_training():
    draw = np.random.default_rng(0)
    values = [draw.normal(size=shape).astype("float32") for shape in ((3, 3, 24, 20), (20,))]
    ours = [keras.Variable(each) for each in values]
    theirs = [
        torch.nn.Parameter(torch.from_numpy(each.transpose(3, 2, 0, 1) if each.ndim > 1 else each))
        for each in values
    ]
    optimizer, twin = optimizers.Muon(1e-2), Muon(theirs, 1e-2)
    for _ in range(3):
        gradients = [draw.normal(size=each.shape).astype("float32") for each in values]
        optimizer.apply([keras.ops.convert_to_tensor(each) for each in gradients], ours)
        for parameter, each in zip(theirs, gradients, strict=True):
            parameter.grad = torch.from_numpy(each.transpose(3, 2, 0, 1) if each.ndim > 1 else each)
        twin.step()
    kernel = theirs[0].detach().permute(2, 3, 1, 0).numpy()
    np.testing.assert_allclose(kernel, ours[0].numpy(), atol=1e-4)
    np.testing.assert_allclose(theirs[1].detach().numpy(), ours[1].numpy(), atol=1e-5)
