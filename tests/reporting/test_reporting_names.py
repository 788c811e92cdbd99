"""Names of what an evaluation writes, and that a new one takes an earlier one's place."""

import json

import pytest
from evaluation_case import Fake, Images, blur, photographs

from gradnet_tf.evaluation.evaluate_set import EvaluateConfig
from gradnet_tf.images.image_files import write_image
from gradnet_tf.reporting.page import MADE_BY
from gradnet_tf.reporting.result_folder import evaluate_into
from gradnet_tf.reporting.result_names import file_stems, model_folders
from gradnet_tf.utils.errors import UserError


def test_file_stems_stay_apart():
    names = ["a.png", "b.png", "b.jpg", "sub/a.png"]
    assert file_stems(names) == ["a", "b.png", "b.jpg", "sub_a"]


def test_folders_of_models_are_what_was_typed_or_the_name_of_the_file(tmp_path):
    first = tmp_path / "x" / "run"
    first.mkdir(parents=True)
    specs = ["gradnet_tiny", "default", str(first)]
    names = ["gradnet_tiny_color_blind", "gradnet_small_color_blind", "run"]
    assert model_folders(specs, names) == ["gradnet_tiny", "gradnet_small_color_blind", "run"]


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["x/run", "y/run"], ["x_run", "y_run"]),
        (["x/a/run", "y/a/run"], ["x_run", "y_run"]),
        (["x/1/run", "x/2/run", "y/1/run"], ["x_1_run", "x_2_run", "y_1_run"]),
        (["x/run", "x/other/../run"], ["run", "run-2"]),
        (["x/m.keras", "x/m.tflite"], ["m.keras", "m.tflite"]),
        (["x/m.keras", "y/m.keras"], ["x_m", "y_m"]),
    ],
)
def test_paths_of_one_name_are_distinguished_by_where_they_differ(tmp_path, paths, expected):
    for path in paths:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        if "." in path.rpartition("/")[2]:
            (tmp_path / path).touch()
        else:
            (tmp_path / path).mkdir(exist_ok=True)
        (tmp_path / "x/other").mkdir(exist_ok=True)
    names = [path.rpartition("/")[2].split(".")[0] for path in paths]
    assert model_folders([str(tmp_path / path) for path in paths], names) == expected


def test_no_model_has_the_name_of_another_panel_or_of_the_figures():
    names = ["noisy", "naive", "clean", "gallery"]
    assert model_folders([f"x/{name}" for name in names], names) == [f"{n}-2" for n in names]


def test_a_path_called_as_a_name_gets_its_folder(tmp_path, monkeypatch):
    (tmp_path / "runs/tiny").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    folders = model_folders(["tiny", "runs/tiny"], ["tiny_color_blind", "tiny"])
    assert folders == ["tiny", "runs_tiny"]


def listing(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix() for path in files}


def write(output, *models, images=2):
    """Evaluates blurs under these names into `output`."""
    denoisers = {name: Fake(blur, name=name) for name in models}
    evaluate_into(output, denoisers, Images(photographs(images, 14, 16)), EvaluateConfig())


KINDS = {
    "one": lambda output: write(output, "m"),
    "one, more images": lambda output: write(output, "m", images=4),
    "two": lambda output: write(output, "a", "b"),
    "two others": lambda output: write(output, "b", "c", images=3),
}


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ("one", "two"),
        ("two", "one"),
        ("one, more images", "one"),
        ("two", "two others"),
        ("two others", "two"),
    ],
)
def test_a_new_evaluation_takes_the_place_of_an_earlier_one(tmp_path, first, then):
    KINDS[first](tmp_path / "out")
    mine = ["notes.txt", "images/mine.png", "gallery/mine.png", "a/notes.txt", "d/metrics.json"]
    for name in mine:
        (tmp_path / "out" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "out" / name).write_text("mine")
    KINDS[then](tmp_path / "out")
    KINDS[then](tmp_path / "fresh")
    assert listing(tmp_path / "out") == listing(tmp_path / "fresh") | set(mine)


