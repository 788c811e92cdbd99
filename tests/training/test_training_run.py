"""The two stages of a run: what each is given, and where its weights come from."""

import contextlib
import dataclasses
import json
import os
import shutil

import keras
import numpy as np
import pytest
from tiny_run import make_run

from gradnet_tf.loading.run_folder import held
from gradnet_tf.models.presets import build_model
from gradnet_tf.training import run
from gradnet_tf.training.checkpoints import CheckpointStore
from gradnet_tf.training.config import TrainConfig
from gradnet_tf.training.run import prepare_workdir
from gradnet_tf.utils.errors import Interrupted, Stopped, UserError


@pytest.fixture
def stages(monkeypatch):
    """Replaces training: records each stage's arguments and the model it would start from."""
    seen = []

    def run_stage(
        config, model, make_batches, validation, workdir, budget=None, label="train", sets=None
    ):
        CheckpointStore(workdir).save_best(model, 1, 20.0)
        seen.append({"config": config, "model": model, "budget": budget, "label": label})
        return {"step": 1, "psnr": 20.0, "elapsed": 7.0, "stopped": None}

    monkeypatch.setattr(run, "run_stage", run_stage)
    monkeypatch.setattr(run, "make_engine", lambda config, build: build())
    return seen


def train(tmp_path, **changes):
    keras.utils.set_random_seed(1)
    config = TrainConfig(preset="gradnet_tiny", workdir=str(tmp_path / "out"), **changes)
    return run.train(config, None, None)


def equal(model, other):
    pairs = zip(model.get_weights(), other.get_weights(), strict=True)
    return all(np.array_equal(ours, theirs) for ours, theirs in pairs)


def test_the_naive_stage_has_plain_l1_and_its_share_and_is_then_frozen(tmp_path, stages):
    result = train(tmp_path, time_budget=100.0, naive_share=0.3, naive_steps=11)
    naive, main = stages
    assert naive["label"] == "naive" and naive["config"].preset == "dncnn_tiny"
    assert naive["config"].gradient_loss_weight == 0 and naive["config"].steps == 11
    assert (naive["budget"], main["budget"]) == (pytest.approx(30), pytest.approx(93))
    assert main["config"].gradient_loss_weight == 0.1 and result["elapsed"] == 14.0
    assert equal(main["model"].naive_denoiser, naive["model"])
    assert not main["model"].naive_denoiser.trainable


def test_joint_training_leaves_the_naive_denoiser_trainable(tmp_path, stages):
    train(tmp_path, joint=True, naive_steps=0)
    (main,) = stages
    assert main["model"].naive_denoiser.trainable and main["budget"] is None


def test_a_given_naive_denoiser_replaces_its_stage(tmp_path, stages):
    folder, naive = make_run(tmp_path / "naive", "dncnn_tiny")
    train(tmp_path, naive=str(folder))
    (main,) = stages
    assert equal(main["model"].naive_denoiser, naive)


def test_init_from_starts_with_those_weights(tmp_path, stages):
    folder, model = make_run(tmp_path / "first")
    train(tmp_path, init_from=str(folder), joint=True, naive_steps=0)
    assert equal(stages[-1]["model"], model)
    assert not equal(stages[-1]["model"], build_model("gradnet_tiny"))


@pytest.mark.parametrize("source", ["given", "trained"])
def test_a_naive_denoiser_of_the_run_s_own_replaces_that_of_init_from(tmp_path, stages, source):
    folder, start = make_run(tmp_path / "first")
    naive_folder, naive = make_run(tmp_path / "naive", "dncnn_tiny", gain=3.0)
    more = {"naive": str(naive_folder)} if source == "given" else {"naive_steps": 3}
    train(tmp_path, init_from=str(folder), **more)
    found = stages[-1]["model"]
    assert equal(found.naive_denoiser, naive if source == "given" else stages[0]["model"])
    assert not equal(found.naive_denoiser, start.naive_denoiser)
    assert equal(found.body, start.body) and equal(found.reconstruction, start.reconstruction)


