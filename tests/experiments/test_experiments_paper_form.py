"""The paper's experiments: what is real noise, what is refused, and the whole of figure 1."""

import dataclasses
import json

import keras
import numpy as np
import pytest
from matlab_case import write_blocks, write_nyuv2, write_scenes

from datasets.sets.catalog import DATASETS, find_dataset
from experiments import fusion_study, gradient_study, study_command
from experiments.study_command import Options, Sources
from experiments.study_runs import Results, ScoredPairs, scored_pairs
from experiments.study_statistics import noise_name
from gradnet_tf.loading.run_folder import best_weights
from gradnet_tf.utils.errors import UserError

BLOCKS = ("ValidationNoisyBlocksSrgb", "ValidationGtBlocksSrgb")


@pytest.fixture
def published(tmp_path):
    """NYUv2 and SIDD in their published layouts, at a small size."""
    write_nyuv2(tmp_path / "D/nyuv2", 8, ((1, 3, 5, 7), (2, 4, 6, 8)))
    write_scenes(tmp_path / "D/sidd/SIDD_Medium_Srgb/Data", [(1, 1), (2, 1), (192, 9)])
    write_blocks(tmp_path / "D/sidd", BLOCKS, (1, 2, 24, 24, 3))
    return tmp_path / "D"


def test_real_noise_is_what_the_protocol_of_a_set_says(published):
    real = {name for name, info in DATASETS.items() if info.has_real_noise}
    assert {"sidd", "dnd", "renoir", "polyu", "cc15", "nam", "rni15", "pairs"} == real
    asked = Options(sets=("nyuv2", "sidd", "renoir"), sigmas=("15", "50"))
    assert asked.noises() == ["15", "50", "sidd", "renoir"]
    # Aliases and capitals are the same sets.
    assert Options(sets=("SIDD",), sigmas=("15",)).noises() == ["SIDD"]


def test_sidd_is_trained_and_scored_under_its_own_noise(published):
    asked = Options(data_dir=str(published), sets=("nyuv2", "sidd"), sigmas=("15",))
    sources = Sources(dataclasses.replace(asked, train_set="nyuv2"))
    images = sources.training("sidd")
    assert (images.name, images.split) == ("sidd", "train") and images.noisy(0) is not None
    assert set(sources.tests("sidd")) == {"sidd"} and set(sources.tests("15")) == {"nyuv2"}
    assert sources.training("15").split == "fit"


@pytest.mark.parametrize("name", ["polyu", "dnd", "rni15", "cc15"])
def test_real_noise_without_a_training_split_is_refused(name, published):
    asked = Options(data_dir=str(published), sets=("nyuv2", name), sigmas=("15",))
    with pytest.raises(UserError, match=f"{name} has real noise and no training split"):
        Sources(dataclasses.replace(asked, train_set="nyuv2"))


def test_noise_is_not_added_to_noisy_photographs(published):
    asked = Options(data_dir=str(published), sets=("nyuv2",), sigmas=("15",), train_set="sidd")
    with pytest.raises(UserError, match="--train_set=sidd has real noise"):
        Sources(asked)


def test_a_set_with_noisy_images_is_never_scored_under_a_level(published, capsys):
    blocks = find_dataset("sidd", published)
    for make in (scored_pairs, ScoredPairs):
        with pytest.raises(UserError, match="sidd has real noise. Received: sigma=15"):
            make(blocks, 15.0, 0)
    with pytest.raises(UserError, match="nyuv2 has no noisy images. Received: sigma=None"):
        scored_pairs(find_dataset("nyuv2", published), None, 0)
    assert noise_name("sidd") == "real noise" and noise_name("15") == "σ = 15"


def test_mislabeled_results_of_an_earlier_version_are_refused(tmp_path):
    row = {"variant": "none", "gradient": "none", "noise": "15", "seed": 0, "params": 9}
    row |= {"psnr": {"nyuv2": 30.0, "sidd": 31.0}, "seconds": 1.0}
    (tmp_path / "results.jsonl").write_text(json.dumps(row) + "\n")
    asked = Options(output=str(tmp_path), report=True)
    with pytest.raises(UserError, match="a result of sidd under σ = 15, but that set has real"):
        study_command.run(fusion_study.STUDY, asked)


def test_own_pairs_are_scored_on_pairs_that_are_not_trained_on(make_images):
    for kind in ("noisy", "clean"):
        root = make_images(f"pairs/{kind}", [f"{n}.png" for n in range(4)]).parent
    sources = Sources(Options(data_dir=str(root), sets=("pairs",)))
    trained = set(sources.training("pairs").names)
    assert trained and not trained & set(sources.tests("pairs")["pairs"].names)


