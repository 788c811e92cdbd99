"""L2 for the last steps of a stage, and the rate that stays constant until a short decay."""

import os
import signal

import keras
import numpy as np
import pytest
from test_training_loop import FakeEngine, run

from gradnet_tf.models.losses import l2_per_image
from gradnet_tf.models.presets import build_model
from gradnet_tf.training.config import TrainConfig
from gradnet_tf.training.engines.choose_engine import make_engine
from gradnet_tf.training.schedules import learning_rate_at
from gradnet_tf.utils.backend import backend_name
from gradnet_tf.utils.errors import Interrupted, UserError


def images():
    generator = np.random.default_rng(3)
    clean = generator.random((2, 16, 16, 3), np.float32)
    return clean + np.float32(0.1) * generator.standard_normal(clean.shape, np.float32), clean


def test_constant_schedule_falls_to_zero_over_the_last_tenth():
    rates = [learning_rate_at("constant", 2.0, p, 0, 0) for p in (0, 0.5, 0.9, 0.95, 1, 1.2)]
    assert rates == pytest.approx([2, 2, 2, 1, 0, 0])
    assert learning_rate_at("constant", 2.0, 0.0, 0, 4) == pytest.approx(0.5)


def test_l2_is_the_root_mean_square_and_has_a_gradient_at_zero():
    noisy, clean = images()
    expected = np.sqrt(np.mean((noisy - clean) ** 2, axis=(1, 2, 3)))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(l2_per_image(clean, noisy)), expected)
    assert float(l2_per_image(clean, clean)[0]) < 2e-6


@pytest.mark.skipif(backend_name() == "torch", reason="torch does not train here")
@pytest.mark.parametrize(
    "fields",
    [
        {"preset": "gradnet_tiny", "joint": True, "naive_steps": 0},
        {"preset": "dncnn_tiny", "accumulate": 2},
    ],
    ids=["joint", "accumulated"],
)
def test_an_engine_changes_from_l1_to_l2(fields):
    config = TrainConfig(batch_size=2, **fields)
    engine = make_engine(config, lambda: build_model(config.preset, joint=config.joint))
    noisy, clean = images()
    outputs = [engine.predict(noisy)]
    if config.joint:
        outputs.append(engine.predict(noisy, intermediates=True)["naive"])
    errors = [output - clean for output in outputs]
    l1 = sum(np.mean(np.abs(error)) for error in errors)
    l2 = sum(np.mean(np.sqrt(np.mean(error**2, axis=(1, 2, 3)))) for error in errors)
    # Steps of rate 0 change no weight; λ's term is the same in both.
    before = engine.step((noisy, clean), 0.0)["loss"]
    engine.use_l2()
    after = engine.step((noisy, clean), 0.0)["loss"]
    assert l2 - l1 > 1e-3
    assert after - before == pytest.approx(l2 - l1, abs=1e-5)


class CountingEngine(FakeEngine):
    """Notes how many steps were made before the change."""

    changed = ()

    def use_l2(self):
        self.changed = (*self.changed, len(self.rates))


def test_the_loop_changes_once_at_the_last_tenth(tmp_path):
    engine = CountingEngine()
    run(tmp_path, engine, l2_share=0.1)
    assert engine.changed == (18,) and len(engine.rates) == 20
    engine = CountingEngine()
    run(tmp_path / "none", engine)
    assert engine.changed == ()


def test_a_run_that_resumes_in_the_last_tenth_is_in_l2_from_its_first_step(tmp_path):
    def stop(engine):
        if engine.model.value == sum(range(1, 20)):
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted):
        run(tmp_path, CountingEngine(stop), l2_share=0.1)
    engine = CountingEngine()
    run(tmp_path, engine, l2_share=0.1)
    assert engine.changed == (0,) and len(engine.rates) == 1


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"l2_share": 1.5}, "`l2_share` must be in [0, 1]"),
        ({"l2_share": 0.1, "preset": "cbdnet"}, "`l2_share` must be 0 for this preset"),
    ],
)
def test_bad_shares_are_refused_in_words(fields, words):
    with pytest.raises(UserError) as error:
        TrainConfig(**fields)
    assert words in str(error.value)
