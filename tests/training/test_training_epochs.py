"""Epochs and the paper's recipe: what --epochs counts, and when the learning rate falls."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gradnet_tf.training.config import TrainConfig, epoch_text, steps_per_epoch
from gradnet_tf.training.schedules import learning_rate_at
from gradnet_tf.utils.errors import UserError

ROOT = Path(__file__).parents[2]


def test_an_epoch_is_so_many_crops_of_every_image_in_whole_batches():
    assert steps_per_epoch(795 * 4, 48) == 66
    assert steps_per_epoch(5, 48) == 1
    config = TrainConfig(preset="gradnet", epochs=50, crops_per_image=4, batch_size=48)
    assert config.steps is None and config.naive_steps is None
    found = config.for_images(795)
    assert (found.steps, found.naive_steps) == (50 * 66, 50 * 66)
    assert epoch_text(found, 795) == (
        "an epoch is 66 steps of 48 crops: 4 of each of 795 images; 50 epochs are 3300 steps"
    )
    # As from a resumed run's flags: the same again.
    assert config.for_images(795) == found and found.for_images(795) == found


def test_the_epochs_of_a_run_show_every_image_equally_often():
    from gradnet_tf.degradations.sampling import CropSampler

    config = TrainConfig(recipe="paper", epochs=3, crops_per_image=4, batch_size=8).for_images(6)
    sampler = CropSampler([(90, 90)] * 6, 80, 15, 15, 0)
    seen = [sampler.choose(n).image for n in range(config.steps * config.batch_size)]
    np.testing.assert_array_equal(np.bincount(seen), 3 * 4)


def test_images_that_are_smaller_than_a_crop_are_not_counted(make_images):
    from datasets.pipeline.stream import TrainingInput

    folder = make_images("photos", [f"{number}.png" for number in range(7)], (40, 60))
    make_images("photos", [f"small{number}.png" for number in range(20)], (20, 60))
    fields = {"preset": "gradnet_tiny", "dataset": "folder", "crop_size": 32, "epochs": 2}
    source = TrainingInput(TrainConfig(**fields), folder)
    large = sum(name.startswith("small") is False for name in source.images.names)
    assert source.usable_count() == large < len(source.images)
    halves = TrainingInput(TrainConfig(**fields, scales=(1.0, 0.9, 0.5)), folder)
    # 0.9 of 40 is 36; 0.5 would be smaller than the crop, and is left out for being tiny anyway.
    assert halves.usable_count() == large


def test_the_papers_recipe():
    config = TrainConfig(preset="gradnet", recipe="paper", dataset="nyuv2").for_images(779)
    assert (config.batch_size, config.crop_size, config.epochs) == (48, 80, 50)
    assert (config.learning_rate, config.schedule, config.optimizer) == (1e-3, "step", "adam")
    assert (config.clip_norm, config.warmup_steps, config.gradient_loss_weight) == (0, 0, 0.1)
    assert (config.joint, config.steps) == (False, 50 * (779 * 4 // 48))
    # Every value can be changed, and other recipes are as they were.
    assert TrainConfig(recipe="paper", steps=7, naive_steps=7).epochs is None
    assert TrainConfig(recipe="paper", clip_norm=1.0).clip_norm == 1.0
    usual = TrainConfig(preset="gradnet")
    assert (usual.clip_norm, usual.warmup_steps, usual.steps) == (1.0, 100, 300_000)


@pytest.mark.parametrize("images", [20, 779, 795, 302, 333])
@pytest.mark.parametrize(("epochs", "decay"), [(50, None), (400, 20), (7, 3)])
def test_the_rate_falls_exactly_between_two_epochs(images, epochs, decay):
    config = TrainConfig(recipe="paper", epochs=epochs, decay_epoch=decay).for_images(images)
    an_epoch = config.steps // epochs
    assert an_epoch * epochs == config.steps
    last = (decay or 30) * an_epoch

    def rate(step):
        progress = step / config.steps
        return learning_rate_at(config.schedule, 1e-3, progress, step, 0, config.decay_at)

    assert rate(0) == rate(last - 1) == 1e-3
    assert rate(last) == rate(config.steps - 1) == 2e-4


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"epochs": 0}, "`epochs` must be at least 1"),
        ({"epochs": 5, "crops_per_image": 0}, "`crops_per_image` must be at least 1"),
        ({"epochs": 5, "decay_epoch": 6}, "`decay_epoch` must be at most epochs=5"),
        ({"decay_epoch": 6}, "`decay_epoch` must be at most epochs=None"),
        ({"epochs": 5, "decay_epoch": 3}, "`decay_epoch` must be absent with schedule=cosine"),
        ({"recipe": "short"}, "`recipe` must be one of preset, paper"),
    ],
)
def test_mistakes_are_named(fields, words):
    with pytest.raises(UserError, match=words):
        TrainConfig(**fields)


def test_steps_and_epochs_exclude_each_other():
    import train

    given = train.COMMAND_LINE.parse(["train.py", "--steps=5", "--epochs=5"])
    with pytest.raises(UserError, match="--steps and --epochs exclude each other"):
        train.make_config(given)


def test_real_noise_has_no_level(scenes, tmp_path):
    import train

    # Short, in case that it is not refused.
    flags = ["--preset=dncnn_tiny", "--steps=1", "--crop_size=16", f"--workdir={tmp_path / 'w'}"]
    flags += ["--dataset=renoir", f"--data_dir={scenes}"]
    given = train.COMMAND_LINE.parse(["train.py", *flags, "--sigma=25"])
    with pytest.raises(UserError, match="renoir has real noise, to which none is added. Rec"):
        train.main(given)
    config = train.without_levels(train.COMMAND_LINE.parse(["train.py"]), TrainConfig())
    assert config.real_noise and config.sigma_min is None and config.sigma_max is None
    # A run of an earlier version, which recorded the default level, resumes.
    from gradnet_tf.training.run import prepare_workdir

    now = TrainConfig(dataset="renoir", real_noise=True, workdir=str(tmp_path / "run"))
    path = prepare_workdir(now) / "config.json"
    content = json.loads(path.read_text())
    del content["train"]["real_noise"]
    content["train"] |= {"sigma_min": 25.0, "sigma_max": 25.0}
    path.write_text(json.dumps(content))
    (tmp_path / "run/best").mkdir()
    (tmp_path / "run/best/model.weights.h5").write_bytes(b"weights")
    assert prepare_workdir(now) == tmp_path / "run"


def test_a_run_without_its_steps_is_refused():
    from gradnet_tf.training.run import train

    with pytest.raises(UserError, match="Use config.for_images"):
        train(TrainConfig(epochs=5), None, [])


@pytest.mark.slow
def test_train_py_counts_epochs_and_lowers_its_rate(tmp_path):
    """Two stages of five epochs: 8 images, 3 crops each, batches of 4 are 6 steps an epoch."""
    flags = "--preset=gradnet_tiny --dataset=sample --recipe=paper --epochs=5 --crops_per_image=3"
    flags += " --batch_size=4 --crop_size=24 --log_every=1 --validate_every=1000 --sigma=50"
    done = subprocess.run(
        [sys.executable, "train.py", *flags.split(), f"--workdir={tmp_path / 'run'}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "an epoch is 6 steps of 4 crops: 3 of each of 8 images; 5 epochs are 30" in done.stderr
    for folder in ("run", "run/naive"):
        rows = (tmp_path / folder / "log.jsonl").read_text().splitlines()
        rates = [row["learning_rate"] for row in map(json.loads, rows) if "loss" in row]
        assert rates == [1e-3] * 18 + [2e-4] * 12
    train = json.loads((tmp_path / "run/config.json").read_text())["train"]
    assert (train["epochs"], train["steps"], train["clip_norm"]) == (5, 30, 0)
