"""A whole study at the smallest size: every configuration, resumed, repeated and reported."""

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from study_case import TINY, TINY_GRADNET, options, study

from experiments import fusion_study, gradient_study, guide_study, study_command
from experiments.study_command import Options
from experiments.study_runs import Form, KeptImages, Results, scaled_to, scored_pairs
from experiments.study_statistics import NAIVE
from gradnet_tf.degradations.sampling import evaluation_noise
from gradnet_tf.utils.errors import Interrupted, UserError
from gradnet_tf.utils.files import write_json

if keras.backend.backend() != "tensorflow":
    pytest.skip("the studies train with KERAS_BACKEND=tensorflow", allow_module_level=True)


def test_a_fusion_study_from_photographs_to_table_and_chart(scenes, tmp_path, capsys):
    asked = options(scenes, tmp_path)
    keep = [(NAIVE, "none"), ("none", "none"), ("IV", "clean"), ("II", "approximate")]
    study_command.run(study(fusion_study, TINY, keep), asked)
    rows = Results(asked.output).rows
    assert [(row["variant"], row["gradient"]) for row in rows] == keep
    for row in rows:
        assert row["steps"] == 2 and row["noise"] == "renoir" and row["params"] > 0
        assert np.isfinite(row["psnr"]["renoir"])
    assert "| II | approximate |" in capsys.readouterr().out
    assert (tmp_path / "study/chart.png").exists()


@pytest.mark.parametrize("joint", [False, True])
def test_every_form_makes_the_configuration_of_a_run(joint):
    for module in (fusion_study, gradient_study, guide_study):
        for form in module.FORMS.values():
            config = form.train_config(3, 1, 25.0, 0.1, joint)
            assert (config.joint, config.steps, config.sigma_max) == (joint, 3, 25.0)


@pytest.mark.slow
def test_a_gradient_study_resumes_where_it_was_cut_off(scenes, tmp_path, capsys):
    asked = options(scenes, tmp_path)
    keep = [(NAIVE, "none"), ("Sobel", "fixed"), ("ψ fine-tuned", "fixed")]
    ours = study(gradient_study, TINY_GRADNET, keep)
    with pytest.raises(Interrupted, match="after 0 of 3 runs"):
        study_command.run(ours, dataclasses.replace(asked, time_budget=1e-9))
    study_command.run(ours, asked)
    path = tmp_path / "study/results.jsonl"
    whole = path.read_text("utf-8")
    # As if it had been killed before its last two results were written, and one run was lost.
    path.write_text("".join(whole.splitlines(keepends=True)[:1]), "utf-8")
    lost = Results.job(json.loads(whole.splitlines()[1]))
    shutil.rmtree(tmp_path / "study" / lost.folder)
    capsys.readouterr()
    study_command.run(ours, asked)
    assert "1 of 3 runs are done" in capsys.readouterr().out

    def scores(text):
        return [json.loads(line)["psnr"] for line in text.splitlines()]

    # Each run follows from its seed alone, whatever ran before it in the process.
    assert scores(path.read_text("utf-8")) == scores(whole)
    study_command.run(ours, asked)
    assert "3 of 3 runs are done" in capsys.readouterr().out


def test_a_run_whose_naive_denoiser_is_gone_is_refused(scenes, tmp_path):
    asked = options(scenes, tmp_path)
    ours = study(gradient_study, TINY_GRADNET, [(NAIVE, "none"), ("Sobel", "fixed")])
    with pytest.raises(Interrupted):
        study_command.run(study(gradient_study, TINY_GRADNET, [(NAIVE, "none")]), asked)
        study_command.run(ours, dataclasses.replace(asked, time_budget=1e-9))
    shutil.rmtree(tmp_path / "study/runs")
    with pytest.raises(UserError, match="weights of its naive denoiser are gone"):
        study_command.run(ours, asked)


def test_all_configurations_of_the_fusion_study_can_be_built():
    tasks = fusion_study.tasks(Options(sets=("renoir",), seeds=1), TINY)
    assert len(tasks) == 11
    for task in tasks[1:]:
        model = task.build(None)
        assert (model.fusion, model.gradient) == (task.job.variant, task.job.gradient)
        assert (task.naive is None) == (task.job.gradient != "approximate")
        assert task.loss_weight == 0.0 and not task.joint
        assert model.naive_denoiser is None or not model.naive_denoiser.trainable


def test_all_configurations_of_the_gradient_study_can_be_built():
    asked = Options(sets=("renoir",), seeds=1)
    tasks = gradient_study.tasks(asked, TINY_GRADNET)
    assert len(tasks) == 1 + len(gradient_study.CONFIGURATIONS)
    built = {(t.job.variant, t.job.gradient): (t, t.build(None)) for t in tasks}
    task, model = built["ψ fine-tuned", "fixed"]
    assert task.joint and model.naive_denoiser.trainable
    assert not built["Sobel", "fixed"][1].naive_denoiser.trainable
    assert built["λ = 0", "fixed"][0].loss_weight == 0.0
    assert built["Sobel", "fixed"][0].loss_weight == 0.1
    reductions = [m.body.reduction for _, m in built.values() if hasattr(m, "body")]
    assert sorted(set(reductions)) == [2, 16]
    assert built["attention after fusion", "fixed"][1].body.attention_position == "after_fusion"
    # Every body has the same width, with a gradient and without.
    assert {m.body.filters for _, m in built.values() if hasattr(m, "body")} == {16}


