"""The recipe study: what each variant is, resumed runs, equal time, and the table."""

import dataclasses
import json

import keras
import numpy as np
import pytest
from scipy import ndimage

from benchmarks.results.complexity import macs_per_pixel
from experiments.recipe_report import (
    EQUAL_STEPS,
    EQUAL_TIME,
    recipe_csv,
    write_recipe_report,
)
from experiments.recipe_runs import (
    BranchedConv,
    CheckedImages,
    RecipeResults,
    StepTimes,
    build_network,
    scored_at,
)
from experiments.recipe_study import RecipeOptions, chosen_form, run_recipe_study
from experiments.recipe_variants import (
    BASELINE,
    FORMS,
    VARIANTS,
    RecipeForm,
    chosen_variants,
)
from gradnet_tf.images.image_files import write_image
from gradnet_tf.utils.errors import Interrupted, UserError
from gradnet_tf.utils.files import write_json

if keras.backend.backend() != "tensorflow":
    pytest.skip("the studies train with KERAS_BACKEND=tensorflow", allow_module_level=True)

TINY = RecipeForm(
    "short",
    "dncnn_tiny",
    steps=4,
    train={
        "sigma_min": 0.0,
        "sigma_max": 55.0,
        "optimizer": "muon",
        "learning_rate": 2e-3,
        "schedule": "cosine",
        "warmup_steps": 1,
        "batch_size": 2,
        "crop_size": 12,
    },
    test_sets=(),
    sigmas=(15.0, 50.0),
    test_crop=16,
)
COLUMNS = ["cbsd68 σ = 15", "free_photos σ = 15"]


def variant(name):
    return next(variant for variant in VARIANTS if variant.name == name)


class Sources:
    """A folder of small images in place of all sets, and a small teacher."""

    teacher = "gradnet_tiny_color_blind"

    def __init__(self, folder):
        from datasets.sets.catalog import find_dataset

        self.images = find_dataset("folder", folder)
        self.tests = scored_at([self.images], TINY)

    def training(self, variant):
        return CheckedImages(self.images)


@pytest.fixture
def sources(tmp_path):
    ramp = np.broadcast_to(np.linspace(0, 255, 32)[:, None], (24, 32, 3))
    for number in range(3):  # smooth, so that a teacher surpasses the noisy picture
        write_image(tmp_path / "photos" / f"{number}.png", np.uint8(np.roll(ramp, 5 * number, 1)))
    return Sources(tmp_path / "photos")


def test_every_variant_is_a_valid_configuration():
    form = FORMS["short"]
    configs = {one.name: form.train_config(one, form.steps, 1, "a.mat") for one in VARIANTS}
    assert len(configs) == len(VARIANTS) and BASELINE in configs
    base = configs[BASELINE]
    assert (base.optimizer, base.learning_rate, base.batch_size) == ("muon", 2e-3, 8)
    assert (base.sigma_min, base.sigma_max, base.joint, base.seed) == (0, 55, True, 1)
    assert configs["adam 1e-3"].optimizer == "adam"
    pixels = base.batch_size * base.crop_size**2
    for name in ("22 crops of 48×48", "4 crops of 112×112"):
        own = configs[name].batch_size * configs[name].crop_size ** 2
        assert own == pytest.approx(pixels, rel=0.03)
    # Rates and training sets do not change what a step costs.
    assert not any(one.cost for one in VARIANTS if one.group == "data")
    assert variant("adam 2e-3").cost == variant("adam 1e-3").cost == "optimizer=adam"


def test_steps_and_precision_change_every_run_of_a_form():
    form = chosen_form(RecipeOptions(steps=7, precision="float32"))
    given = form.train_config(variant("batch 4"), form.steps, seed=1)
    assert (given.steps, given.precision, given.batch_size) == (7, "float32", 4)
    unchanged = chosen_form(RecipeOptions()).train_config(variant("batch 4"), 1, seed=1)
    assert unchanged.precision == "mixed_bfloat16" and FORMS["short"].steps == 1200


def test_variants_are_chosen_by_name_and_group_with_the_baseline():
    assert [v.name for v in chosen_variants(["no biases"], False)] == [BASELINE, "no biases"]
    assert {v.group for v in chosen_variants(["data"], False)} == {"optimizer", "data"}
    assert chosen_variants([], True) == list(VARIANTS)
    assert {v.teacher for v in chosen_variants([], False)} == {False}
    with pytest.raises(UserError, match="`variants` must be one of optimizer; batch; "):
        chosen_variants(["sgd"], False)
    with pytest.raises(UserError, match="`variants` must be given together with --peers"):
        chosen_variants(["DnCNN as teacher"], False)


def test_a_network_without_biases_keeps_them_at_zero():
    model = build_network(FORMS["short"], variant("no biases"))
    names = [variable.name for variable in model.trainable_variables]
    assert names and "bias" not in names
    biases = [variable for variable in model.variables if variable.name == "bias"]
    assert biases and not any(np.any(variable.numpy()) for variable in biases)