def test_no_empty_folder_is_left(tmp_path):
    KINDS["two"](tmp_path)
    KINDS["one"](tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["images"]


def test_an_evaluation_that_fails_leaves_the_earlier_one(tmp_path):
    KINDS["two"](tmp_path)
    before = listing(tmp_path)
    broken = Fake(lambda image: image / None)
    with pytest.raises(TypeError):
        evaluate_into(tmp_path, {"m": broken}, Images(photographs(1)), EvaluateConfig())
    assert listing(tmp_path) == before


MODELS = {"ranking": [{"folder": "../beside"}, {"folder": ".."}, {"folder": 3}, "x"]}
OURS = {"dataset": "made", "sigma": 25.0, "seed": 0, **MODELS}


@pytest.mark.parametrize("ranking", [OURS, MODELS, [], 1])
def test_a_ranking_of_something_else_leads_nowhere(tmp_path, ranking):
    write(tmp_path / "beside", "m")
    before = listing(tmp_path / "beside")
    output = tmp_path / "out"
    output.mkdir()
    (output / "ranking.json").write_text(json.dumps(ranking))
    KINDS["one"](output)
    assert listing(tmp_path / "beside") == before
    # Only a list of models with the facts of an evaluation makes the file one of ours.
    assert (output / "ranking.json").exists() == (ranking is not OURS)


def contents(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("report.html", "<p>my report of the year</p>"),
        ("metrics.json", '{"images": [{"name": "a.png"}], "mine": 1}'),
        ("metrics.csv", "day,steps"),
        ("images/a_denoised.png", "my picture"),
        ("images/b_noisy.png", "my picture"),
    ],
)
@pytest.mark.parametrize("earlier", [True, False])
def test_somebodys_file_is_not_overwritten(tmp_path, name, text, earlier):
    """Neither in a folder of theirs, nor where they replaced one of an evaluation."""
    output = tmp_path / "out"
    if earlier and name.startswith("images"):
        write(output, "m", images=1)
        name = name.replace("a_", "b_")  # of the file that is no result yet
    elif earlier:
        write(output, "m")
    (output / name).parent.mkdir(parents=True, exist_ok=True)
    (output / name).write_text(text)
    before, ran = contents(output), []
    denoiser = Fake(lambda image: ran.append(1) or image, name="m")
    with pytest.raises(UserError) as refused:
        evaluate_into(output, {"m": denoiser}, Images(photographs(2)), EvaluateConfig())
    assert "move it away" in str(refused.value) and str(output) in str(refused.value)
    assert contents(output) == before and not ran


class Files(Images):
    """Images that lie in files, as those of a data set do."""

    def __init__(self, folder, images):
        super().__init__(images)
        self.paths = [folder / name for name in images]
        for path, image in zip(self.paths, images.values(), strict=True):
            write_image(path, image)


def test_inputs_are_never_overwritten_nor_removed(tmp_path):
    """Not even where an earlier evaluation's metrics.json lists them as its results."""
    write(tmp_path, "m")
    pictures = {
        f"{name}_denoised.png": image
        for name, image in zip("ab", photographs(2).values(), strict=True)
    }
    inputs = Files(tmp_path / "images", pictures)
    before = contents(tmp_path)
    for models in (["m"], ["m", "n"]):
        denoisers = {name: Fake(blur, name=name) for name in models}
        evaluate_into(tmp_path, denoisers, inputs, EvaluateConfig())
        after = contents(tmp_path)
        for path in inputs.paths:
            name = path.relative_to(tmp_path).as_posix()
            assert after[name] == before[name]
    again = Files(tmp_path / "m/images", {"x.png": photographs(1)["a.png"]})
    again.paths = [tmp_path / "m/images/a_denoised_denoised.png"]
    again.names = ["a_denoised.png"]
    again._images = {"a_denoised.png": photographs(1)["a.png"]}
    with pytest.raises(UserError, match="is one of the inputs"):
        evaluate_into(tmp_path / "m", {"m": Fake(blur)}, again, EvaluateConfig())


def test_a_folder_that_changes_meanwhile_is_looked_at_when_files_are_moved(tmp_path):
    output, inputs = tmp_path / "out", Files(tmp_path / "mine/images", photographs(2))
    write(output, "m")
    (tmp_path / "mine/report.html").write_text("mine")
    before = contents(tmp_path / "mine")

    def swap(_):
        for path in (tmp_path / "mine").rglob("*"):
            if path.is_file():
                place = output / path.relative_to(tmp_path / "mine")
                place.unlink(missing_ok=True)
                place.symlink_to(path)

    with pytest.raises(UserError, match="a link"):
        evaluate_into(output, {"m": Fake(blur, name="m")}, inputs, EvaluateConfig(), on_result=swap)
    assert contents(tmp_path / "mine") == before


def test_reports_of_earlier_versions_are_replaced(tmp_path):
    write(tmp_path, "m")
    page = (tmp_path / "report.html").read_text()
    older = page.replace('<meta name="generator" content="GradNet-TF">\n', "")
    assert older != page
    (tmp_path / "report.html").write_text(older)
    write(tmp_path, "m")
    assert (tmp_path / "report.html").read_text() != older
    assert MADE_BY in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(
    "names",
    [
        ["x/y.png", "x_y.png"],
        ["a.png", "a.jpg", "a.png.png"],
        ["a-2.png", "b/a.png", "b_a.png", "b_a-2.png"],
    ],
)
def test_no_two_images_share_a_stem(names):
    stems = file_stems(names)
    assert len(set(stems)) == len(names)
    assert file_stems(["b/a.png", "c.png"]) == ["b_a", "c"]
