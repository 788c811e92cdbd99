"""The loop through a fake engine: stops, budgets and resume, without a framework."""

import contextlib
import json
import os
import shutil
import signal
import types

import numpy as np
import pytest
from test_training_parts import rows

from gradnet_tf.loading.run_folder import best_weights
from gradnet_tf.training import loop, stage
from gradnet_tf.training.config import TrainConfig
from gradnet_tf.utils.errors import Interrupted, UserError

VALIDATION = [(np.zeros((4, 4, 3), "float32"), np.full((4, 4, 3), 0.5, "float32"))]


class FakeModel:
    """Holds one number; its weights file is text."""

    value = 0.0

    def save_weights(self, path):
        path.write_text(repr(self.value))

    def count_params(self):
        return 1

    def load_weights(self, path):
        self.value = float(path.read_text())


class FakeEngine:
    """Adds the batch to the model's number; the output approaches the clean image."""

    replicas = 1

    def __init__(self, on_step=None, losses=None):
        self.model, self.on_step, self.losses = FakeModel(), on_step, losses or {}
        self.rates, self.decays = [], []

    def batches(self, dataset):
        return iter(dataset)

    def step(self, batch, learning_rate, ema_decay=0.0):
        self.model.value += batch
        self.rates.append(learning_rate)
        self.decays.append(ema_decay)
        if self.on_step:
            self.on_step(self)
        loss = self.losses.get(int(batch), 1.0 / self.model.value)
        return {"loss": loss, "finite": bool(np.isfinite(loss))}

    @contextlib.contextmanager
    def averaged(self):
        self.model.value += 1000
        yield
        self.model.value -= 1000

    def predict(self, noisy):
        return noisy + 0.5 * (1 - 1 / (1 + self.model.value))

    def state(self):
        return {"optimizer": [np.array(self.model.value)]}

    def set_state(self, state):
        self.restored = float(state["optimizer"][0])


def batches(start_step):
    number = start_step
    while True:
        number += 1
        yield float(number)


def config(tmp_path, **changes):
    values = {
        "preset": "dncnn_tiny",
        "steps": 20,
        "log_every": 1,
        "checkpoint_every": 5,
        "validate_every": 10,
        "workdir": str(tmp_path),
        **changes,
    }
    return TrainConfig(**values)


def run(tmp_path, engine, budget=None, **changes):
    settings = config(tmp_path, **changes)
    return loop.run_stage(settings, engine, batches, VALIDATION, tmp_path, budget)


def test_log_rows_best_weights_and_learning_rate(tmp_path):
    engine = FakeEngine()
    result = run(tmp_path, engine, schedule="cosine", warmup_steps=0, learning_rate=1.0)
    log = rows(tmp_path)
    assert [row["step"] for row in log] == list(range(1, 21))
    fields = "step loss learning_rate examples_per_second input_wait skipped replicas"
    assert set(log[0]) == set(fields.split())
    assert [row["step"] for row in log if "psnr" in row] == [10, 20]
    assert engine.rates[0] == 1.0 and engine.rates[10] == pytest.approx(0.5)
    assert result["psnr"] == log[-1]["psnr"] > log[9]["psnr"]
    assert best_weights(tmp_path).name == "step-00000020.weights.h5"


@pytest.mark.parametrize(("gain", "warned"), [(0.0, True), (0.5, False), (None, False)])
def test_a_naive_denoiser_that_stopped_working_is_reported_once(
    tmp_path, monkeypatch, capsys, gain, warned
):
    monkeypatch.setattr(stage, "naive_gain", lambda engine, validation: gain)
    monkeypatch.setattr(stage, "_STEPS_TO_LEARN", 10)
    run(tmp_path, FakeEngine(), validate_every=5)
    printed = capsys.readouterr()
    assert (printed.out + printed.err).count("lower --learning_rate") == int(warned)


def test_a_stop_request_saves_and_the_same_command_resumes_to_the_same_result(tmp_path):
    whole = FakeEngine()
    run(tmp_path / "whole", whole)

    def terminate(engine):
        if engine.model.value == sum(range(1, 8)):
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted, match="stopped by SIGTERM at step 7") as error:
        run(tmp_path / "cut", FakeEngine(on_step=terminate))
    assert error.value.exit_code == 75
    again = FakeEngine()
    run(tmp_path / "cut", again)
    assert again.restored == sum(range(1, 8))
    assert again.model.value == whole.model.value
    log = rows(tmp_path / "cut")
    assert {"event": "resume", "step": 7} in log
    assert [row["step"] for row in log if "loss" in row] == list(range(1, 21))


