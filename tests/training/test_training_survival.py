"""The loop on a full disk and with steps that are not finite, through the fake engine."""

import errno
import os
import signal
import types

import pytest
from test_training_loop import FakeEngine, run
from test_training_parts import rows

from gradnet_tf.training import checkpoints, stage
from gradnet_tf.training.records import RunLog
from gradnet_tf.utils.errors import Interrupted, NotFiniteError


def full_disk(monkeypatch, until):
    """Leaves no room from step 10 on until `until(attempts)`; returns the attempts."""
    attempts = []

    def require(folder, num_bytes, what):
        if what == "step 10" and not until(attempts):
            attempts.append(what)
            raise OSError(errno.ENOSPC, "no space left: 1 MB are free", str(folder))

    monkeypatch.setattr(stage, "require_free_space", require)
    monkeypatch.setattr(stage, "_DISK_POLL_SECONDS", 0.01)
    return attempts


def test_a_full_disk_pauses_until_there_is_room_and_loses_nothing(tmp_path, monkeypatch, capsys):
    attempts = full_disk(monkeypatch, until=lambda attempts: len(attempts) == 3)
    engine = FakeEngine()
    run(tmp_path, engine)
    assert len(attempts) == 3 and engine.model.value == sum(range(1, 21))
    assert [row["step"] for row in rows(tmp_path)] == list(range(1, 21))
    err = capsys.readouterr().err
    assert err.count("paused at step 10: no space left: 1 MB are free") == 1
    assert f"Free some space for {tmp_path}" in err


def test_a_pause_does_not_use_up_the_time_budget(tmp_path, monkeypatch):
    clock = types.SimpleNamespace(now=0.0)

    def sleep(seconds):
        clock.now += 100

    fake = types.SimpleNamespace(monotonic=lambda: clock.now, sleep=sleep)
    monkeypatch.setattr(stage, "time", fake)
    attempts = full_disk(monkeypatch, until=lambda attempts: len(attempts) == 3)
    result = run(tmp_path, FakeEngine(), budget=50.0)
    assert len(attempts) == 3 and clock.now >= 300 and result["step"] == 20


def test_a_stop_request_ends_the_wait_for_a_disk(tmp_path, monkeypatch):
    def terminate(attempts):
        if attempts:
            os.kill(os.getpid(), signal.SIGTERM)

    full_disk(monkeypatch, until=terminate)
    with pytest.raises(Interrupted) as error:
        run(tmp_path, FakeEngine())
    assert "stopped by SIGTERM at step 10 while" in str(error.value)
    assert "step-00000005; free some space" in str(error.value)
    again = FakeEngine()
    monkeypatch.undo()
    run(tmp_path, again)
    assert again.restored == sum(range(1, 6)) and again.model.value == sum(range(1, 21))


def test_a_folder_that_cannot_be_written_ends_the_run_with_what_to_do(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(stage.CheckpointStore, "save", fail)
    with pytest.raises(Interrupted, match="cannot be written: Read-only file system") as error:
        run(tmp_path, FakeEngine())
    assert error.value.exit_code == 75


def test_steps_that_are_not_finite_are_skipped_counted_and_said(tmp_path, capsys):
    nan = float("nan")
    run(tmp_path, FakeEngine(losses={3: nan, 12: nan, 13: nan}), nan_limit=2)
    log = rows(tmp_path)
    assert [row["skipped"] for row in log] == [0] * 2 + [1] * 9 + [2] + [3] * 8
    assert log[2]["loss"] is None
    err = capsys.readouterr().err
    assert "not finite at step 3; the step is skipped (1 so far)" in err
    assert "not finite at step 12; the step is skipped (2 so far)" in err


def test_too_many_in_a_row_stop_with_the_last_good_checkpoint(tmp_path):
    losses = {step: float("nan") for step in range(13, 20)}
    with pytest.raises(NotFiniteError) as error:
        run(tmp_path, FakeEngine(losses=losses), nan_limit=2)
    assert "not finite at step 15" in str(error.value)
    assert "for the 3rd step in a row" in str(error.value)
    assert "step-00000010" in str(error.value) and error.value.exit_code == 3
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir())[-1] == "step-00000010"


def test_the_count_of_skipped_steps_continues_after_a_resume(tmp_path):
    nan = float("nan")
    with pytest.raises(NotFiniteError):
        run(tmp_path, FakeEngine(losses={4: nan, 12: nan}), nan_limit=0)
    with pytest.raises(NotFiniteError, match="There is no checkpoint"):
        run(tmp_path / "other", FakeEngine(losses={4: nan}), nan_limit=0)
    run(tmp_path / "counted", FakeEngine(losses={4: nan}), steps=10)
    run(tmp_path / "counted", FakeEngine(losses={13: nan}), steps=20)
    assert rows(tmp_path / "counted")[-1]["skipped"] == 2


def test_a_full_disk_at_the_start_of_a_stage_pauses_it(tmp_path, monkeypatch, capsys):
    opened = []

    def open_log(*arguments):
        opened.append(arguments)
        if len(opened) == 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return RunLog(*arguments)

    monkeypatch.setattr(stage, "RunLog", open_log)
    monkeypatch.setattr(stage, "_DISK_POLL_SECONDS", 0.01)
    engine = FakeEngine()
    run(tmp_path, engine)
    assert engine.model.value == sum(range(1, 21)) and len(rows(tmp_path)) == 20
    assert "paused at step 0: No space left on device" in capsys.readouterr().err


def test_a_checkpoint_that_cannot_be_read_is_not_taken_for_a_damaged_one(tmp_path, monkeypatch):
    run(tmp_path, FakeEngine())
    folders = sorted((tmp_path / "checkpoints").iterdir())

    def unreadable(path):
        raise OSError(errno.EIO, "Input/output error", str(path))

    with monkeypatch.context() as broken:
        broken.setattr(checkpoints, "sha256_of", unreadable)
        with pytest.raises(Interrupted, match="cannot be read: Input/output error") as error:
            run(tmp_path, FakeEngine(), steps=30)
    assert error.value.exit_code == 75
    assert sorted((tmp_path / "checkpoints").iterdir()) == folders and len(folders) == 2
    again = FakeEngine()
    run(tmp_path, again, steps=30)
    assert again.restored == sum(range(1, 21))


def test_a_signal_that_comes_too_late_for_a_stage_is_told_by_its_result(tmp_path):
    def terminate(engine):
        if engine.model.value == sum(range(1, 21)):
            os.kill(os.getpid(), signal.SIGTERM)

    assert run(tmp_path, FakeEngine(on_step=terminate))["stopped"] == "SIGTERM"
    assert run(tmp_path, FakeEngine())["stopped"] is None
