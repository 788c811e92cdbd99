"""The benchmark of the start-up: its stopwatch, what it undoes, and one real run."""

import importlib
import json
import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from benchmarks.speed import startup
from benchmarks.speed.startup import EXIT, PLAIN, START, Run, probe, run_command
from benchmarks.speed.startup_probe import (
    OPTIONAL,
    REST,
    RUNNING,
    SAVINGS,
    ImportHook,
    Stopwatch,
    import_phase,
    undo,
)
from gradnet_tf.runtimes import keras_runtime as runner_keras
from gradnet_tf.utils import framework_start
from gradnet_tf.utils.errors import UserError


@pytest.fixture
def photo(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "a.jpg"), pixels)
    return tmp_path / "a.jpg"


def test_nested_phases_are_booked_without_what_is_inside_them():
    times = iter([1, 3, 4, 9, 11])
    watch = Stopwatch(0, clock=lambda: next(times))
    with watch.phase("outer"):  # from 1
        with watch.phase("inner"):  # 3 to 4
            pass
    watch.lap()
    assert watch.seconds == {REST: 1 + 2, "outer": 2 + 5, "inner": 1}
    assert sum(watch.seconds.values()) == 11


def test_the_hook_sees_a_module_run_and_what_it_imports(tmp_path, monkeypatch):
    (tmp_path / "outer_module.py").write_text("import inner_module\nvalue = 1\n")
    (tmp_path / "inner_module.py").write_text("value = 2\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("outer_module", "inner_module"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    times = iter(range(100))
    watch, done = Stopwatch(next(times), clock=lambda: next(times)), []
    hook = ImportHook(watch.phase, lambda module: done.append((module.__name__, module.value)))
    monkeypatch.setattr(sys, "meta_path", [hook, *sys.meta_path])
    assert importlib.import_module("outer_module").value == 1
    assert done == [("inner_module", 2), ("outer_module", 1)]
    assert watch.seconds["inner_module"] == 1 and watch.seconds["outer_module"] == 2
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("no_such_module_anywhere")


def test_a_backend_is_no_optional_package():
    assert import_phase("jax") == import_phase("sklearn") == OPTIONAL
    assert import_phase("jax", backend="jax") == "importing JAX"
    assert import_phase("tensorflow") == "importing TensorFlow"
    assert import_phase("tensorflow.python") is None and import_phase("json") is None


def test_each_saving_is_undone_by_its_name(monkeypatch):
    import tensorflow as tf

    monkeypatch.setattr(tf, "function", lambda *_, **options: options)
    assert set(SAVINGS) == set(startup.UNDONE)

    def left(*without):
        start = SimpleNamespace(
            __name__=framework_start.__name__, UNUSED=framework_start.UNUSED, gc=framework_start.gc
        )
        undo(start, without)
        monkeypatch.setattr(tf, "function", lambda *_, **options: options)
        undo(SimpleNamespace(__name__=runner_keras.__name__), without)
        return [
            start.UNUSED == framework_start.UNUSED,
            start.gc is framework_start.gc,
            not tf.function(autograph=False)["autograph"],
        ]

    assert left() == [True, True, True]
    assert left("hidden_packages") == [False, True, True]
    assert left("collector_off") == [True, False, True]
    assert left("no_autograph") == [True, True, False]


def test_the_phases_of_a_run_add_up_to_it(photo):
    run = run_command(probe(watch=True), "gradnet_tiny", photo, "keras", "tensorflow")
    loading = "building the network, loading weights"
    expected = {START, EXIT, REST, RUNNING, loading, "importing TensorFlow", "importing Keras"}
    expected |= {"tracing", "decoding", "encoding", "writing"}
    assert expected <= set(run.phases) and OPTIONAL not in run.phases
    assert all(seconds >= 0 for seconds in run.phases.values())
    assert sum(run.phases.values()) == pytest.approx(run.whole, abs=1e-3)
    assert 0 < run.warm < run.phases[RUNNING] + run.phases["tracing"]
    assert 0 < run.written < run.whole + run.warm and run.cpu > 0
    assert list(photo.parent.iterdir()) == [photo]


def test_a_plain_run_has_no_phases_and_a_failed_one_says_why(photo):
    run = run_command(PLAIN, "opencv_nlm", photo)
    assert run.phases == {} and 0 < run.written <= run.whole
    with pytest.raises(UserError, match="no_such_model"):
        run_command(PLAIN, "no_such_model", photo)


def test_the_tables_have_least_and_median_and_ratios():
    watched = [Run(2, 4, 3, {START: 1, RUNNING: x, EXIT: 1}, warm=x / 2) for x in (2, 4, 12)]
    plain = [Run(2, 5, 3), Run(3, 6, 4), Run(9, 9, 9)]
    lines = startup.phase_table(watched, plain).splitlines()[2:]
    assert f"| {RUNNING} | 2.00 | 4.00 |" in lines
    assert "| – of it a second time | 1.00 | 2.00 |" in lines
    assert lines[-4:] == [
        f"| {EXIT} | 1.00 | 1.00 |",
        "| sum | 4.00 | 6.00 |",
        "| the command itself | 5.00 | 6.00 |",
        "| – until the picture is written | 2.00 | 3.00 |",
    ]
    slow = [Run(6, 9, 2)] * 3
    row = startup.ratio_table({"plain": plain, "slow": slow}, "plain").splitlines()[-1]
    assert row == "| slow | 6.00 | 9.00 | 2.00 | 2.00× | 1.50× | 0.50× |"


def test_rows_take_turns(photo, monkeypatch):
    seen = []
    monkeypatch.setattr(startup, "run_command", lambda *given: seen.append(given[1]))
    startup.take_turns({"a": ([], "a", None), "b": ([], "b", None)}, photo, 2)
    assert seen == ["a", "b", "a", "b"]


@pytest.mark.parametrize("flag", ["--repeats=0", "--repeats=-1"])
def test_wrong_flags_are_refused(flag, capsys):
    with pytest.raises(SystemExit) as leave:
        startup.main([flag])
    assert leave.value.code == 2
    assert "expected --repeats from 1" in capsys.readouterr().err


def test_the_probe_prints_its_options_back_as_json():
    assert json.loads(probe(without=["no_autograph"])[-1])["without"] == ["no_autograph"]
