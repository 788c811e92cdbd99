"""Schedules, checkpoints, records and configuration: each part by itself."""

import dataclasses
import errno
import json
import math
import os

import keras
import numpy as np
import pytest

from gradnet_tf.loading.run_folder import best_weights, held
from gradnet_tf.models.presets import build_model
from gradnet_tf.training import checkpoints
from gradnet_tf.training.checkpoints import CheckpointStore
from gradnet_tf.training.config import TrainConfig, parse_duration, sigma_range
from gradnet_tf.training.records import RunLog, TensorBoardLog, panel
from gradnet_tf.training.run import prepare_workdir
from gradnet_tf.training.schedules import learning_rate_at
from gradnet_tf.utils.errors import Interrupted, UserError


def test_cosine_goes_from_peak_to_zero():
    rates = [learning_rate_at("cosine", 2.0, p, 0, 0) for p in (0, 0.25, 0.5, 1, 1.2)]
    assert rates == pytest.approx([2, 1 + math.sqrt(0.5), 1, 0, 0])


def test_step_schedule_is_the_supplements():
    rates = [learning_rate_at("step", 1e-3, epoch / 50, 0, 0) for epoch in (0, 29, 30, 49)]
    assert rates == pytest.approx([1e-3, 1e-3, 2e-4, 2e-4])


def test_warmup_is_linear():
    rates = [learning_rate_at("step", 1.0, 0.0, step, 4) for step in range(6)]
    assert rates == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1])


def test_unknown_schedule():
    expected = "`schedule` must be 'cosine', 'step', 'constant' or 'plateau'"
    with pytest.raises(ValueError, match=expected):
        learning_rate_at("linear", 1, 0, 0, 0)


@pytest.fixture
def model():
    keras.utils.set_random_seed(4)
    return build_model("dncnn_tiny")


def save(store, model, step, fill):
    weights = [np.full_like(weight, fill) for weight in model.get_weights()]
    model.set_weights(weights)
    state = {
        "optimizer": [np.array(step), np.full((3, 2), fill, "float32")],
        "ema": [np.full(2, fill / 2)],
    }
    return store.save(model, state, {"step": step, "elapsed": 1.5, "best_psnr": None})


def test_checkpoint_round_trip_keeps_the_last_two(model, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "_PART_BYTES", 16)  # forces several parts
    store = CheckpointStore(tmp_path)
    for step in (10, 20, 30):
        save(store, model, step, step / 100)
    names = sorted(path.name for path in store.folder.iterdir())
    assert names == ["step-00000020", "step-00000030"]
    assert len(list((store.folder / names[-1]).glob("optimizer-*.npz"))) == 2
    model.set_weights([weight * 0 for weight in model.get_weights()])
    received = {}
    state = store.restore(model, received.update)
    assert (state["step"], state["elapsed"], state["best_psnr"]) == (30, 1.5, None)
    assert all((weight == np.float32(0.3)).all() for weight in model.get_weights())
    assert int(received["optimizer"][0]) == 30
    np.testing.assert_array_equal(received["optimizer"][1], np.full((3, 2), 0.3, "float32"))
    np.testing.assert_array_equal(received["ema"], [np.full(2, 0.15)])


