"""evaluate.py as a person runs it: outputs, messages, exit codes, and that every flag counts."""

import json

import cv2
import numpy as np
import pytest
from evaluation_case import Fake, blur, photographs
from script_case import exit_code, loaded_script
from tiny_run import make_run

from gradnet_tf.degradations import add_gaussian_noise
from gradnet_tf.degradations.sampling import evaluation_noise
from gradnet_tf.utils.errors import UserError


@pytest.fixture
def models(monkeypatch):
    """Replaces the loading of models: names to denoisers; remembers what was asked for."""
    known = {"good": Fake(blur, name="good"), "poor": Fake(name="poor")}
    asked = []

    def load(spec, precision, runtime, trust_model):
        asked.append((spec, precision, runtime, trust_model))
        if spec not in known:
            raise UserError(f"--model={spec}: no such file, folder or name.")
        return known[spec]

    monkeypatch.setattr("gradnet_tf.denoiser.load_denoiser", load)
    known["asked"] = asked
    return known


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, image in photographs(3).items():
        cv2.imwrite(str(folder / name), image[..., ::-1])
    return folder


@pytest.fixture
def run(capsys, tmp_path):
    """Runs evaluate.py in this process: returns exit code, standard output and error."""

    def call(*arguments):
        code = exit_code(loaded_script("evaluate"), *arguments)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def metrics(folder):
    return json.loads((folder / "metrics.json").read_text("utf-8"))


def test_one_model_prints_the_table_and_writes_the_folder(run, models, photos, tmp_path):
    output = tmp_path / "out"
    code, shown, error = run(
        "--model=good", "--dataset=folder", f"--data_dir={photos}", f"--output={output}"
    )
    assert code == 0, error
    assert "good on folder" in shown
    assert f"The report is {output}/report.html" in shown
    assert "image 3/3 | c.png" in error
    result = metrics(output)
    assert (result["model"], result["sigma"], result["seed"]) == ("good", 25.0, 0)
    assert result["versions"]["numpy"] == np.__version__
    assert result["command"][0] == "python"
    assert (output / "report.html").is_file() and (output / "metrics.csv").is_file()


def test_the_evaluation_of_another_model_is_not_replaced_without_a_word(
    run, models, photos, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)  # Without --output, all go to out/evaluation.
    common = ("--dataset=folder", f"--data_dir={photos}")
    notes = []
    for spec in ("good", "good", "poor", "poor,good", "good,poor", "good"):
        code, _, error = run(f"--model={spec}", *common)
        assert code == 0, error
        notes.append([line for line in error.splitlines() if "has the evaluation of" in line])
    (after_good,), (after_poor,), (after_both,) = notes[2], notes[3], notes[5]
    assert notes[0] == notes[1] == notes[4] == []
    end = "on folder, which is replaced; --output=DIR keeps both"
    assert after_good == f"note: out/evaluation has the evaluation of good {end}"
    assert after_poor == f"note: out/evaluation has the evaluation of poor {end}"
    assert after_both == f"note: out/evaluation has the evaluation of good, poor {end}"


def test_several_models_are_ranked(run, models, photos, tmp_path):
    output = tmp_path / "out"
    code, shown, error = run(
        "--model=poor,good", "--dataset=folder", f"--data_dir={photos}", f"--output={output}"
    )
    assert code == 0, error
    ranking = json.loads((output / "ranking.json").read_text("utf-8"))["ranking"]
    assert [entry["folder"] for entry in ranking] == ["good", "poor"]
    assert metrics(output / "poor")["mean"]["psnr"] == ranking[1]["psnr"]
    assert "rank  model" in shown
    assert (output / "report.html").is_file()