@pytest.mark.parametrize(
    ("preset", "channels", "words"),
    [
        ("dncnn_small", 3, "Received: dncnn_small with 34,700 parameters, channels=3"),
        ("gradnet_tiny", 1, "Received: gradnet_tiny with 90,308 parameters, channels=1"),
    ],
)
def test_weights_of_another_network_are_refused_before_any_stage(
    tmp_path, stages, preset, channels, words
):
    folder, _ = make_run(tmp_path / "other", preset, channels)
    with pytest.raises(UserError, match="--init_from=.*does not fit the network") as caught:
        train(tmp_path, init_from=str(folder))
    assert words in str(caught.value) and len(str(caught.value).splitlines()) <= 3
    assert stages == [] and not (tmp_path / "out").exists()


@pytest.mark.parametrize("flag", ["init_from", "naive"])
def test_a_model_that_is_not_there_is_named_by_its_flag_before_any_stage(tmp_path, stages, flag):
    with pytest.raises(UserError, match=f"^--{flag}=runs/gone: no such file or folder"):
        train(tmp_path, **{flag: "runs/gone"})
    assert stages == [] and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("levels", "words"),
    [((25.0, 25.0), ""), ((0.0, 55.0), "σ = 25; it is the naive denoiser at σ = 0 to 55")],
)
def test_a_naive_denoiser_of_another_noise_level_is_noted(tmp_path, stages, capsys, levels, words):
    folder, _ = make_run(tmp_path / "weak", "dncnn_tiny", sigma=(25.0, 25.0))
    train(tmp_path, naive=str(folder), sigma_min=levels[0], sigma_max=levels[1])
    noted = f"note: weak was trained for {words}\n" if words else ""
    assert capsys.readouterr().err == noted


def test_a_folder_in_use_keeps_its_configuration(tmp_path, stages):
    train(tmp_path / "first")
    folder = tmp_path / "busy/out"
    with held(folder):
        (folder / "config.json").write_text("theirs")
        with pytest.raises(Interrupted, match="in use by another training"):
            train(tmp_path / "busy")
    assert (folder / "config.json").read_text() == "theirs"


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_a_lock_file_that_is_somebodys_file_is_left_as_it_is(tmp_path, link):
    """A symbolic link is refused, a second name of a file locks it: neither is written to."""
    somebodys = tmp_path / "notes.txt"
    somebodys.write_text("mine")
    (tmp_path / "run").mkdir()
    link(somebodys, tmp_path / "run/.lock")
    refused = pytest.raises(UserError, match="cannot be written")
    with refused if link is os.symlink else contextlib.nullcontext():
        with held(tmp_path / "run"):
            pass
    assert somebodys.read_text() == "mine"


def test_a_folder_that_cannot_be_made_is_reported(tmp_path, stages):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(UserError, match="out cannot be written"):
        train(tmp_path)


def test_a_run_from_before_there_were_optimizers_resumes_with_adam(tmp_path):
    config = TrainConfig(preset="gradnet_tiny", workdir=str(tmp_path), optimizer="adam")
    prepare_workdir(config)
    path = tmp_path / "config.json"
    older = json.loads(path.read_text())
    for name in ("optimizer", "scales", "l2_share"):
        del older["train"][name]
    path.write_text(json.dumps(older))
    (tmp_path / "checkpoints/step-00000005").mkdir(parents=True)
    prepare_workdir(config)
    with pytest.raises(UserError, match="optimizer: 'adam' there, 'muon' now"):
        prepare_workdir(dataclasses.replace(config, optimizer="muon"))


FOREIGN = {
    "a log": {"log.jsonl": "my diary"},
    "checkpoints": {"checkpoints/step-100/weights.pt": "x", "checkpoints/step-9/weights.pt": "x"},
    "best weights": {"best/step-3.weights.h5": "x"},
    "another project's": {"config.json": '{"lr": 0.1}', "log.jsonl": "{}"},
    "a list": {"config.json": "[]"},
    "half of ours": {"config.json": '{"preset": "gradnet_tiny"}'},
    "an older stage": {"naive/log.jsonl": "{}"},
}