def test_branches_fold_into_the_kernels_of_the_plain_network(tmp_path):
    """The sum of separate convolutions is what the one kernel computes."""
    form = FORMS["short"]
    form = dataclasses.replace(form, train={**form.train, "precision": "float32"})
    plain, branched = (
        build_network(form, variant(name)) for name in (BASELINE, "parallel branches")
    )
    matrices = [each for each in branched.trainable_variables if each.name == "matrices"]
    layers = [each for each in branched._flatten_layers() if isinstance(each, BranchedConv)]
    # Two in each of two units, two fusions, and the two inner ones of ψ.
    assert len(matrices) == len(layers) == 8
    draw = np.random.default_rng(0)
    for each in matrices:
        each.assign(draw.normal(0, 0.02, each.shape))
    for ours, theirs in zip(plain._flatten_layers(), branched._flatten_layers(), strict=True):
        if isinstance(theirs, keras.layers.Conv2D):
            ours.set_weights([np.asarray(theirs.kernel), np.asarray(theirs.bias)])
        elif isinstance(theirs, keras.layers.Dense):
            ours.set_weights(theirs.get_weights())
    image = draw.random((1, 20, 24, 3), np.float32)
    expected = np.asarray(branched(image))
    np.testing.assert_allclose(np.asarray(plain(image)), expected, atol=1e-5)
    branched.save_weights(tmp_path / "branched.weights.h5")
    kept = [each.numpy() for each in branched.variables]
    for each in branched.variables:
        each.assign(keras.ops.zeros_like(each))
    branched.load_weights(tmp_path / "branched.weights.h5")
    for each, before in zip(branched.variables, kept, strict=True):
        np.testing.assert_array_equal(each.numpy(), before, err_msg=each.path)

    layer = layers[0]
    layer.matrices.assign(draw.normal(0, 0.1, layer.matrices.shape))
    features = draw.random((1, 9, 8, layer.kernel.shape[2]), np.float32)
    total = scipy_convolved(features, np.asarray(layer._kernel))
    filters = ("delta", "sobel x", "sobel y", "laplacian")
    for matrix, name in zip(layer.matrices.numpy()[:, 0], filters, strict=True):
        mixed = features @ matrix
        for channel in range(mixed.shape[-1]):
            total[..., channel] += edge_filtered(mixed[0, ..., channel], name)
    found = keras.ops.conv(features, layer.kernel, padding="same")
    np.testing.assert_allclose(np.asarray(found)[0], total, atol=1e-4)


def scipy_convolved(features, kernel):
    return np.stack(
        [
            sum(
                ndimage.correlate(features[0, ..., i], kernel[..., i, o], mode="constant")
                for i in range(kernel.shape[2])
            )
            for o in range(kernel.shape[3])
        ],
        axis=-1,
    )


def edge_filtered(picture, name):
    """SciPy's own filters; its Sobel correlates with the difference from left to right."""
    if name == "delta":
        return picture
    if name == "laplacian":
        return ndimage.laplace(picture, mode="constant")
    return ndimage.sobel(picture, axis={"sobel x": 1, "sobel y": 0}[name], mode="constant")


def test_networks_of_other_shapes_cost_what_the_baseline_does():
    form = FORMS["short"]
    baseline = macs_per_pixel(build_network(form, variant(BASELINE)))
    assert baseline == (9 * (12 * 20 + 32 * 12) + 2 * 36 * 32**2 + 9 * (24 * 16 + 2 * 16**2)) / 4
    shapes = [each for each in VARIANTS if each.group == "shape"]
    assert len({each.cost for each in shapes}) == len(shapes) >= 6
    for each in shapes:
        network = build_network(form, each)
        assert macs_per_pixel(network) == pytest.approx(baseline, rel=0.05), each.name
    small = build_network(form, variant("ψ with 3% of it"))
    assert macs_per_pixel(small.naive_denoiser) == pytest.approx(0.026 * baseline, rel=0.03)
    assert macs_per_pixel(
        build_network(form, variant("ψ with 24% of it")).naive_denoiser
    ) == pytest.approx(0.24 * baseline, rel=0.03)