def test_a_finished_run_does_nothing_more(tmp_path, capsys):
    run(tmp_path, FakeEngine())
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    again = FakeEngine()
    result = run(tmp_path, again)
    assert again.rates == [] and result["step"] == 20
    assert "is complete at step 20" in capsys.readouterr().err
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}


def test_results_are_read_while_later_steps_already_run(tmp_path):
    seen = []

    class Late:
        def __init__(self, engine, step):
            self.engine, self.step = engine, step

        def __getitem__(self, name):
            seen.append((self.step, len(self.engine.rates)))
            return {"loss": 1.0, "finite": True}[name]

    class LateEngine(FakeEngine):
        def step(self, *arguments):
            super().step(*arguments)
            return Late(self, len(self.rates))

    run(tmp_path, LateEngine(), log_every=10)
    # A step is read when two more have been started, and at once where a row or a file needs it.
    assert dict(seen)[1] == 3 and dict(seen)[6] == 8 and dict(seen)[10] == 10


def test_averages_are_what_is_validated_and_kept_as_best(tmp_path):
    engine = FakeEngine()
    run(tmp_path, engine, ema=0.5)
    assert float(best_weights(tmp_path).read_text()) > 1000
    checkpoint = tmp_path / "checkpoints/step-00000020/model.weights.h5"
    assert float(checkpoint.read_text()) == engine.model.value == sum(range(1, 21))
    assert engine.decays[:3] == pytest.approx([1 / 10, 2 / 11, 3 / 12])
    assert engine.decays[-1] == 0.5


def test_input_wait_is_the_part_of_the_time_spent_on_batches(tmp_path, monkeypatch):
    clock = types.SimpleNamespace(now=0.0)
    monkeypatch.setattr(loop, "time", types.SimpleNamespace(monotonic=lambda: clock.now))

    def slow(start_step):
        for batch in batches(start_step):
            clock.now += 1.0
            yield batch

    def tick(engine):
        clock.now += 3.0

    loop.run_stage(config(tmp_path), FakeEngine(tick), slow, VALIDATION, tmp_path)
    assert {row["input_wait"] for row in rows(tmp_path)} == {0.25}
    assert rows(tmp_path)[3]["examples_per_second"] == pytest.approx(
        config(tmp_path).batch_size / 4
    )


def test_a_time_budget_ends_the_stage_and_drives_the_schedule(tmp_path, monkeypatch):
    clock = types.SimpleNamespace(now=0.0)
    monkeypatch.setattr(stage, "time", types.SimpleNamespace(monotonic=lambda: clock.now))

    def tick(engine):
        clock.now += 1.0

    engine = FakeEngine(on_step=tick)
    result = run(
        tmp_path, engine, budget=8.0, steps=1000, schedule="cosine", warmup_steps=0,
        learning_rate=1.0,
    )  # fmt: skip
    assert result["step"] == 8
    assert engine.rates[4] == pytest.approx(0.5)
    # The budget counts earlier invocations: a second one has nothing left.
    again = FakeEngine(on_step=tick)
    run(tmp_path, again, budget=8.0, steps=1000)
    assert again.rates == []


@pytest.mark.parametrize("stop_at", [None, 23, 30])
def test_the_authors_schedule_waits_for_a_better_validation(tmp_path, monkeypatch, stop_at):
    """A fifth after 4 of 20 epochs; then whenever 4 epochs, here 8 steps, bring nothing better."""
    settings = TrainConfig(
        recipe="paper", schedule="plateau", epochs=20, decay_epoch=4, batch_size=4, validate_every=2
    ).for_images(2)
    assert settings.steps == 40
    rates = []

    def step(engine):
        rates.append(engine.rates[-1])
        if len(rates) == stop_at:
            os.kill(os.getpid(), signal.SIGTERM)

    # It rises until step 20 and never again.
    monkeypatch.setattr(stage, "image_psnrs", lambda *_: [float(min(len(rates), 20))])
    for _ in range(2 if stop_at else 1):
        with contextlib.suppress(Interrupted):
            loop.run_stage(settings, FakeEngine(on_step=step), batches, VALIDATION, tmp_path)
    np.testing.assert_allclose(rates, [1e-3] * 8 + [2e-4] * 20 + [4e-5] * 8 + [8e-6] * 4)


def test_the_authors_schedule_needs_epochs():
    config = TrainConfig(recipe="paper", schedule="plateau")
    assert (config.epochs, config.decay_epoch) == (50, 20)
    assert TrainConfig(recipe="paper", schedule="plateau", epochs=9).decay_epoch == 9
    with pytest.raises(UserError, match="cosine, step or constant without --epochs"):
        TrainConfig(schedule="plateau", steps=5)