def test_seeds_come_one_after_the_other_and_psi_before_those_that_need_it():
    asked = Options(sets=("cbsd68", "renoir"), sigmas=("15", "50"), seeds=2)
    for module in (fusion_study, gradient_study, guide_study):
        form = TINY if module is fusion_study else TINY_GRADNET
        tasks = module.tasks(asked, form)
        jobs = [task.job for task in tasks]
        assert [job.seed for job in jobs] == sorted(job.seed for job in jobs)
        assert {job.noise for job in jobs} == {"15", "50", "renoir"}
        assert len({job.folder for job in jobs}) == len(jobs)
        for place, task in enumerate(tasks):
            assert task.naive is None or jobs.index(task.naive) < place


def test_scored_noise_is_that_of_evaluate(scenes):
    from datasets.sets.catalog import find_dataset

    images = find_dataset("folder", scenes / "renoir")
    name, noisy, clean = scored_pairs(images, 25.0, 16)[2]
    noise = evaluation_noise((20, 24, 3), 0, name)[2:18, 4:20]
    assert clean.shape == (16, 16, 3)
    np.testing.assert_allclose(noisy - clean, noise * np.float32(25 / 255), atol=1e-6)
    assert scored_pairs(images, 25.0, 0)[2][1].shape == (20, 24, 3)


def test_scored_clean_images_are_as_fine_as_those_of_evaluate(scenes):
    from datasets.sets.catalog import find_dataset

    images = find_dataset("renoir", scenes, "validation")
    for kept in (images, KeptImages(images)):
        _, noisy, clean = scored_pairs(kept, None, 0)[1]
        np.testing.assert_array_equal(clean, images.clean(1))
        np.testing.assert_array_equal(np.rint(noisy * 255), images.noisy(1))
    # The mean of two shots has half levels, which 8 bits do not hold.
    assert not np.allclose(clean * 255, np.rint(clean * 255), atol=0.1)


def test_images_are_decoded_once(scenes, monkeypatch):
    from datasets.sets.catalog import find_dataset

    images = KeptImages(find_dataset("renoir", scenes, "train"))
    first = images.load(0), images.noisy(0)
    assert images.load(0) is first[0] and images.noisy(0) is first[1]
    assert images.image_sizes() == [(20, 24), (20, 24)]


def test_the_papers_form_counts_epochs_in_whole_batches():
    form = fusion_study.FORMS["paper"]
    # 4 crops of each of 779 images are 64 whole batches of 48.
    assert form.steps_for([(480, 640)] * 779) == 50 * 64
    # A camera's frame has 40.
    assert form.steps_for([(3000, 5328)] * 302) == 50 * (302 * 40 // 48)
    side_by_side = dataclasses.replace(form, crops_per_image=0, batch_size=64)
    # 6 × 4 crops of 80 × 80 in each of 416 images, 64 in a step, 50 epochs.
    assert side_by_side.steps_for([(481, 321)] * 416) == 7800
    config = form.train_config(7800, 0, 15.0, 0.0, False)
    assert (config.learning_rate, config.schedule, config.crop_size) == (1e-3, "step", 80)


def test_images_that_are_skipped_are_not_counted():
    form = Form("tiny", {}, batch_size=4, crop_size=40, steps=0, epochs=1)
    assert form.steps_for([(50, 60)] * 3 + [(39, 500)] * 9) == form.steps_for([(50, 60)] * 3) == 3


def test_a_budget_scales_the_steps_alone():
    scaled = scaled_to(TINY, budget=3600, runs=90, seconds_per_step=0.02)
    assert scaled == dataclasses.replace(TINY, steps=1200)
    with pytest.raises(UserError, match="leaves 10 steps for each of the 90 runs at 20 ms"):
        scaled_to(TINY, budget=30, runs=90, seconds_per_step=0.02)


def test_a_budget_is_measured_once_and_kept_for_the_rest_of_the_study(scenes, tmp_path):
    ours = study(fusion_study, TINY)
    asked = options(scenes, tmp_path, budget=600.0)
    form = study_command.chosen_form(ours, asked)
    assert form.steps > 100 and dataclasses.replace(form, steps=TINY.steps) == TINY
    write_json(tmp_path / "study/study.json", {"form": {"steps": 140}})
    assert study_command.chosen_form(ours, asked).steps == 140
    assert study_command.chosen_form(ours, dataclasses.replace(asked, steps=7)).steps == 7


def test_help_names_the_flags():
    done = subprocess.run(
        [sys.executable, "-m", "experiments.fusion_study", "--help"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    for flag in ("--budget", "--sets", "--prepared_dir", "--network", "--product"):
        assert flag in done.stdout


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"seeds": 0}, "`seeds` must be a whole number of at least 1"),
        ({"form": "long"}, "`form` must be one of paper, short, tiny"),
        ({"sigmas": ("fifty",)}, "`sigmas` must be noise levels"),
        ({"sets": ()}, "`sets` must be"),
        ({"precision": "half"}, "`precision` must be"),
    ],
)
def test_bad_options_are_refused_in_words(fields, words):
    with pytest.raises(UserError, match=words):
        Options(**fields)


def test_a_report_without_results_reports_it(tmp_path):
    with pytest.raises(UserError, match="has no results.jsonl"):
        study_command.run(fusion_study.STUDY, Options(output=str(tmp_path), report=True))