def test_every_flag_changes_the_outcome(run, models, photos, tmp_path):
    def mean(*flags):
        models["poor"].given.clear()
        output = tmp_path / "out"
        common = ("--model=poor", "--dataset=folder", f"--data_dir={photos}", f"--output={output}")
        code, _, error = run(*common, *flags)
        assert code == 0, error
        return metrics(output)

    plain = mean()
    assert mean("--sigma=10")["mean"]["psnr"] > plain["mean"]["psnr"] + 5
    assert mean("--sigma=0")["mean"]["psnr"] == 100.0
    assert mean("--seed=1")["mean"]["psnr"] != plain["mean"]["psnr"]
    fewer = mean("--max_images=2")
    assert [row["name"] for row in fewer["images"]] == ["a.png", "b.png"]
    assert fewer["available_images"] == 3
    clipped = mean("--clip_noisy", "--sigma=80")
    assert clipped["clip_noisy"] is True
    assert clipped["mean"]["psnr_noisy"] > mean("--sigma=80")["mean"]["psnr_noisy"] + 0.5
    assert mean("--self_ensemble")["self_ensemble"] is True
    assert len(models["poor"].given) == 3 * 8
    assert mean("--precision=mixed_bfloat16")["precision"] == "mixed_bfloat16"
    assert models["asked"][-1] == ("poor", "mixed_bfloat16", "auto", False)
    mean("--runtime=keras")
    # As Denoiser and `gradnet denoise`.
    assert models["asked"][-1] == ("poor", "auto", "keras", False)
    mean("--trust_model")
    assert models["asked"][-1] == ("poor", "auto", "auto", True)
    same = mean("--degradation=gaussian(25)")
    assert same["mean"]["psnr"] == pytest.approx(plain["mean"]["psnr"], abs=1e-4)
    assert (same["sigma"], same["degradation"]) == (25, "gaussian(25)")
    other = mean("--degradation=gaussian(40) + jpeg(60)")
    assert other["mean"]["psnr_noisy"] < plain["mean"]["psnr_noisy"] - 1
    assert (other["sigma"], other["degradation"]) == (None, "gaussian(40)+jpeg(60)")
    assert plain["degradation"] is None
    assert mean() | {"seconds": 0, "seconds_per_image": 0, "images": 0} == plain | {
        "seconds": 0,
        "seconds_per_image": 0,
        "images": 0,
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--sigma=-3"], "`sigma` must be in [0, 255]. Received: sigma=-3"),
        (["--sigma=300"], "`sigma` must be in [0, 255]. Received: sigma=300"),
        (["--max_images=0"], "`max_images` must be at least 1. Received: max_images=0"),
        (["--precision=half"], "`precision` must be one of auto, float32"),
        (["--dataset=nonesuch"], "nonesuch"),
        (["--dataset=cbsd68", "--data_dir=no/such/folder"], "no/such/folder"),
        (["--split=nonesuch"], "nonesuch"),
        (["--model=good,good"], "`model` must be one or more different models"),
        (["--model="], "`model` must be one or more different models"),
        (["--degradation=film"], "unknown stage 'film'"),
        (["--degradation=camera", "--sigma=25"], "both determine the noise"),
        (["--tile=8"], "`tile` must be auto, whole or a side of at least 16 pixels"),
    ],
)
def test_bad_usage_is_exit_code_2_before_any_model_loads(run, models, tmp_path, arguments, words):
    output = tmp_path / "out"
    code, shown, error = run(f"--output={output}", *arguments)
    assert (code, shown) == (2, "")
    assert error.startswith("error: ") and words in error
    assert len(error.splitlines()) <= 3
    assert models["asked"] == []
    assert not output.exists()


@pytest.mark.parametrize("name", ["renoir", "rni15"])
def test_a_degradation_of_real_noise_is_refused_before_any_model_loads(
    run, models, make_images, tmp_path, name
):
    make_images("renoir", [f"batch31_{kind}.png" for kind in ("noisy", "reference", "clean")])
    make_images("rni15", ["dog.png"])
    where = f"--output={tmp_path / 'out'}", f"--data_dir={tmp_path}"
    code, shown, error = run(*where, f"--dataset={name}", "--degradation=camera")
    assert (code, shown, models["asked"]) == (2, "", [])
    assert f"error: dataset {name} has real noise, so --degradation does not apply" in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [("b.png", b"only text", "b.png"), ("b.png", b"", "b.png")],
)
def test_a_bad_file_is_named_before_any_model_loads(
    run, models, photos, tmp_path, name, data, words
):
    (photos / name).write_bytes(data)
    output = tmp_path / "out"
    code, _, error = run("--dataset=folder", f"--data_dir={photos}", f"--output={output}")
    assert code == 2
    assert words in error
    assert models["asked"] == []
    assert not output.exists()


def test_an_empty_folder_is_refused(run, models, tmp_path):
    (tmp_path / "empty").mkdir()
    code, _, error = run("--dataset=folder", f"--data_dir={tmp_path / 'empty'}")
    assert code == 2
    assert "empty" in error
    assert models["asked"] == []


