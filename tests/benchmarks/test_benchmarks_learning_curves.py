"""The curves of training runs: what is read, what stays of earlier calls, and what is shown."""

import csv
import json

import pytest
from script_case import exit_code, loaded_script

from benchmarks.results.learning_curves import LearningCurve, draw_curves
from gradnet_tf.images.image_files import read_image


@pytest.fixture
def make_run(tmp_path):
    def make(name, points, images=None):
        folder = tmp_path / name
        folder.mkdir()
        facts = {"validation_images_by_set": images or {"bsds500": 16, "drawings": 8}}
        (folder / "config.json").write_text(json.dumps({"facts": facts}), encoding="utf-8")
        rows = [{"event": "resume", "step": 0}, {"step": 1, "loss": 0.5}]
        rows += [{"step": step, "loss": 0.1, "psnr": psnr} for step, psnr in points]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / "log.jsonl").write_text(text, encoding="utf-8")
        return folder

    return make


@pytest.fixture
def run(capsys, tmp_path):
    def call(*runs):
        flags = [f"--output={tmp_path / 'out'}", *(f"--run={each}" for each in runs)]
        code = exit_code(loaded_script("benchmarks/results/learning_curves"), *flags)
        return code, capsys.readouterr()

    return call


def rows(tmp_path):
    with (tmp_path / "out" / "curves.csv").open(encoding="utf-8", newline="") as file:
        return [tuple(row.values()) for row in csv.DictReader(file)]


def test_the_last_validation_of_a_step_counts(run, make_run, tmp_path):
    folder = make_run("a", [(1000, 30.5), (2000, 31.0), (2000, 31.25)])
    code, printed = run(f"gray, small={folder}")
    assert code in (0, None)
    images = "16 of bsds500 and 8 of drawings"
    assert rows(tmp_path) == [
        ("gray, small", images, "1000", "30.5000"),
        ("gray, small", images, "2000", "31.2500"),
    ]
    assert f"gray, small: 31.25 dB at step 2,000, {images}" in printed.out
    assert read_image(tmp_path / "out" / "curves.png").shape[2] == 3


def test_runs_of_earlier_calls_stay_and_the_same_label_is_replaced(run, make_run, tmp_path):
    first, second = make_run("a", [(1000, 30.0)]), make_run("b", [(500, 29.0)])
    run(f"a={first}", f"b={second}")
    for path in [*first.iterdir(), *second.iterdir()]:
        path.unlink()
    run(f"b={make_run('c', [(700, 28.0)], {'free_photos': 16})}")
    assert [row[:1] + row[2:] for row in rows(tmp_path)] == [
        ("a", "1000", "30.0000"),
        ("b", "700", "28.0000"),
    ]
    assert rows(tmp_path)[1][1] == "16 of free_photos"


def test_runs_share_a_panel_where_they_share_the_validation_images():
    curves = [
        LearningCurve("a$", "16 of x", ((1000, 30.0), (3000, 31.0))),
        LearningCurve("b", "16 of y", ((1000, 35.0),)),
        LearningCurve("c", "16 of x", ((2000, 29.0),)),
    ]
    left, right = draw_curves(curves).axes
    assert [line.get_label() for line in left.lines] == ["a$", "c"]
    assert [list(line.get_xdata()) for line in left.lines] == [[1, 3], [2]]
    assert [line.get_label() for line in right.lines] == ["b"]
    assert (left.get_label(), right.get_label()) == ("16 of x", "16 of y")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("gray", "LABEL=FOLDER"),
        ("a=nowhere", "config.json"),
        (None, "at least one training run"),
    ],
)
def test_what_is_no_run_is_refused_and_nothing_is_written(run, tmp_path, given, expected):
    code, printed = run(*[given] if given else [])
    assert code == 2
    assert expected in printed.err
    assert not (tmp_path / "out").exists()


def test_a_run_without_a_validation_is_refused(run, make_run):
    code, printed = run(f"a={make_run('a', [])}")
    assert code == 2
    assert "validate_every" in printed.err


def test_a_file_of_somebody_else_is_not_replaced(run, make_run, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "curves.csv").write_text("mine\n", encoding="utf-8")
    code, printed = run(f"a={make_run('a', [(1, 30.0)])}")
    assert code == 2
    assert (tmp_path / "out" / "curves.csv").read_text("utf-8") == "mine\n"
