"""The temporary folder of an evaluation: moved on success, removed after a failure or a kill."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from evaluation_case import Fake, Images, blur, photographs

from gradnet_tf.evaluation.evaluate_set import EvaluateConfig
from gradnet_tf.reporting.result_folder import evaluate_into, staged_folder

ROOT = Path(__file__).resolve().parents[2]
CODE = """
import sys, time
from gradnet_tf.reporting.result_folder import staged_folder
with staged_folder(sys.argv[1]) as stage:
    (stage / "a.png").write_bytes(b"half")
    print("ready", flush=True)
    time.sleep(600)
"""


def partials(folder):
    return sorted(folder.glob(".partial-*"))


def test_a_killed_evaluation_is_cleaned_up_by_the_next_and_a_running_one_is_not(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", CODE, str(tmp_path)], stdout=subprocess.PIPE, env=environment
        )
        for _ in range(2)
    ]
    try:
        for each in started:
            assert each.stdout.readline() == b"ready\n"
        assert len(partials(tmp_path)) == 2
        started[0].send_signal(signal.SIGKILL)
        started[0].wait()
        foreign = tmp_path / ".partial-of-somebody"
        foreign.mkdir()
        with staged_folder(tmp_path) as stage:
            assert len(partials(tmp_path)) == 3  # the running one's, this one's, the foreign one
            (stage / "metrics.json").write_text("{}")
        assert len(partials(tmp_path)) == 2 and foreign.is_dir()
        assert (tmp_path / "metrics.json").is_file()
    finally:
        for each in started:
            each.kill()
            each.communicate()
    with staged_folder(tmp_path):
        pass
    assert partials(tmp_path) == [foreign]


def test_a_failure_leaves_nothing(tmp_path):
    with pytest.raises(KeyError), staged_folder(tmp_path / "out"):
        raise KeyError
    assert not (tmp_path / "out").exists()


class Killed(BaseException):
    """Ends an evaluation without any cleanup, as SIGKILL does."""


@pytest.fixture
def kill(monkeypatch):
    """Runs an evaluation into a folder that ends at image 3 of 4, leaving what SIGKILL leaves."""

    def call(output, error=Killed, **changes):
        def end(name, row):
            if row["name"] == "c.png":
                raise error

        with monkeypatch.context() as patch:
            if error is Killed:
                patch.setattr(
                    "gradnet_tf.reporting.result_folder.shutil.rmtree", lambda *_, **__: 0
                )
            with pytest.raises(error):
                evaluated(output, progress=end, **changes)

    return call


def evaluated(output, function=blur, images=None, sha256="ab", progress=None, names=1, **config):
    fakes = {f"model{n}": Fake(function, name=f"model{n}") for n in range(names)}
    for fake in fakes.values():
        fake.source["sha256"] = sha256 * 32
    pictures = Images(images or photographs(4))
    results = evaluate_into(output, fakes, pictures, EvaluateConfig(**config), progress=progress)
    return [len(fake.given) for fake in fakes.values()], results


def same(results, others):
    """Whether two results have the same scores."""
    return [
        [{**row, "seconds": 0} for row in each["images"]] + [each["mean"]] for each in results
    ] == [[{**row, "seconds": 0} for row in each["images"]] + [each["mean"]] for each in others]


def test_a_killed_evaluation_is_resumed_where_it_was(tmp_path, kill, capsys):
    kill(tmp_path / "out")
    calls, results = evaluated(tmp_path / "out")
    assert calls == [1] and results[0]["resumed_images"] == 3
    assert "3 images were scored by an earlier, killed run" in capsys.readouterr().err
    calls, whole = evaluated(tmp_path / "whole")
    assert calls == [4] and same(results, whole)
    for path in sorted((tmp_path / "whole").rglob("*.png")):
        resumed = tmp_path / "out" / path.relative_to(tmp_path / "whole")
        assert resumed.read_bytes() == path.read_bytes()
    # Nothing is left of it, and a finished evaluation is not resumed but repeated.
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert not [name for name in names if name.startswith(".partial")]
    assert not list((tmp_path / "out").rglob(".scores"))
    assert evaluated(tmp_path / "out")[0] == [4]


def test_an_evaluation_killed_twice_loses_nothing(tmp_path, kill):
    kill(tmp_path / "out", names=2)
    kill(tmp_path / "out", names=2)
    assert evaluated(tmp_path / "out", names=2)[0] == [1, 4]
    assert not partials(tmp_path / "out")


@pytest.mark.parametrize(
    "changes",
    [{"sigma": 15.0}, {"seed": 1}, {"sha256": "cd"}, {"images": photographs(5, width=57)}],
)
def test_other_settings_weights_or_data_are_scored_anew(tmp_path, kill, changes):
    kill(tmp_path / "out")
    calls, results = evaluated(tmp_path / "out", **changes)
    assert calls == [len(results[0]["images"])] and "resumed_images" not in results[0]


def test_weights_without_a_sha256_are_scored_anew(tmp_path, kill):
    kill(tmp_path / "out", sha256="")
    assert evaluated(tmp_path / "out", sha256="")[0] == [4]


def test_a_damaged_picture_or_record_is_scored_anew(tmp_path, kill):
    kill(tmp_path / "out")
    next((tmp_path / "out").rglob("a_denoised.png")).write_bytes(b"damaged")
    assert evaluated(tmp_path / "out")[0] == [2]
    kill(tmp_path / "damaged")
    for record in (tmp_path / "damaged").rglob(".scores/*.json"):
        record.write_text("[]")
    assert evaluated(tmp_path / "damaged")[0] == [4]


def test_the_scores_stay_after_ctrl_c(tmp_path, kill, capsys):
    kill(tmp_path / "out", error=KeyboardInterrupt)
    assert "the same command resumes" in capsys.readouterr().err
    assert evaluated(tmp_path / "out")[0] == [1]