def contents(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.mark.parametrize("files", FOREIGN.values(), ids=FOREIGN)
def test_a_folder_that_is_not_a_run_is_left_as_it_is(tmp_path, stages, files):
    for name, text in files.items():
        (tmp_path / "out" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "out" / name).write_text(text)
    before = contents(tmp_path)
    with pytest.raises(UserError, match="not a run of this project.*would replace"):
        train(tmp_path)
    assert contents(tmp_path) == before and not stages


def test_files_beside_a_run_do_not_matter_and_a_run_resumes(tmp_path, stages):
    (tmp_path / "out/best").mkdir(parents=True)
    (tmp_path / "out/notes.txt").write_text("mine")
    for _ in range(2):
        train(tmp_path)
    assert (tmp_path / "out/notes.txt").read_text() == "mine" and len(stages) == 4


def test_checkpoints_of_other_names_or_with_more_in_them_are_kept(tmp_path, capsys):
    """Neither the rotation nor the removal of damaged checkpoints touches them."""
    model, store = build_model("dncnn_tiny"), CheckpointStore(tmp_path)
    mine = ["step-00000001/notes.txt", "step-best/model.weights.h5", "step-1/w.pt"]
    for name in mine:
        (tmp_path / "checkpoints" / name).parent.mkdir(parents=True)
        (tmp_path / "checkpoints" / name).write_text("mine")
    (tmp_path / "best").mkdir()
    (tmp_path / "best/step-mine.weights.h5").write_text("mine")
    for step in range(2, 6):
        store.save(model, {}, {"step": step})
        store.save_best(model, step, 20.0)
    (tmp_path / "checkpoints/step-00000005/manifest.json").write_text("{")
    assert store.restore(model, lambda state: None)["step"] == 4
    assert "step-00000005 is damaged; removed" in capsys.readouterr().err
    kept = {path.name for path in (tmp_path / "checkpoints").iterdir()}
    assert kept == {"step-00000004", "step-00000001", "step-best", "step-1"}
    for name in mine:
        assert (tmp_path / "checkpoints" / name).read_text() == "mine"
    best = sorted(path.name for path in (tmp_path / "best").glob("*.h5"))
    assert best == ["step-00000005.weights.h5", "step-mine.weights.h5"]
    with pytest.raises(UserError, match="step-00000001 is not a checkpoint"):
        store.save(model, {}, {"step": 1})


def test_a_lock_that_is_somebodys_own_file_is_not_emptied(tmp_path):
    (tmp_path / ".lock").write_text("package lock, mine")
    with held(tmp_path):
        pass
    assert (tmp_path / ".lock").read_text() == "package lock, mine"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"steps": 60}, "over the first 100 steps, and the run has 60: "),
        ({"steps": 199}, "over the first 100 steps, and the run has 199: "),
        ({"steps": 200}, ""),
        ({"steps": 60, "warmup_steps": 6}, ""),
    ],
)
def test_a_warm_up_longer_than_half_the_run_is_warned_of(tmp_path, stages, capsys, changes, words):
    train(tmp_path, joint=True, naive_steps=0, **changes)
    printed = capsys.readouterr().err
    assert printed.count("warning: the learning rate grows") == bool(words)
    assert words in printed
    if words:
        assert printed.endswith(f"give --warmup_steps={changes['steps'] // 10}\n")


def test_a_run_goes_on_with_more_steps_or_time_and_nothing_else(tmp_path, stages, capsys):
    train(tmp_path, time_budget=60.0, naive_steps=4)
    CheckpointStore(tmp_path / "out").save(stages[-1]["model"], {}, {"step": 1})
    path = tmp_path / "out" / "config.json"
    for more in ({"time_budget": 90.0}, {"time_budget": 90.0, "steps": 10**6}, {"steps": 10**6}):
        train(tmp_path, naive_steps=4, **more)
        naive, main = stages[-2:]
        assert "is continued" in capsys.readouterr().err
        found = json.loads(path.read_text())
        assert found["train"] == json.loads(json.dumps(main["config"].to_dict()))
        assert found["train"]["time_budget"] == more.get("time_budget")
        # The main stage has begun, so that the additional time is for it alone.
        assert main["budget"] == (83.0 if "time_budget" in more else None)
        assert naive["budget"] == 1e-9
    assert len(found["continued"]) == 3
    for less in ({"steps": 10}, {"steps": 10**7, "seed": 1}, {"steps": 10**6, "time_budget": 99.0}):
        with pytest.raises(UserError, match=r"may be larger\), or another --workdir \(and --init"):
            train(tmp_path, naive_steps=4, **less)
    assert json.loads(path.read_text()) == found


def test_epochs_and_workers_keep_their_length(tmp_path):
    config = TrainConfig(preset="gradnet_tiny", steps=20)
    assert run._grows(config, {"steps": 10}, "steps")
    for changes in ({"strategy": "multiworker"}, {"epochs": 2}):
        assert not run._grows(dataclasses.replace(config, **changes), {"steps": 10}, "steps")


