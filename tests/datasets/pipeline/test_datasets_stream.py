"""What a training takes from --dataset, --degradation and the guards, before it starts."""

import itertools
import json

import numpy as np
import pytest

from datasets.__main__ import main as datasets_command
from datasets.pipeline import stream, tf_pipeline
from datasets.pipeline.batches import PipelineConfig, TrainingBatches
from datasets.pipeline.mixture import find_training_mixture
from datasets.pipeline.stream import TrainingInput, training_stream
from gradnet_tf.degradations.compose import parse_degradation
from gradnet_tf.training.config import TrainConfig, sigma_range
from gradnet_tf.training.run import prepare_workdir
from gradnet_tf.training.workers.cluster import Cluster, cluster_for
from gradnet_tf.utils.errors import UserError

NOISE = "gaussian(0,55)|camera"


def _config(**fields) -> TrainConfig:
    return TrainConfig(**{"preset": "gradnet_tiny", "dataset": "sample,renoir", **fields})


@pytest.fixture
def sets(make_images, tmp_path):
    kinds = ("noisy", "reference", "clean")
    make_images("renoir", [f"batch{n:02d}_{kind}.png" for n in (1, 2, 31) for kind in kinds])
    make_images("kodak24", ["kodim01.png"])
    return tmp_path


def test_facts_say_what_was_mixed_and_guarded(sets):
    info = TrainingInput(_config(degradation=NOISE), sets).info()
    assert info["train_images"] == 8 + 2 and info["validation_images"] == 1 + 1
    assert info["train_images_by_set"] == {"sample": 8, "renoir": 2}
    assert info["validation_images_by_set"] == {"sample": 1, "renoir": 1}
    assert info["guarded"]["kodak24"] == 1 and info["guarded"]["sample"] == 3
    single = TrainingInput(_config(dataset="sample")).info()
    assert single["train_images"] == 8 and "train_images_by_set" not in single


def test_the_config_records_one_text_and_the_levels_of_pure_gaussian_noise(tmp_path):
    config = _config(degradation=" gaussian( 5 , 30 )", workdir=str(tmp_path / "run"))
    assert (config.degradation, config.sigma_min, config.sigma_max) == ("gaussian(5..30)", 5, 30)
    mixed = _config(degradation=NOISE, allow_test_images=True, workdir=str(tmp_path / "run"))
    assert (mixed.sigma_min, mixed.sigma_max) == (None, None)
    recorded = json.loads((prepare_workdir(mixed) / "config.json").read_text())["train"]
    assert recorded["degradation"] == "gaussian(0..55)|camera"
    assert recorded["dataset"] == "sample,renoir" and recorded["allow_test_images"] is True
    again = _config(**{**recorded, "degradation": "gaussian(0..55) | camera()"})
    assert again == mixed
    with pytest.raises(UserError, match="unknown stage 'film'"):
        _config(degradation="film")


def test_levels_and_a_degradation_are_not_given_together():
    assert sigma_range(None, None, None) == {"sigma_min": 25.0, "sigma_max": 25.0}
    assert sigma_range(None, None, None, NOISE) == {}
    for levels in ((15.0, None, None), (None, 0.0, 50.0)):
        with pytest.raises(UserError, match="exclude each other. Received: --sigma"):
            sigma_range(*levels, NOISE)


def test_what_does_not_go_together_is_reported(sets):
    cluster = Cluster()
    with pytest.raises(UserError, match="renoir has real noise, so --degradation does not apply"):
        TrainingInput(_config(dataset="renoir", degradation=NOISE), sets)
    prepared = str(sets / "shards")
    for fields, words in (
        ({"dataset": "sample", "degradation": "gaussian(5)"}, r"--degradation=gaussian\(5\)"),
        ({"dataset": "sample,renoir"}, "--dataset=sample,renoir"),
        ({"dataset": "renoir"}, "--dataset=renoir, whose noise is real"),
    ):
        source = TrainingInput(_config(**fields), sets, prepared, "grpc://a:1")
        with pytest.raises(UserError, match=f"Received: {words}"):
            source.batch_maker(cluster)
    with pytest.raises(UserError, match="needs a noise level, but the noise of renoir is real"):
        images, _ = find_training_mixture("sample,renoir", sets)
        TrainingBatches(images, PipelineConfig(2, 16, 25, 25, estimator="opencv_nlm"))


