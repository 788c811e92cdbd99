"""The guide study: what each configuration is, and what is scored."""

import dataclasses

import keras
import numpy as np
import pytest
from study_case import TINY_GRADNET, options, study

from experiments import guide_study, guides, study_command
from experiments.study_command import Options
from experiments.study_runs import Results
from experiments.study_statistics import NAIVE
from gradnet_tf.denoiser import load_denoiser
from gradnet_tf.layers import SobelGradient
from gradnet_tf.utils.errors import UserError

if keras.backend.backend() != "tensorflow":
    pytest.skip("the studies train with KERAS_BACKEND=tensorflow", allow_module_level=True)


def test_all_configurations_of_the_guide_study_can_be_built():
    tasks = guide_study.tasks(Options(sets=("renoir",), seeds=1), TINY_GRADNET)
    assert len(tasks) == 2 + len(guide_study.CONFIGURATIONS)
    built = {t.job.variant: (t, t.build(None)) for t in tasks if t.job.variant != NAIVE}
    task, own = built["GradNet"]
    assert task.naive.gradient == "none" and not own.naive_denoiser.trainable
    assert built["worse ψ"][0].naive.gradient == "worse"
    bodies = {name: model.body.filters for name, (_, model) in built.items()}
    bodies.pop("no guide, wider")
    assert set(bodies.values()) == {16}


def test_psi_is_paid_for_by_no_more_width_than_its_parameters_need():
    form = guide_study.FORMS["short"]
    more = guide_study.larger_body(form)

    def parameters(**change):
        return guides.build_guided(form, change).count_params()

    assert more > 0
    assert parameters(filters=None, more_width=more) >= parameters()
    assert parameters(filters=None, more_width=more - 1) < parameters()


def test_each_guide_is_what_it_is_called():
    clean, noisy = np.random.default_rng(0).random((2, 1, 12, 12, 3), np.float32)
    for variant, expected in (("x̂ as guide", "naive"), ("clean gradient", "clean")):
        change = guide_study.CONFIGURATIONS[
            next(key for key in guide_study.CONFIGURATIONS if key[0] == variant)
        ]
        model = guides.build_guided(TINY_GRADNET, change)
        images = np.concatenate([noisy, clean], -1) if model.input_channels == 6 else noisy
        parts = model(images, return_intermediates=True)
        if expected == "naive":
            np.testing.assert_array_equal(parts["gradient"], parts["naive"])
        else:
            np.testing.assert_array_equal(parts["naive"], clean)
            np.testing.assert_allclose(parts["gradient"], SobelGradient()(clean), atol=1e-5)
    better = guides.build_guided(TINY_GRADNET, {"naive": guide_study.BETTER})
    expected = load_denoiser(guide_study.BETTER, "float32").denoise(noisy)
    parts = better(noisy, return_intermediates=True)
    np.testing.assert_allclose(np.clip(parts["naive"], 0, 1), expected, atol=1e-5)


def test_a_guide_study_scores_regions_and_trains_the_worse_psi_less(scenes, tmp_path):
    asked = options(scenes, tmp_path)
    form = dataclasses.replace(TINY_GRADNET, steps=10)
    keep = [
        (NAIVE, "worse"),
        ("no guide", "none"),
        ("worse ψ", "gradient of x̂"),
        ("clean gradient", "gradient of the clean image"),
    ]
    study_command.run(study(guide_study, form, keep), asked)
    rows = Results(asked.output).rows
    assert [row["steps"] for row in rows] == [1, 10, 10, 10]
    for row in rows:
        whole, *parts = row["psnr"].items()
        assert whole[0] == "renoir" and [name for name, _ in parts] == [
            "renoir flat",
            "renoir middle",
            "renoir textured",
        ]
        scores = [score for _, score in parts]
        assert min(scores) < whole[1] + 1 and max(scores) > whole[1] - 1


def test_single_variants_bring_the_psi_that_they_need():
    tasks = guide_study.tasks(Options(sets=("renoir",), seeds=2), TINY_GRADNET)
    chosen = study_command.chosen_tasks(tasks, ["no guide", "worse ψ"])
    assert [(t.job.seed, t.job.variant, t.job.gradient) for t in chosen] == [
        (seed, variant, gradient)
        for seed in (0, 1)
        for variant, gradient in (
            (NAIVE, "worse"),
            ("no guide", "none"),
            ("worse ψ", "gradient of x̂"),
        )
    ]
    assert study_command.chosen_tasks(tasks, []) == tasks
    with pytest.raises(UserError, match="`variants` must be one of no guide; no guide, λ = 0; "):
        study_command.chosen_tasks(tasks, ["guide"])