@pytest.mark.slow
def test_a_study_resumes_and_gives_costlier_steps_fewer(sources, tmp_path, capsys):
    names = ("DnCNN as teacher", "EMA 0.999, constant rate")
    asked = RecipeOptions(output=str(tmp_path), seeds=1, variants=names, peers="unused")
    # A step of the teacher's takes twice the time, one with averages the same.
    times = {"teacher_crops=1000, teacher": {"variant": 2.0, "baseline": 1.0}}
    times["ema=0.999"] = {"variant": 1.01, "baseline": 1.0}
    write_json(tmp_path / "step_times.json", times)
    with pytest.raises(Interrupted, match="after 0 of 4 runs"):
        run_recipe_study(dataclasses.replace(asked, time_budget=1e-9), TINY, sources)
    run_recipe_study(asked, TINY, sources)
    path = tmp_path / "results.jsonl"
    rows = RecipeResults(tmp_path).rows
    assert [(row["variant"], row["compared"], row["steps"]) for row in rows] == [
        (BASELINE, EQUAL_STEPS, 4),
        ("EMA 0.999, constant rate", EQUAL_STEPS, 4),
        ("DnCNN as teacher", EQUAL_STEPS, 4),
        ("DnCNN as teacher", EQUAL_TIME, 2),
    ]
    assert list(rows[0]["psnr"]) == ["folder σ = 15", "folder σ = 50"]
    assert len({json.dumps(row["psnr"]) for row in rows}) == 4
    # A run that was lost comes out the same, whatever ran before it.
    whole = path.read_text("utf-8")
    path.write_text("".join(whole.splitlines(keepends=True)[:-1]), "utf-8")
    capsys.readouterr()
    run_recipe_study(asked, TINY, sources)
    assert "3 of 4 runs are done" in capsys.readouterr().out
    assert RecipeResults(tmp_path).rows[-1]["psnr"] == rows[-1]["psnr"]
    assert (tmp_path / "chart.png").exists() and (tmp_path / "table.csv").exists()


def test_step_times_are_measured_once(sources, tmp_path, monkeypatch):
    larger = variant("batch 16")
    times = StepTimes(tmp_path, TINY, sources)
    assert times.steps_at_equal_time(variant("muon 4e-3"), variant(BASELINE)) is None
    steps = times.steps_at_equal_time(larger, variant(BASELINE))
    assert steps is None or steps >= 1
    assert set(times.seconds["batch_size=16"]) == {"variant", "baseline"}
    monkeypatch.setattr(StepTimes, "_measure", None)
    again = StepTimes(tmp_path, TINY, sources)
    assert again.steps_at_equal_time(larger, variant(BASELINE)) == steps


def row(name, compared, seed, *psnr):
    scores = dict(zip(COLUMNS, psnr, strict=True))
    facts = {"steps": 9, "seconds": 2.0, "train_seconds": 1.0, "params": 5}
    return {"seed": seed, "variant": name, "compared": compared, "psnr": scores, **facts}


def test_the_table_has_spread_wins_and_equal_time(tmp_path):
    rows = []
    for seed in range(3):
        rows.append(row(BASELINE, EQUAL_STEPS, seed, 30.0 + 0.1 * seed, 32.0))
        rows.append(row("adam 2e-3", EQUAL_STEPS, seed, 29.0 + 0.4 * seed, 31.0))
        rows.append(row("adam 2e-3", EQUAL_TIME, seed, 31.0 + 0.1 * seed, 33.0))
        rows.append(row("CC-BY photos", EQUAL_STEPS, seed, 30.2 + 0.1 * seed, 32.2))
    times = {"optimizer=adam": {"variant": 0.8, "baseline": 1.0}}
    table = write_recipe_report(rows, times, tmp_path).splitlines()
    cells = {line.split(" | ")[0][2:]: line.strip("| ").split(" | ") for line in table[2:5]}
    head = table[0].strip("| ").split(" | ")
    assert head[2:] == [
        "CBSD68, σ = 15",
        "photos, σ = 15",
        "mean",
        "difference",
        "PSNR at equal time",
        "difference",
    ]
    adam = cells["adam 2e-3"]
    assert adam[1:4] == ["0.80", "29.40 ± 0.40", "31.00 ± 0.00"]
    assert adam[4:] == ["30.20 ± 0.20", "−0.85 (0 of 3)", "32.05 ± 0.05", "+1.00 (3 of 3)"]
    # Without its run at equal time nothing is said about it.
    part = write_recipe_report([r for r in rows if r["compared"] == EQUAL_STEPS], times, tmp_path)
    unknown = next(line for line in part.splitlines() if line.startswith("| adam 2e-3"))
    assert unknown.endswith("−0.85 (0 of 3) | – | – |")
    # A step that costs the same needs no run of its own.
    assert cells["CC-BY photos"][-2:] == ["31.25 ± 0.05", "+0.20 (3 of 3)"]
    assert table[-1].endswith("Steps: 9. Seeds: 3.")
    assert len(recipe_csv(rows).splitlines()) == 1 + 4 * 3
    with pytest.raises(UserError, match="has no run of the recipe study's baseline"):
        write_recipe_report(rows[1:2], times, tmp_path)


def test_a_report_without_results_and_bad_options_say_so(tmp_path):
    with pytest.raises(UserError, match="has no results.jsonl"):
        run_recipe_study(RecipeOptions(output=str(tmp_path), report=True), TINY)
    with pytest.raises(UserError, match="`form` must be one of short"):
        RecipeOptions(form="long")