@pytest.mark.parametrize(
    ("budget", "warmup", "words", "at"),
    [
        (100.0, 60, "the run has about 100: ", 3),
        (100.0, 40, "", None),
        (1.0, 60, "the run has 1: ", 1),
        (1000.0, 2000, "the run has about 1000: ", 21),
    ],
)
def test_a_budget_too_short_for_the_warm_up_is_told_early(
    tmp_path, monkeypatch, capsys, budget, warmup, words, at
):
    clock, seen = types.SimpleNamespace(now=0.0), []
    monkeypatch.setattr(stage, "time", types.SimpleNamespace(monotonic=lambda: clock.now))
    monkeypatch.setattr(stage, "warn", lambda text: seen.append((engine_steps(), text)))

    def tick(engine):
        clock.now += 1.0

    engine = FakeEngine(on_step=tick)

    def engine_steps():
        return len(engine.rates)

    run(tmp_path, engine, budget=budget, steps=10**6, warmup_steps=warmup)
    assert [(number, words in text) for number, text in seen] == ([(at, True)] if words else [])
    # A larger budget continues the run, and the rate follows it.
    capsys.readouterr()
    run(tmp_path, FakeEngine(on_step=tick), budget=budget, steps=10**6, warmup_steps=warmup)
    assert "; a larger --time_budget continues it" in capsys.readouterr().err
    again = FakeEngine(on_step=tick)
    assert run(tmp_path, again, budget=budget + 5, steps=10**6, warmup_steps=0)["step"] > budget
    assert len(again.rates) == 5


def test_a_run_that_was_killed_before_its_last_validation_makes_it_up(tmp_path):
    result = run(tmp_path, FakeEngine(), validate_every=1000, steps=10, checkpoint_every=5)
    (manifest,) = (tmp_path / "checkpoints").glob("step-00000010/manifest.json")
    assert result["psnr"] is not None and manifest.exists()
    shutil.rmtree(tmp_path / "best")
    state = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(state | {"best_psnr": None}))
    again = run(tmp_path, FakeEngine(), validate_every=1000, steps=10, checkpoint_every=5)
    assert again == {**result, "elapsed": again["elapsed"]}
    assert (tmp_path / "best" / "manifest.json").exists()


def test_the_plateaus_patience_is_a_whole_number_of_steps(tmp_path):
    """20 of 29 epochs of 3 steps are 60 steps, not 60.00000000000001."""
    found = stage.Stage.__new__(stage.Stage)
    found.config = types.SimpleNamespace(schedule="plateau", decay_at=20 / 29, steps=87)
    assert 20 / 29 * 87 > 60
    found.plateaus, found._better_at, found.step = 0, 0, 120
    found._count_plateau()
    assert found.plateaus == 1


def test_other_validation_images_choose_the_best_weights_anew(tmp_path, capsys):
    run(tmp_path, FakeEngine())
    first = json.loads((tmp_path / "best" / "manifest.json").read_text())
    assert first["psnr"] > 10
    darker = [(VALIDATION[0][0], np.full((4, 4, 3), 0.9, "float32"))]
    settings = config(tmp_path, steps=30)
    capsys.readouterr()
    result = loop.run_stage(settings, FakeEngine(), batches, darker, tmp_path)
    assert "the validation images are others than before" in capsys.readouterr().err
    second = json.loads((tmp_path / "best" / "manifest.json").read_text())
    assert second["step"] == 30 and second["psnr"] == result["psnr"] < first["psnr"]
    # The same images, from wherever they are read, are no others.
    loop.run_stage(config(tmp_path, steps=40), FakeEngine(), batches, darker, tmp_path)
    assert "others than before" not in capsys.readouterr().err


def test_the_seconds_of_a_finished_stage_stay_the_same(tmp_path):
    times = [run(tmp_path, FakeEngine())["elapsed"] for _ in range(3)]
    manifest = json.loads((tmp_path / "checkpoints/step-00000020/manifest.json").read_text())
    assert times == [manifest["elapsed"]] * 3


def test_the_log_has_the_score_of_each_set(tmp_path):
    dark, light = VALIDATION[0], (VALIDATION[0][0], np.full((4, 4, 3), 0.25, "float32"))
    settings, sets = config(tmp_path), {"dark": 1, "light": 2}
    loop.run_stage(settings, FakeEngine(), batches, [dark, light, light], tmp_path, sets=sets)
    validated = [row for row in rows(tmp_path) if "psnr" in row]
    assert len(validated) == 2
    for row in validated:
        by_set = row["psnr_by_set"]
        assert row["psnr"] == pytest.approx((by_set["dark"] + 2 * by_set["light"]) / 3)
        assert by_set["dark"] != by_set["light"]