@pytest.mark.parametrize("damage", ["truncate", "flip", "manifest", "missing"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(model, tmp_path, capsys, damage):
    store = CheckpointStore(tmp_path)
    save(store, model, 10, 0.1)
    newest = save(store, model, 20, 0.2)
    weights = newest / "model.weights.h5"
    data = bytearray(weights.read_bytes())
    if damage == "truncate":
        weights.write_bytes(data[: len(data) // 2])
    elif damage == "flip":
        data[len(data) // 2] ^= 1
        weights.write_bytes(data)
    elif damage == "manifest":
        (newest / "manifest.json").write_text('{"step": 20')
    else:
        weights.unlink()
    assert store.restore(model, lambda arrays: None)["step"] == 10
    assert "step-00000020 is damaged" in capsys.readouterr().err
    assert (model.get_weights()[0] == np.float32(0.1)).all()


def test_no_checkpoint_is_not_an_error(model, tmp_path):
    assert CheckpointStore(tmp_path).restore(model, None) is None


def test_a_failed_save_leaves_nothing_and_keeps_the_last(model, tmp_path):
    store = CheckpointStore(tmp_path)
    save(store, model, 10, 0.1)

    class Unwritable:
        def save_weights(self, path):
            path.write_bytes(b"half")
            raise OSError("No space left on device")

    with pytest.raises(OSError):
        store.save(Unwritable(), {}, {"step": 20})
    assert [path.name for path in store.folder.iterdir()] == ["step-00000010"]


def test_best_weights_are_verified(model, tmp_path):
    store = CheckpointStore(tmp_path)
    assert best_weights(tmp_path) is None
    store.save_best(model, 5, 30.0)
    store.save_best(model, 9, 31.0)
    assert best_weights(tmp_path).name == "step-00000009.weights.h5"
    assert len(list(store.best_folder.glob("*.h5"))) == 1
    best_weights(tmp_path).write_bytes(b"x")
    with pytest.raises(ValueError, match="missing or damaged"):
        best_weights(tmp_path)


def rows(path):
    return [json.loads(line) for line in (path / "log.jsonl").read_text().splitlines()]


def test_a_resumed_log_drops_later_rows_and_torn_lines(tmp_path):
    log = RunLog(tmp_path, None)
    for step in (1, 2, 3):
        log.write({"step": step, "loss": float("nan") if step == 1 else 0.5})
    log.close()
    with open(tmp_path / "log.jsonl", "a") as file:
        file.write('{"step": 4, "lo')
    RunLog(tmp_path, 2).close()
    assert rows(tmp_path) == [
        {"step": 1, "loss": None},
        {"step": 2, "loss": 0.5},
        {"event": "resume", "step": 2},
    ]


def test_a_row_that_does_not_fit_is_not_half_written(tmp_path, monkeypatch):
    log = RunLog(tmp_path, None)
    log.write({"step": 1})
    file = log._file

    class Full:
        """Takes ten bytes of a row."""

        def __getattr__(self, name):
            return getattr(file, name)

        def write(self, data):
            return file.write(data[:10])

    monkeypatch.setattr(log, "_file", Full())
    with pytest.raises(OSError) as error:
        log.write({"step": 2, "loss": 0.5})
    assert error.value.errno == errno.ENOSPC
    monkeypatch.undo()
    log.write({"step": 2, "loss": 0.5})
    log.close()
    assert rows(tmp_path) == [{"step": 1}, {"step": 2, "loss": 0.5}]


def test_tensorboard_reads_what_is_written(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import plugin_data_pb2

    board = TensorBoardLog(tmp_path)
    board.scalars({"train/loss": 0.25}, 7)
    picture = panel([np.zeros((4, 3, 1)), np.full((4, 3, 3), 2.0)])
    board.image("validation", picture, 7)
    board.bars("validation/psnr_by_sigma", [5.0, 15.0, 25.0], [33.0, 30.5], 7)
    board.settings({"preset": "gradnet_tiny", "ema": 0.5, "joint": True})
    board.close()
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(e.step, e.value) for e in events.Scalars("train/loss")] == [(7, 0.25)]
    assert (events.Images("validation")[0].width, picture.max()) == (6, 255)
    histogram = events.Histograms("validation/psnr_by_sigma")[0].histogram_value
    assert histogram.bucket_limit == [5, 15, 25] and histogram.bucket == [0, 33, 30.5]
    text = events.Tensors("settings")[0].tensor_proto.string_val[0].decode()
    assert "| preset | gradnet_tiny |" in text and "| ema | 0.5 |" in text
    data = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    started = plugin_data_pb2.HParamsPluginData.FromString(data).session_start_info.hparams
    assert (started["ema"].number_value, started["joint"].bool_value) == (0.5, True)


@pytest.mark.parametrize(
    ("text", "seconds"), [(None, None), ("", None), ("90s", 90), ("12m", 720), ("1.5h", 5400)]
)
def test_durations(text, seconds):
    assert parse_duration("time_budget", text) == seconds


@pytest.mark.parametrize("text", ["soon", "-3m", "0s", "3 days", "1", "90"])
def test_bad_durations(text):
    with pytest.raises(UserError, match=f"`time_budget` must be .*time_budget={text!r}"):
        parse_duration("time_budget", text)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"preset": "gradnet_smal"}, "`preset` must be one of gradnet, "),
        ({"sigma_min": -3, "sigma_max": 5}, "`sigma_min` must be in [0, 255]. Received: sigma_mi"),
        ({"sigma_min": 9, "sigma_max": 5}, "`sigma_min` must be at most sigma_max=5"),
        ({"channels": 4}, "`channels` must be 1 (gray) or 3 (RGB). Received: channels=4"),
        ({"strategy": "all"}, "`strategy` must be one of none, mirrored, multiworker. Rec"),
        ({"precision": "int8"}, "`precision` must be one of float32, "),
        ({"schedule": "flat"}, "`schedule` must be one of cosine, step"),
        ({"batch_size": 0}, "`batch_size` must be at least 1. Received: batch_size=0"),
        ({"steps": 0}, "`steps` must be at least 1"),
        ({"naive_steps": -1}, "`naive_steps` must be at least 0"),
        ({"naive_steps": 0}, "`naive_steps` must be at least 1 without --joint, --naive or --ini"),
        ({"learning_rate": 0.0}, "`learning_rate` must be greater than 0"),
        ({"accumulate": 0}, "`accumulate` must be at least 1. Received: accumulate=0"),
        ({"accumulate": 3}, "`accumulate` must be a divisor of batch_size="),
        ({"ema": 1.0}, "`ema` must be in [0, 1). Received: ema=1.0"),
        ({"nan_limit": -1}, "`nan_limit` must be at least 0"),
        ({"naive_share": 1.0}, "`naive_share` must be in (0, 1)"),
        ({"naive_share": 0.0}, "in (0, 1); --naive_steps=0 leaves it out"),
        ({"seed": 2**32}, "`seed` must be less than 2**32"),
        ({"preset": "dncnn", "joint": True}, "`joint` must be absent for this preset"),
        (
            {"schedule": "plateau", "epochs": 9, "time_budget": 60.0},
            "`time_budget` must be absent with schedule=plateau",
        ),
        (
            {"preset": "gradnet_small_level", "teacher": "gradnet_tiny"},
            "`teacher` must be absent for a",
        ),
        ({"preset": "cbdnet", "teacher": "default"}, "`teacher` must be absent for a preset that"),
        ({"gradient_loss_weight": -0.1}, "`gradient_loss_weight` must be at least 0"),
        ({"preset": "dncnn", "naive": "dncnn"}, "`naive` must be absent for this preset"),
        ({"naive": "bm3d", "naive_steps": 9}, "`naive_steps` must be absent with --naive"),
        ({"naive": "bm3d", "naive_share": 0.9}, "`naive_share` must be absent with --naive"),
    ],
)
def test_bad_configurations_are_refused_in_words(changes, words):
    with pytest.raises(UserError) as error:
        TrainConfig(**changes)
    assert words in str(error.value)


def test_the_recipe_fills_what_is_not_given():
    config = TrainConfig(preset="gradnet_tiny", steps=7)
    assert (config.steps, config.schedule, config.batch_size) == (7, "cosine", 8)
    # What is filled in does not count as given.
    assert dataclasses.replace(TrainConfig(naive="bm3d"), seed=3).naive_steps > 0
    assert TrainConfig(preset="gradnet").schedule == "step"
    assert (config.optimizer, config.learning_rate) == ("muon", 2e-3)
    paper = TrainConfig(preset="gradnet")
    assert (paper.optimizer, paper.learning_rate) == ("adam", 1e-3)
    # By steps as by epochs, the paper's stages are equally long.
    paper = TrainConfig(recipe="paper", preset="gradnet_tiny", steps=1000)
    assert (paper.steps, paper.naive_steps) == (1000, 1000)
    # Weights to start from have a trained naive denoiser in them.
    assert TrainConfig(init_from="default").naive_steps == 0
    assert TrainConfig(init_from="default", naive_steps=5).naive_steps == 5


def test_a_workdir_belongs_to_one_configuration(tmp_path):
    config = TrainConfig(preset="gradnet_tiny", workdir=str(tmp_path / "run"))
    prepare_workdir(config, {"train_images": 9})
    prepare_workdir(dataclasses.replace(config, log_every=3))  # decides no weight: still the run
    path = tmp_path / "run" / "config.json"
    older = json.loads(path.read_text())
    del older["train"]["ema"]
    path.write_text(json.dumps(older))
    prepare_workdir(config)  # a run from before a field was added has its default
    written = json.loads((tmp_path / "run" / "config.json").read_text())
    assert written["preset"] == "gradnet_tiny" and written["facts"] == {"train_images": 9}
    assert written["train"]["steps"] == config.steps and "keras" in written["versions"]
    # Nothing was trained yet: a corrected command is welcome.
    prepare_workdir(dataclasses.replace(config, batch_size=6))
    prepare_workdir(config)
    (tmp_path / "run/checkpoints/step-00000005").mkdir(parents=True)
    with pytest.raises(UserError, match=r"another configuration \(seed: 0 there, 1 now\)"):
        prepare_workdir(dataclasses.replace(config, seed=1))
    # One level is called what its flag is called.
    with pytest.raises(UserError, match=r"\(sigma: 25.0 there, 50.0 now\)"):
        prepare_workdir(dataclasses.replace(config, sigma_min=50.0, sigma_max=50.0))
    with pytest.raises(UserError, match=r"\(sigma: 25.0 there, '0 to 50' now\)"):
        prepare_workdir(dataclasses.replace(config, sigma_min=0.0, sigma_max=50.0))


def test_one_training_at_a_time_works_in_a_folder(tmp_path):
    with held(tmp_path):
        with pytest.raises(Interrupted, match=f"in use by another training .process {os.getpid()}"):
            with held(tmp_path):
                pass
    with held(tmp_path):
        pass


def test_an_unwritable_workdir_is_reported(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="cannot be written"):
        prepare_workdir(TrainConfig(preset="gradnet_tiny", workdir=str(tmp_path / "file/run")))


def test_half_a_noise_range_is_refused():
    assert sigma_range(25, None, None) == {"sigma_min": 25, "sigma_max": 25}
    assert sigma_range(None, 0, 55) == {"sigma_min": 0, "sigma_max": 55}
    with pytest.raises(
        UserError, match="must be given together. Received: sigma_min=5, sigma_max=None"
    ):
        sigma_range(None, 5, None)
    for levels in ((25, 0, 55), (25, 5, None)):
        with pytest.raises(UserError, match="Give one level, or a range"):
            sigma_range(*levels)
    with pytest.raises(UserError, match=r"`sigma` must be in \[0, 255\]. Received: sigma=-3"):
        sigma_range(-3, None, None)


def test_the_last_line_tells_the_time_from_the_budget():
    import train as script

    config = TrainConfig(preset="gradnet_tiny", time_budget=60.0)
    result = {"step": 9, "psnr": 20.0}
    text = script.result_text(config, result | {"elapsed": 50.0})
    assert "9 steps in 50.0 s (--time_budget=1 min 0 s), validation" in text
    text = script.result_text(config, result | {"elapsed": 65.0})
    included = "the last step, validation and checkpoint included"
    assert f"in 1 min 5 s (--time_budget=1 min 0 s, {included}), validation" in text
    config = dataclasses.replace(config, time_budget=None)
    assert "PSNR – dB" in script.result_text(config, {**result, "psnr": None, "elapsed": 5.0})
    assert "in 50.0 s, validation" in script.result_text(config, result | {"elapsed": 50.0})
