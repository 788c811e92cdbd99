"""The studies at the supplement's size: depth, normalisation and schedule as it states them."""

import pytest

from experiments import fusion_study, gradient_study
from experiments.study_command import Options


@pytest.fixture(scope="module")
def tasks():
    form = fusion_study.FORMS["paper"]
    return fusion_study.tasks(Options(sets=("renoir",), seeds=1), form)


def test_the_supplements_numbers():
    for study in (fusion_study, gradient_study):
        form = study.FORMS["paper"]
        assert (form.batch_size, form.crop_size, form.epochs, form.steps) == (48, 80, 50, 0)
        assert (form.clip_norm, form.warmup_steps, form.crops_per_image) == (0, 0, 4)
        assert (form.train_set, form.sets, form.sigmas) == (
            "nyuv2",
            ("nyuv2", "sidd"),
            ("15", "50"),
        )
        assert (form.learning_rate, form.schedule, form.precision) == (1e-3, "step", "float32")
    assert dict(fusion_study.FORMS["paper"].network) == {"num_layers": 20, "filters": 64}
    network = dict(gradient_study.FORMS["paper"].network)
    assert (network["naive_layers"], network["naive_filters"]) == (20, 64)
    assert (network["num_modules"], network["num_units"], network["scale"]) == (4, 4, 1)


def _count_of_norms(model):
    return sum(variable.name == "moving_mean" for variable in model.variables)


def test_psi_of_the_fusion_study_is_dncnn_of_20_layers_with_batch_normalisation(tasks):
    naive = tasks[0].build(None)
    assert (naive.num_layers, naive.filters, naive.batch_norm) == (20, 64, True)
    # All layers but the first and the last normalise.
    assert _count_of_norms(naive) == 18
    # 3·9·64 + 64, 18 × (64·9·64 + 2·64), 64·9·3 + 3 that are trained.
    assert naive.count_params() - 18 * 2 * 64 == 1792 + 18 * 36992 + 1731


def test_the_networks_of_the_fusion_study_have_20_layers_and_normalize(tasks):
    for task in tasks[1:]:
        if (task.job.variant, task.job.gradient) not in (("none", "none"), ("II", "approximate")):
            continue
        model = task.build(None)
        assert (model.num_layers, model.filters) == (20, 64)
        if model.naive_denoiser is None:
            assert _count_of_norms(model) == 18
        else:
            assert _count_of_norms(model) == 36
            assert model.naive_denoiser.batch_norm and model.naive_denoiser.num_layers == 20