def test_images_and_test_pairs_are_read_one_by_one(published, tmp_path):
    form = fusion_study.FORMS["tiny"]
    asked = Options(data_dir=str(published), output=str(tmp_path / "out"), sets=("sidd",))
    asked = asked.of_form(form)
    assert asked.prepared_dir == str(tmp_path / "out/prepared") and asked.sigmas == ("15", "50")
    images = Sources(asked).training("sidd")
    found = find_dataset("sidd", published, "train")
    # Views of a file, not copies in memory.
    assert not images.load(1).flags["OWNDATA"]
    np.testing.assert_array_equal(images.load(1), found.load(1))
    np.testing.assert_array_equal(images.noisy(1), found.noisy(1))
    pairs = ScoredPairs(find_dataset("sidd", published), None, 16)
    assert len(pairs) == 2 and len(list(pairs)) == 2 and pairs[1][1].shape == (16, 16, 3)


def test_the_best_weights_are_chosen_on_images_that_are_not_scored(published, make_images):
    asked = Options(data_dir=str(published), sets=("nyuv2", "sidd"), sigmas=("15",), score="best")
    sources = Sources(dataclasses.replace(asked, train_set="nyuv2"))
    assert (sources.validation("15").name, sources.validation("15").split) == (
        "nyuv2",
        "validation",
    )
    assert (sources.validation("sidd").name, sources.validation("sidd").split) == (
        "sidd",
        "held_out",
    )
    for kind in ("noisy", "clean"):
        root = make_images(f"pairs/{kind}", [f"{n}.png" for n in range(4)]).parent
    with pytest.raises(UserError, match="`score` must be last with --sets=pairs, whose split val"):
        Sources(Options(data_dir=str(root), sets=("pairs",), score="best"))


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="studies train on TensorFlow")
def test_the_best_weights_of_an_epoch_are_scored(published, tmp_path, monkeypatch, capsys):
    """The validation scores of five epochs are 1, 3, 2, 0 and 0, so the second has the best."""
    from gradnet_tf.training import stage

    scores = iter([1.0, 3.0, 2.0, 0.0, 0.0])
    monkeypatch.setattr(stage, "image_psnrs", lambda *_: [next(scores)])
    flags = ["--form=tiny", "--seeds=1", f"--data_dir={published}", f"--output={tmp_path / 'out'}"]
    more = ["--sets=nyuv2", "--sigmas=15", "--variants=none", "--score=best"]
    given = fusion_study.COMMAND_LINE.parse(["fusion_study", *flags, *more])
    study = dataclasses.replace(fusion_study.STUDY, tasks=lambda *_: fusion_study.tasks(*_)[1:2])
    study_command.run(study, given.make(fusion_study.StudyOptions))
    steps = json.loads((tmp_path / "out/runs/none_none_15_seed0/best/manifest.json").read_text())
    (row,) = Results(tmp_path / "out").rows
    assert (steps["step"], row["steps"]) == (6, 15)
    model = study.tasks(Options(sets=("nyuv2",), sigmas=("15",)), study.forms["tiny"])[0].build(
        None
    )
    model.load_weights(best_weights(tmp_path / "out/runs/none_none_15_seed0"))
    pairs = ScoredPairs(find_dataset("nyuv2", published), 15.0, 0)
    errors = [np.clip(np.asarray(model(noisy[None]))[0], 0, 1) - clean for _, noisy, clean in pairs]
    expected = np.mean([-10 * np.log10(np.mean(error**2)) for error in errors])
    assert row["psnr"]["nyuv2"] == pytest.approx(expected, abs=1e-3)
    # The folder accepts no runs of which the last weights are scored.
    again = fusion_study.COMMAND_LINE.parse(["fusion_study", *flags, *more[:-1]])
    with pytest.raises(UserError, match="score: 'best' there, None now"):
        study_command.run(study, again.make(fusion_study.StudyOptions))


