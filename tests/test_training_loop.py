"""The loop through a fake engine: stops, budgets, resume and NaN, without a framework."""

import errno
import os
import signal
import types

import numpy as np
import pytest
from test_training_parts import rows

from gradnet_tf.config import TrainConfig
from gradnet_tf.errors import Interrupted, NotFiniteError
from gradnet_tf.run_folder import best_weights
from gradnet_tf.training import loop

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
        self.rates, self.steps = [], 0

    def batches(self, dataset):
        return iter(dataset)

    def step(self, batch, learning_rate):
        self.model.value += batch
        self.rates.append(learning_rate)
        if self.on_step:
            self.on_step(self)
        loss = self.losses.get(int(batch), 1.0 / self.model.value)
        return {"loss": loss, "finite": bool(np.isfinite(loss))}

    def predict(self, noisy):
        return noisy + 0.5 * (1 - 1 / (1 + self.model.value))

    def optimizer_state(self):
        return [np.array(self.model.value)]

    def set_optimizer_state(self, arrays):
        self.restored = float(arrays[0])


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
    assert set(log[0]) == {"step", "loss", "learning_rate", "examples_per_second", "replicas"}
    assert [row["step"] for row in log if "psnr" in row] == [10, 20]
    assert engine.rates[0] == 1.0 and engine.rates[10] == pytest.approx(0.5)
    assert result["psnr"] == log[-1]["psnr"] > log[9]["psnr"]
    assert best_weights(tmp_path).name == "step-00000020.weights.h5"


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


def test_a_full_disk_stops_with_what_to_do_and_the_run_goes_on_later(tmp_path, monkeypatch):
    def full(folder, num_bytes, what):
        if what == "step 10":
            raise OSError(errno.ENOSPC, "no space left: 1 MB are free")

    with monkeypatch.context() as patch:
        patch.setattr(loop, "require_free_space", full)
        with pytest.raises(Interrupted) as error:
            run(tmp_path, FakeEngine())
    assert "cannot be written: no space left" in str(error.value)
    assert "step-00000005; free some space" in str(error.value)
    again = FakeEngine()
    run(tmp_path, again)
    assert again.restored == sum(range(1, 6)) and again.model.value == sum(range(1, 21))


def test_a_finished_run_does_nothing_more(tmp_path, capsys):
    run(tmp_path, FakeEngine())
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    again = FakeEngine()
    result = run(tmp_path, again)
    assert again.rates == [] and result["step"] == 20
    assert "is complete at step 20" in capsys.readouterr().err
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}


def test_nan_stops_with_the_step_and_the_last_good_checkpoint(tmp_path):
    with pytest.raises(NotFiniteError) as error:
        run(tmp_path, FakeEngine(losses={13: float("nan")}))
    assert "not finite at step 13" in str(error.value)
    assert "step-00000010" in str(error.value) and error.value.exit_code == 3
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir())[-1] == "step-00000010"


def test_a_time_budget_ends_the_stage_and_drives_the_schedule(tmp_path, monkeypatch):
    clock = types.SimpleNamespace(now=0.0)
    monkeypatch.setattr(loop, "time", types.SimpleNamespace(monotonic=lambda: clock.now))

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