def test_a_mixture_is_read_from_the_shards_of_each_set_and_changes_no_value(sets, capsys):
    places = [f"--data_dir={sets}", f"--prepared_dir={sets / 'shards'}"]
    assert datasets_command(["prepare", "sample,renoir", *places]) == 0
    assert "2 images" in capsys.readouterr().out
    assert sorted(p.name for p in (sets / "shards").iterdir()) == [
        "renoir_train_3",
        "sample_train_3",
    ]
    source = TrainingInput(_config(degradation=NOISE), sets, sets / "shards")
    prepared = source._prepared()
    assert [type(part).__name__ for part in prepared.parts] == ["PreparedSet"] * 2
    assert prepared.sizes.count((24, 32)) == 2 and None not in prepared.sizes
    config = PipelineConfig(5, 16, 25, 25, degradation=source.degradation)
    direct, mapped = TrainingBatches(source.images, config), TrainingBatches(prepared, config)
    for step in (0, 3):
        for ours, theirs in zip(mapped.batch(step), direct.batch(step), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_validation_is_made_with_the_degradation(sets):
    source = TrainingInput(_config(degradation="gaussian(50)+round", seed=4), sets)
    made, real = source.validation_pairs()
    levels = made[0] * 255
    np.testing.assert_allclose(levels, np.rint(levels), atol=1e-4)
    assert 0.1 < np.std(made[0] - made[1]) < 0.2
    np.testing.assert_array_equal(real[0] * 255, source.validation.noisy(1))


@pytest.mark.parametrize(
    ("dataset", "noise"), [("sample", NOISE), ("sample,renoir", None), ("renoir", None)]
)
def test_jax_gets_what_its_device_cannot_make_from_here(sets, monkeypatch, dataset, noise):
    monkeypatch.setattr("keras.backend.backend", lambda: "jax")
    images, _ = find_training_mixture(dataset, sets)
    degradation = parse_degradation(noise) if noise else None
    config = PipelineConfig(3, 16, 25, 25, start_step=2, degradation=degradation)
    stream = training_stream(images, config)
    expected = TrainingBatches(images, config)
    for step in (2, 3, 4):
        for ours, theirs in zip(next(stream), expected.batch(step), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    stream.close()


def test_the_streams_of_a_run_share_its_images(make_images, monkeypatch):
    """A teacher's crops come again in a new stream each time, which must not decode them again."""
    made = []

    class Counted(stream.TrainingBatches):
        def __init__(self, *arguments):
            made.append(self)
            super().__init__(*arguments)

    monkeypatch.setattr(stream, "TrainingBatches", Counted)
    folder = make_images("photos", [f"{number}.png" for number in range(22)], (32, 36))
    config = TrainConfig(preset="gradnet_tiny", dataset="folder", crop_size=16, batch_size=2)
    make = TrainingInput(config, folder).batch_maker(cluster_for("none"))
    whole = list(itertools.islice(make(0), 4))
    for first in (0, 2):
        parts = itertools.islice(make(first), 2)
        for ours, theirs in zip(parts, whole[first:], strict=False):
            np.testing.assert_array_equal(ours[0], theirs[0])
    assert len(made) == 1
    # One function, which TensorFlow keeps for ever.
    known = [each for each in tf_pipeline._all_calls.values() if each._batches is made[0]]
    assert len(known) == 1


def test_a_set_without_validation_images_is_refused_before_training(make_images, tmp_path):
    for split in ("train", "val", "test"):
        make_images(f"BSDS500/data/images/{split}", [f"10000{len(split)}.jpg"])
    given = TrainingInput(_config(dataset="bsds500"), tmp_path)
    with pytest.raises(UserError, match="no validation images(.|\\n)*datasets info bsds500"):
        given.validation_pairs()