def test_flags_change_the_form():
    asked = Options(epochs=2, batch_size=8, crops_per_image=1, clip_norm=1.0)
    form = study_command.chosen_form(fusion_study.STUDY, asked)
    assert form.steps_for([(480, 640)] * 30 + [(3000, 4000)] * 2) == 2 * (32 // 8)
    assert form.train_config(8, 0, 15.0, 0.0, False).clip_norm == 1.0
    short = study_command.chosen_form(fusion_study.STUDY, Options(form="short", epochs=3))
    assert (short.steps, short.epochs) == (0, 3)
    with pytest.raises(UserError, match="`epochs` must be absent together with steps"):
        Options(epochs=2, steps=3)


def test_the_readings_of_skdncnn_reach_the_networks():
    options = fusion_study.NetworkOptions("authors", "gradient")
    form = fusion_study.study_of(options).forms["tiny"]
    tasks = fusion_study.tasks(Options(sets=("renoir",), seeds=1), form)
    for task in tasks[1:3]:
        model = task.build(None)
        assert (model.variant, model.product) == ("authors", "gradient")
    form = fusion_study.study_of(fusion_study.NetworkOptions(details="authors")).forms["tiny"]
    tasks = fusion_study.tasks(Options(sets=("renoir",), seeds=1), form)
    for task in tasks[:3]:
        model = task.build(None)
        assert model.details == "authors" and not model.reconstruction.use_bias
    default = fusion_study.study_of(fusion_study.NetworkOptions()).forms["paper"]
    assert "details" not in default.network
    assert (default.network["variant"], default.network["product"]) == ("drawn", "gate")


@pytest.mark.slow
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="studies train on TensorFlow")
def test_figure_1_from_the_published_files(published, tmp_path, capsys):
    """Every bar of the supplement's figure 1 and of the paper's figure 3, resumed once."""
    output = tmp_path / "figure_1"
    flags = ["--form=tiny", "--seeds=1", f"--data_dir={published}", f"--output={output}"]
    given = fusion_study.COMMAND_LINE.parse(["fusion_study", *flags])
    fusion_study.main(given)
    said = capsys.readouterr().out
    assert "33 runs; steps of each: " in said and "hours on a GPU" in said
    rows = [json.loads(line) for line in (output / "results.jsonl").read_text().splitlines()]
    assert len(rows) == 33 and all(np.isfinite(list(row["psnr"].values())).all() for row in rows)
    assert {(row["noise"], *row["psnr"]) for row in rows} == {
        ("15", "nyuv2"),
        ("50", "nyuv2"),
        ("sidd", "sidd"),
    }
    head = (output / "table.md").read_text("utf-8").splitlines()[0]
    assert "nyuv2, σ = 15 | nyuv2, σ = 50 | sidd, real noise" in head
    assert (output / "chart.png").stat().st_size > 20_000
    assert sorted(p.name for p in (output / "prepared").iterdir()) == [
        "nyuv2_fit_3",
        "sidd_train_3",
    ]
    kept = (output / "results.jsonl").read_text()
    (output / "results.jsonl").write_text("".join(kept.splitlines(keepends=True)[:-2]))
    fusion_study.main(given)
    assert "31 of 33 runs are done" in capsys.readouterr().out
    again = [json.loads(line) for line in (output / "results.jsonl").read_text().splitlines()]
    assert [row["psnr"] for row in again] == [row["psnr"] for row in rows]


@pytest.mark.slow
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="studies train on TensorFlow")
def test_the_authors_networks_on_one_panel_of_figure_1(published, tmp_path, capsys):
    flags = ["--form=tiny", "--seeds=1", f"--data_dir={published}", f"--output={tmp_path / 'out'}"]
    more = ["--network=authors", "--sets=sidd", "--variants=none", "--variants=II"]
    fusion_study.main(fusion_study.COMMAND_LINE.parse(["fusion_study", *flags, *more]))
    rows = [json.loads(line) for line in (tmp_path / "out/results.jsonl").read_text().splitlines()]
    assert [row["gradient"] for row in rows] == ["none", "none", "clean", "approximate", "noisy"]
    assert all(np.isfinite(row["psnr"]["sidd"]) for row in rows)


@pytest.mark.slow
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="studies train on TensorFlow")
def test_learned_and_fixed_filters_from_the_published_files(published, tmp_path, capsys):
    flags = ["--form=tiny", "--seeds=1", f"--data_dir={published}", f"--output={tmp_path / 'out'}"]
    variants = ["--variants=Sobel", "--variants=no gradient", "--sets=nyuv2,sidd", "--sigmas=15"]
    gradient_study.main(gradient_study.COMMAND_LINE.parse(["gradient_study", *flags, *variants]))
    table = (tmp_path / "out/table.md").read_text("utf-8")
    assert "| Sobel | learned |" in table and "sidd, real noise" in table
