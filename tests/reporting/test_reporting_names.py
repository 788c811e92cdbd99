"""Names of what an evaluation writes, and that a new one takes an earlier one's place."""

import json

import pytest
from evaluation_case import Fake, Images, blur, photographs

from gradnet_tf.evaluation.evaluate_set import EvaluateConfig
from gradnet_tf.reporting.result_folder import evaluate_into
from gradnet_tf.reporting.result_names import file_stems, model_folders


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
def test_paths_of_one_name_are_told_apart_by_where_they_differ(tmp_path, paths, expected):
    for path in paths:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        if "." in path.rpartition("/")[2]:
            (tmp_path / path).touch()
        else:
            (tmp_path / path).mkdir(exist_ok=True)
        (tmp_path / "x/other").mkdir(exist_ok=True)
    names = [path.rpartition("/")[2].split(".")[0] for path in paths]
    assert model_folders([str(tmp_path / path) for path in paths], names) == expected


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


@pytest.mark.parametrize(
    "ranking", [{"ranking": [{"folder": "../beside"}, {"folder": ".."}, {"folder": 3}, "x"]}, [], 1]
)
def test_a_ranking_of_something_else_leads_nowhere(tmp_path, ranking):
    write(tmp_path / "beside", "m")
    before = listing(tmp_path / "beside")
    output = tmp_path / "out"
    output.mkdir()
    (output / "ranking.json").write_text(json.dumps(ranking))
    KINDS["one"](output)
    assert listing(tmp_path / "beside") == before
    # Only a list of models makes the file one of ours.
    assert (output / "ranking.json").exists() == (not isinstance(ranking, dict))
