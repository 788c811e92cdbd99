"""The networks of the authors' code, as options: sizes by hand, and what each option changes."""

import keras
import numpy as np
import pytest
from keras import ops

from gradnet_tf.models import DnCNN, GradNet, SKDnCNN
from gradnet_tf.models.base import build_model

RNG = np.random.default_rng(7)


def trained(model):
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def c(inputs, outputs):
    """Weights of a 3×3 convolution without bias, as all of SKDnCNN's are there."""
    return 9 * inputs * outputs


def test_skdncnn_has_the_size_of_the_authors_classes():
    hidden = 18 * (c(64, 64) + 2 * 64)
    expected = {
        # Ours has biases in the first and the last convolution: 64 + 3, and 64 more in II.
        ("none", "none"): c(3, 64) + hidden + c(128, 3) + 67,
        ("I", "noisy"): c(6, 64) + hidden + c(128, 3) + 67,
        ("II", "noisy"): c(3, 64) + 18 * (c(67, 67) + 2 * 67) + c(134, 64) + c(64, 3) + 67 + 64,
        ("III", "noisy"): c(3, 64) + hidden + c(131, 3) + 67,
    }
    for (fusion, gradient), count in expected.items():
        model = build_model(SKDnCNN(fusion, gradient, None, 20, 64, variant="authors"))
        assert trained(model) == count, fusion


def test_gradnet_has_the_size_of_the_authors_class():
    naive = DnCNN(2, 4)
    naive.trainable = False
    more = {"attention_position": "after_fusion", "reduction": 16}
    model = build_model(GradNet(naive, **more, batch_norm=True, global_skip=False))
    # 1,626,561 there; the bias before each of 16 normalizations is not needed, and the first and
    # the last convolution have one here.
    assert trained(model) == 1_626_561 - 16 * 67 + 64 + 3


def test_their_last_convolution_gives_the_image():
    noisy = RNG.random((1, 6, 7, 3), dtype=np.float32)
    drawn = build_model(SKDnCNN("II", "noisy", None, 4, 6))
    theirs = build_model(SKDnCNN("II", "noisy", None, 4, 6, variant="authors"))
    ours, other = (build_model(GradNet(DnCNN(2, 4), 6, 1, 1, global_skip=k)) for k in (True, False))
    for model, expected in ((drawn, noisy), (theirs, 0), (ours, noisy), (other, 0)):
        model.reconstruction.kernel.assign(model.reconstruction.kernel * 0)
        np.testing.assert_allclose(ops.convert_to_numpy(model(noisy)), expected + 0 * noisy)


def test_the_gain_of_iv_is_neutral_where_the_guide_is_flat():
    plain, gain, gate, drawn = (
        build_model(SKDnCNN(*arguments, None, 4, 6, product=product))
        for arguments, product in (
            (("none", "none"), "gradient"),
            (("IV", "clean"), "gain"),
            (("IV", "clean"), "gate"),
            (("IV", "clean"), "gradient"),
        )
    )
    plain.reconstruction.kernel.assign(plain.reconstruction.kernel * 100)
    for model in (gain, drawn, gate):
        model.set_weights(plain.get_weights() + model.get_weights()[len(plain.weights) :])
    noisy = RNG.random((1, 9, 9, 3), dtype=np.float32)
    flat = np.full_like(noisy, 0.5)
    expected = ops.convert_to_numpy(plain(noisy))
    for model in (gain, gate):
        found = ops.convert_to_numpy(model(np.concatenate([noisy, flat], -1)))
        np.testing.assert_allclose(found, expected, atol=2e-3 * np.abs(expected - noisy).max())
    # Before any training, the gate is hardly another one where the guide is not flat.
    found = ops.convert_to_numpy(gate(np.concatenate([noisy, noisy], -1)))
    np.testing.assert_allclose(found, expected, atol=0.2 * np.abs(expected - noisy).max())
    # The product that is drawn leaves the noise there.
    found = ops.convert_to_numpy(drawn(np.concatenate([noisy, flat], -1)))
    np.testing.assert_allclose(found, noisy, atol=2e-3 * np.abs(expected - noisy).max())


def test_the_options_survive_files_and_are_absent_from_the_papers(tmp_path):
    noisy = RNG.random((1, 8, 8, 3), dtype=np.float32)
    sk = build_model(SKDnCNN("II", "noisy", None, 4, 6, variant="authors"))
    net = build_model(GradNet(DnCNN(2, 4), 6, 1, 1, batch_norm=True, global_skip=False))
    for model in (sk, net):
        model(noisy, training=True)
        model.save(tmp_path / "m.keras")
        again = keras.saving.load_model(tmp_path / "m.keras")
        np.testing.assert_array_equal(
            ops.convert_to_numpy(again(noisy)), ops.convert_to_numpy(model(noisy))
        )
    usual = build_model(GradNet(DnCNN(2, 4), 6, 1, 1)).get_config()
    assert not {"batch_norm", "global_skip"} & set(usual)


@pytest.mark.parametrize(("name", "value"), [("variant", "ours"), ("product", "sum")])
def test_unknown_readings_are_refused(name, value):
    with pytest.raises(ValueError, match=f"`{name}` must be one of"):
        SKDnCNN("IV", "noisy", **{name: value})
