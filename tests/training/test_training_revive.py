"""Dead hidden channels: which are found, that the output stays, and that they learn again."""

import numpy as np
import pytest
from test_training_naive import run_training
from tiny_run import tiny_model

from datasets.sets.catalog import find_dataset
from gradnet_tf.denoiser import load_denoiser
from gradnet_tf.models import CBDNet, DnCNN, FFDNet
from gradnet_tf.models.base import build_model
from gradnet_tf.training.config import TrainConfig
from gradnet_tf.training.revive import revive
from gradnet_tf.utils.backend import backend_name
from gradnet_tf.utils.errors import UserError

pytestmark = pytest.mark.skipif(backend_name() == "torch", reason="torch does not train here")

DEAD = [1, 4, 5]


def batches(count):
    """Batches of two crops with σ = 20."""
    generator = np.random.default_rng(3)
    for _ in range(count):
        clean = generator.random((2, 16, 16, 3), np.float32)
        noise = generator.standard_normal(clean.shape, np.float32) * np.float32(20 / 255)
        yield clean + noise, clean


def pairs_of(model):
    """The convolutions of a `gradnet_tiny` whose ReLU feeds only the next one."""
    chain = [*model.naive_denoiser.convs, model.naive_denoiser.reconstruction]
    modules = model.body.residual_modules
    return [
        *zip(chain[:-1], chain[1:], strict=True),
        *((unit.conv1, unit.conv2) for module in modules for unit in module.units),
        *((m.squeeze_excitation.shrink, m.squeeze_excitation.expand) for m in modules),
    ]


def with_dead_channels():
    """A `gradnet_tiny` in which all hidden channels fire, but `DEAD` in every layer."""
    model = tiny_model()
    for first, _ in pairs_of(model):
        kernel, bias = first.get_weights()
        bias[:] = 9
        bias[DEAD] = -100
        first.set_weights([kernel, bias])
    return model


def same(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_dead_channels_get_kernels_and_the_output_stays():
    model = with_dead_channels()
    noisy, _ = next(batches(1))
    before, pairs = np.asarray(model(noisy)), pairs_of(model)
    kept = [weight.numpy() for weight in (model.features.kernel, model.reconstruction.kernel)]
    old = [second.get_weights()[0] for _, second in pairs]
    channels = sum(first.filters for first, _ in pairs)
    assert revive(model, batches(2), seed=5) == (len(DEAD) * len(pairs), channels)
    np.testing.assert_allclose(np.asarray(model(noisy)), before, rtol=1e-4, atol=1e-4)
    for (first, second), second_old in zip(pairs, old, strict=True):
        living = np.delete(np.arange(first.filters), DEAD)
        kernel, bias = first.get_weights()
        assert not bias[DEAD].any() and (bias[living] == 9).all()
        # Drawn as in a new network: the variance of He et al.
        spread = np.std(kernel[..., DEAD]) / np.sqrt(2 / np.prod(kernel.shape[:3]))
        assert 0.7 < spread < 1.3
        # Of those in a chain, the next dead channel may use a new one.
        inner = second in model.naive_denoiser.convs
        ends = [each for each in range(second.filters) if not inner or each not in DEAD]
        following = second.get_weights()[0][..., ends]
        assert not following[:, :, DEAD].any()
        unchanged = following[:, :, living], second_old[..., ends][:, :, living]
        np.testing.assert_array_equal(*unchanged)
    assert same(kept, [w.numpy() for w in (model.features.kernel, model.reconstruction.kernel)])
    # Now they fire; those of the two attentions depend on the sign of few numbers.
    assert revive(model, batches(2), seed=5)[0] <= 2 * len(DEAD)


def test_one_pixel_of_one_crop_is_enough_to_be_alive():
    model = build_model(DnCNN(3, 8))
    first = model.convs[0]
    kernel, bias = first.get_weights()
    kernel[:], bias[:] = 0, -0.5
    kernel[1, 1, 0, 2] = 1
    first.set_weights([kernel, bias])
    noisy = np.full((2, 16, 16, 3), 0.25, np.float32)
    last = noisy.copy()
    last[1, 4, 6, 0] = 0.75
    revive(model, [(noisy, noisy), (last, last)], seed=0)
    assert list(first.get_weights()[1]) == [0, 0, -0.5, 0, 0, 0, 0, 0]


def test_256_crops_are_looked_at(monkeypatch):
    given = batches(1000)
    revive(tiny_model(), given, seed=0)
    assert len(list(given)) == 1000 - 256 // 2


def test_kernels_follow_the_seed():
    results = []
    for seed in (1, 1, 2):
        model = with_dead_channels()
        revive(model, batches(1), seed)
        results.append(model.get_weights())
    assert same(results[0], results[1]) and not same(results[0], results[2])


@pytest.mark.parametrize(
    ("network", "hidden"),
    [
        (lambda: DnCNN(4, 8), 24),
        (lambda: FFDNet(3, 8), 16),  # is told the level of each crop
        (lambda: DnCNN(4, 8, batch_norm=True), 0),
        (lambda: CBDNet(), 0),
    ],
)
def test_other_networks(network, hidden):
    assert revive(build_model(network()), batches(1), seed=0)[1] == hidden


def test_revived_channels_learn_and_the_run_resumes_bit_for_bit(tmp_path, make_images, capsys):
    images = find_dataset("folder", make_images("photos", ["a.png", "b.png"], (32, 36)))
    start, model = str(tmp_path / "start.keras"), tiny_model("dncnn_tiny")
    for conv in model.convs:
        kernel, bias = conv.get_weights()
        bias[:] = 1
        bias[DEAD] = -100
        conv.set_weights([kernel, bias])
    model.save(start)

    def trained(name, steps, **changes):
        fields = {"preset": "dncnn_tiny", "batch_size": 2, "crop_size": 16, "init_from": start}
        fields |= {"checkpoint_every": 1, "schedule": "constant", "warmup_steps": 0}
        workdir = str(tmp_path / name)
        run_training(TrainConfig(**fields, steps=steps, workdir=workdir, **changes), images)
        return load_denoiser(workdir, runtime="keras").model

    whole = trained("whole", 4, revive=True)
    assert "--revive: 9 of 48 hidden channels never fired" in capsys.readouterr().err
    trained("parts", 3, revive=True)
    assert same(trained("parts", 4, revive=True).get_weights(), whole.get_weights())
    assert capsys.readouterr().err.count("--revive") == 1  # not when it resumes
    plain = trained("plain", 4)
    for first, second, dead in zip(whole.convs, whole.convs[1:], plain.convs, strict=False):
        assert second.get_weights()[0][:, :, DEAD].any() and first.get_weights()[1][DEAD].any()
        np.testing.assert_allclose(dead.get_weights()[1][DEAD], -100, atol=1e-4)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "`revive` must be false without --init_from"),
        ({"init_from": "default", "strategy": "multiworker"}, "`revive` must be false with"),
    ],
)
def test_contradictions_are_refused(fields, words):
    with pytest.raises(UserError) as error:
        TrainConfig(revive=True, **fields)
    assert words in str(error.value)
