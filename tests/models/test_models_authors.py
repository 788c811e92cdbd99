"""The networks of the authors' code, as options: sizes by hand, and what each option changes."""

import keras
import numpy as np
import pytest
from keras import ops

from gradnet_tf.layers import GradientFilters, SobelGradient
from gradnet_tf.models import DnCNN, GradNet, MSKResnet, SKDnCNN
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


@pytest.mark.parametrize(
    ("name", "value"), [("variant", "ours"), ("product", "sum"), ("details", "drawn")]
)
def test_unknown_readings_are_refused(name, value):
    with pytest.raises(ValueError, match=f"`{name}` must be one of"):
        SKDnCNN("IV", "noisy", **{name: value})


def authors_details():
    """A network of each class that has the option, and the same without it."""
    for build in (
        lambda **more: DnCNN(4, 16, batch_norm=True, **more),
        lambda **more: MSKResnet(16, 1, 1, **more),
        lambda **more: SKDnCNN("II", "noisy", None, 4, 16, variant="authors", **more),
        lambda **more: GradNet(DnCNN(2, 4), 16, 1, 1, batch_norm=True, **more),
    ):
        yield build_model(build(details="authors")), build_model(build())


def test_the_authors_first_and_last_convolutions_have_no_bias():
    for theirs, ours in authors_details():
        first = (theirs.convs[0] if isinstance(theirs, DnCNN) else theirs.features).kernel
        assert trained(ours) - trained(theirs) == first.shape[-1] + 3, theirs.name
    # Without these two, SKDnCNN has the size of their class to the last weight.
    model = build_model(SKDnCNN("I", "noisy", None, 20, 64, variant="authors", details="authors"))
    assert trained(model) == c(6, 64) + 18 * (c(64, 64) + 2 * 64) + c(128, 3)


def test_the_authors_initial_values():
    for theirs, ours in authors_details():
        # He's normal: a variance of 2 over the inputs, also in the last convolution.
        kernel = ops.convert_to_numpy(theirs.reconstruction.kernel)
        inputs = np.prod(kernel.shape[:-1])
        assert 0.7 < np.std(kernel) / np.sqrt(2 / inputs) < 1.3
        small = np.std(ops.convert_to_numpy(ours.reconstruction.kernel))
        assert small < 0.1 * np.std(kernel) or isinstance(ours, SKDnCNN)
        scales = [
            ops.convert_to_numpy(weight) for weight in theirs.weights if weight.name == "gamma"
        ]
        assert isinstance(theirs, MSKResnet) or scales
        assert all(0 < np.abs(scale).max() <= 0.025 for scale in scales)


def test_the_attention_begins_like_the_other_convolutions():
    theirs, ours = list(authors_details())[1]
    for model, expected in ((theirs, 2 / 32), (ours, 2 / (32 + 16))):  # He; Glorot
        shrink = model.body.residual_modules[0].squeeze_excitation.shrink.kernel
        assert tuple(shrink.shape) == (1, 1, 32, 16)
        assert 0.6 < np.var(ops.convert_to_numpy(shrink)) / expected < 1.6


def test_other_gradient_filters_are_padded_like_the_sobel_filter():
    flat = np.full((1, 6, 7, 3), 0.5, np.float32)
    for padding in ("mirror", "zeros"):
        found = ops.convert_to_numpy(GradientFilters("sobel", padding=padding)(flat))
        expected = ops.convert_to_numpy(SobelGradient(padding=padding)(flat))
        np.testing.assert_allclose(found, expected, atol=1e-6)
        assert (found[0, 0].min() > 1) == (padding == "zeros")


def test_the_authors_sobel_filter_is_padded_with_zeros():
    flat = np.full((1, 6, 7, 3), 0.5, np.float32)
    for theirs, ours in list(authors_details())[2:]:
        edge = ops.convert_to_numpy(theirs.sobel(flat))
        assert edge[0, 0].min() > 1 and edge[0, 2, 2].max() <= 2e-6
        np.testing.assert_allclose(ops.convert_to_numpy(ours.sobel(flat)), 1e-3, rtol=1e-3)


def test_the_details_leave_psi_alone_and_survive_files(tmp_path):
    naive = build_model(DnCNN(3, 4, batch_norm=True))
    before = [ops.convert_to_numpy(weight) for weight in naive.weights]
    model = build_model(GradNet(naive, 6, 1, 1, details="authors"))
    assert naive.convs[0].use_bias
    for weight, value in zip(naive.weights, before, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(weight), value)
    noisy = RNG.random((1, 8, 8, 3), dtype=np.float32)
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    assert again.details == "authors" and again.sobel.padding == "zeros"
    np.testing.assert_array_equal(
        ops.convert_to_numpy(again(noisy)), ops.convert_to_numpy(model(noisy))
    )
    assert "details" not in naive.get_config()
    assert "padding" not in build_model(GradNet(DnCNN(2, 4), 6, 1, 1)).sobel.get_config()