def test_validations_belong_to_the_schedule_that_waits_for_them(tmp_path):
    fields = {"preset": "gradnet_tiny", "workdir": str(tmp_path / "run"), "epochs": 20}
    fields |= {"schedule": "plateau", "decay_epoch": 4, "recipe": "paper"}
    config = TrainConfig(**fields, validate_every=10).for_images(8)
    CheckpointStore(prepare_workdir(config)).save_best(build_model("gradnet_tiny"), 1, 20.0)
    with pytest.raises(UserError, match="validate_every: 10 there, 20 now"):
        prepare_workdir(dataclasses.replace(config, validate_every=20))


def test_a_run_resumes_without_the_weights_it_started_from(tmp_path, stages):
    folder, _ = make_run(tmp_path / "first")
    start = {"init_from": str(folder), "joint": True, "naive_steps": 0}
    train(tmp_path, **start)
    CheckpointStore(tmp_path / "out").save(stages[-1]["model"], {}, {"step": 1})
    folder.rename(tmp_path / "moved")
    train(tmp_path, **start)
    assert len(stages) == 2
    # Without an intact checkpoint the weights would be random.
    for path in (tmp_path / "out" / "checkpoints").rglob("manifest.json"):
        path.write_text("{}")
    with pytest.raises(UserError, match="no such file or folder"):
        train(tmp_path, **start)


def test_a_run_of_two_equal_stages_goes_on_with_more_steps(tmp_path, stages, capsys):
    train(tmp_path, recipe="paper", steps=10)
    CheckpointStore(tmp_path / "out").save(stages[-1]["model"], {}, {"step": 10})
    train(tmp_path, recipe="paper", steps=20)
    assert "is continued" in capsys.readouterr().err
    assert stages[-1]["config"].steps == 20
    assert stages[-2]["budget"] == 1e-9  # The naive stage stays as it is.


def test_a_signal_at_the_end_of_the_naive_stage_stops_the_run(tmp_path, stages, monkeypatch):
    usual = run.run_stage

    def stopped(*arguments, **more):
        return {**usual(*arguments, **more), "stopped": "SIGTERM"}

    monkeypatch.setattr(run, "run_stage", stopped)
    with pytest.raises(Stopped, match="stopped by SIGTERM after the naive stage"):
        train(tmp_path, naive_steps=4)
    assert len(stages) == 1


@pytest.mark.parametrize("damage", ["damaged", "missing"])
def test_a_lost_naive_denoiser_stops_a_run_unless_a_checkpoint_has_it(tmp_path, stages, damage):
    train(tmp_path, naive_steps=4)
    best = tmp_path / "out" / "naive" / "best"
    usual = run.run_stage

    def lose(*arguments, **more):
        result = usual(*arguments, **more)
        if damage == "missing":
            shutil.rmtree(best)
        else:
            next(best.glob("*.h5")).write_bytes(b"x")
        return result

    run.run_stage = lose
    with pytest.raises(UserError, match=r"missing or damaged(.|\n)*Remove .*naive to train"):
        train(tmp_path, naive_steps=4)
    assert len(stages) == 3
    CheckpointStore(tmp_path / "out").save(stages[1]["model"], {}, {"step": 1})
    run.run_stage = usual
    if damage == "damaged":
        next(best.glob("*.h5")).write_bytes(b"x")
    assert run._trained_naive(tmp_path / "out") is None


def test_a_copy_of_a_given_naive_denoiser_is_no_training_that_could_be_lost(tmp_path, stages):
    train(tmp_path, naive="gradnet_tiny_color_blind")
    shutil.rmtree(tmp_path / "out" / "best")  # As after a kill before the first step.
    first = stages[-1]["model"].naive_denoiser.get_weights()
    train(tmp_path, naive="gradnet_tiny_color_blind", batch_size=2)
    assert stages[-1]["config"].batch_size == 2
    second = stages[-1]["model"].naive_denoiser.get_weights()
    assert all(map(np.array_equal, first, second))


def test_a_given_naive_denoiser_in_the_folder_of_another_run_is_refused(tmp_path, stages):
    train(tmp_path, naive_steps=4)
    with pytest.raises(UserError, match="has a run with another configuration"):
        run.train(
            TrainConfig(
                preset="gradnet_small",
                naive="gradnet_tiny_color_blind",
                workdir=str(tmp_path / "out"),
            ),
            None,
            None,
        )