def test_a_wrong_model_stops_before_the_first_is_scored(run, models, photos, tmp_path):
    output = tmp_path / "out"
    code, shown, error = run(
        "--model=good,nonesuch", "--dataset=folder", f"--data_dir={photos}", f"--output={output}"
    )
    assert (code, shown) == (2, "")
    assert "--model=nonesuch" in error
    assert models["good"].given == []
    assert not output.exists()


def test_nan_output_is_reported_and_is_exit_code_3(run, models, photos, tmp_path):
    models["bad"] = Fake(lambda image: image * np.nan, name="bad")
    output = tmp_path / "out"
    common = ("--dataset=folder", f"--data_dir={photos}", f"--output={output}")
    code, _, error = run("--model=bad,good", *common)
    assert code == 3
    assert error.splitlines()[-1] == "error: NaN output of bad"
    assert metrics(output / "bad")["mean"]["psnr"] is None
    assert metrics(output / "good")["mean"]["psnr"] is not None
    ranking = json.loads((output / "ranking.json").read_text("utf-8"))["ranking"]
    assert [entry["folder"] for entry in ranking] == ["good", "bad"]


def test_the_embedded_photographs_are_the_default(run, models, tmp_path):
    output = tmp_path / "out"
    code, _, error = run("--model=poor", "--max_images=1", f"--output={output}")
    assert code == 0, error
    result = metrics(output)
    assert result["dataset"] == "sample"
    assert result["mean"]["psnr_noisy"] == pytest.approx(20.17, abs=0.05)


def test_a_real_run_is_scored_with_its_naive_estimate(run, photos, tmp_path):
    folder, model = make_run(tmp_path / "run")
    output = tmp_path / "out"
    common = ("--dataset=folder", f"--data_dir={photos}", f"--output={output}")
    code, _, error = run(f"--model={folder}", "--max_images=1", *common)
    assert code == 0, error
    result = metrics(output)
    assert (result["source"]["kind"], result["parameters"]) == ("run", model.count_params())
    (row,) = result["images"]
    assert row["psnr_naive"] is not None
    assert (output / "images" / "a_naive.png").is_file()
    # The written image is what the Keras model makes of the same noise.
    clean = photographs(3)["a.png"].astype(np.float32) / np.float32(255)
    noisy = add_gaussian_noise(clean, evaluation_noise(clean.shape, 0, "a.png"), 25.0)
    denoised = np.clip(np.asarray(model(noisy[None].astype(np.float32)))[0], 0, 1)
    assert row["psnr"] == pytest.approx(-10 * np.log10(np.mean((denoised - clean) ** 2)), abs=1e-3)


@pytest.mark.parametrize(
    ("sigma", "noted"),
    [(25, None), (50, "gradnet_small_color_s25 was trained for σ = 25; it is scored at σ = 50")],
)
def test_weights_of_another_noise_level_are_noted(run, photos, tmp_path, sigma, noted):
    output = tmp_path / "out"
    common = ("--dataset=folder", f"--data_dir={photos}", f"--output={output}", "--max_images=1")
    code, shown, error = run("--model=gradnet_small_color_s25", f"--sigma={sigma}", *common)
    assert code == 0, error
    report = (output / "report.html").read_text("utf-8")
    if noted is None:
        assert "was trained for" not in error + shown + report
    else:
        assert error.splitlines()[0] == f"note: {noted}"
        assert shown.count(noted) == 1 and noted in report


def test_real_noise_has_no_level_to_note(run, models, photos, tmp_path, monkeypatch):
    models["poor"].source["trained_sigma"] = [25.0, 25.0]
    from datasets.sets.image_set import ImageSet

    monkeypatch.setattr(ImageSet, "noisy", lambda self, index: self.load(index))
    common = ("--dataset=folder", f"--data_dir={photos}", f"--output={tmp_path / 'out'}")
    code, shown, error = run("--model=poor", "--sigma=50", *common)
    assert code == 0 and "real noise" in shown
    assert "was trained for" not in error + shown


def test_help_lists_the_flags(run):
    code, shown, _ = run("--help")
    assert code == 0
    assert "--sigma" in shown and "OUTPUT gets metrics.json" in shown
