"""`python -m benchmarks.speed`: its table, its check, and one small run."""

import collections
import json
import os
import sys

import numpy as np
import pytest

from benchmarks.speed import __main__ as speed
from benchmarks.speed import programs
from benchmarks.speed.training_cell import convolutions_alone, time_training
from gradnet_tf.models.presets import build_model
from gradnet_tf.utils.errors import UserError


def case(precision, ours, *seconds):
    facts = {"precision": precision, "ours": ours, "psnr": 60.0}
    return {**facts, "seconds": list(seconds), "processor": [each / 2 for each in seconds]}


def test_rows_are_compared_with_the_fastest_peer_of_their_precision():
    cases = {
        "litert float32": case("float32", True, 0.3, 0.2),
        "litert int8": case("int8", True, 0.05),
        "PyTorch float32": case("float32", False, 0.4),
        "PyTorch bfloat16": case("bfloat16", False, 0.1),
    }
    found = {"cases": cases, "macs": 1000.0, "peak": {"float32": 1e9, "bfloat16": 2e9}}
    rows = {row["name"]: row for row in speed.table(found, 10_000)}
    assert list(rows) == ["litert int8", "PyTorch bfloat16", "litert float32", "PyTorch float32"]
    assert rows["litert float32"]["ratio"] == pytest.approx(0.5)
    assert rows["litert int8"]["ratio"] == pytest.approx(0.5)
    assert rows["litert float32"]["best_ms"] == pytest.approx(200)
    assert rows["litert float32"]["median_ms"] == pytest.approx(250)
    assert rows["litert float32"]["peak"] == pytest.approx(0.05)


def test_the_check_names_what_became_slower(capsys):
    stored = {"a": 0.5, "b": 0.5, "gone": 1.0}
    assert speed._check({"a": 0.52, "b": 0.5}, stored) == 0
    assert speed._check({"a": 0.5, "b": 0.6, "new": 3.0}, stored) == 1
    printed = capsys.readouterr().out
    assert "b: 0.60 of LiteRT's float32 time, stored 0.50" in printed and "a: " not in printed
    assert speed._check({"a": 1.0}, {}) == 0


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--threads=4096"], "--threads: this process may use"),
        (["--check", "--train=adam"], "--check and --store are for pictures in memory"),
        (["--store", "--photos=1"], "--check and --store are for pictures in memory"),
    ],
)
def test_what_cannot_be_timed_or_compared_is_refused_before(flags, named, monkeypatch):
    monkeypatch.setattr(speed, "in_own_process", None)
    with pytest.raises(UserError, match=named):
        speed.main(speed.COMMAND_LINE.parse(["speed", *flags]))


def test_ratios_of_other_weights_are_others_and_need_litert(monkeypatch, tmp_path):
    found = {
        "cases": {"keras float32": case("float32", True, 2.0)},
        "macs": 1,
        "peak": {"float32": 1},
    }
    monkeypatch.setattr(speed, "in_own_process", lambda *_: found)
    monkeypatch.setattr(speed, "STORED", tmp_path / "ratios.json")
    flags = ["--sides=16", "--threads=1", "--model=gradnet_tiny_color_blind"]
    assert speed.main(speed.COMMAND_LINE.parse(["speed", *flags])) == 0
    with pytest.raises(UserError, match="compare with LiteRT's float32"):
        speed.main(speed.COMMAND_LINE.parse(["speed", *flags, "--store"]))
    found["cases"]["litert float32"] = case("float32", True, 4.0)
    speed.main(speed.COMMAND_LINE.parse(["speed", *flags, "--store"]))
    (stored,) = json.loads((tmp_path / "ratios.json").read_text()).values()
    prefix = "gradnet_tiny_color_blind, 16x16, 1 threads"
    assert stored == {f"{prefix}: keras float32": 0.5, f"{prefix}: litert float32": 1.0}


def test_training_steps_are_compared_with_pytorch_in_bfloat16():
    cases = {
        "TensorFlow bfloat16": case("bfloat16", True, 0.3, 0.1, 0.2),
        "PyTorch bfloat16": case("bfloat16", False, 0.8, 0.2, 0.5),
    }
    ours, peer = speed.step_rows(cases)
    assert (ours["best_ms"], ours["median_ms"]) == pytest.approx((100, 200))
    assert ours["processor_ms"] == pytest.approx(50)
    assert ours["ratios"] == pytest.approx([0.5, 0.4, 0.5]) and peer["ratios"] == [1, 1, 1]
    assert speed.step_rows({"TensorFlow bfloat16": case("bfloat16", True, 0.3)})[0]["ratios"] == []


def test_programs_are_compared_with_the_command_as_it_is():
    measured = {"memory": [1e6, 3e6]}
    cases = {
        "gradnet denoise": {**case("float32", True, 0.3, 0.2), **measured},
        "DnCNN in PyTorch": {**case("float32", False, 0.8, 0.9), **measured},
        "… litert int8": {**case("int8", True, 0.1), **measured},
    }
    rows = speed.program_rows(cases)
    names = ["… litert int8", "gradnet denoise", "DnCNN in PyTorch"]
    assert [row["name"] for row in rows] == names
    assert [row["ratio"] for row in rows] == pytest.approx([0.5, 1, 4])
    assert rows[2]["memory"] == 3e6 and rows[2]["median_ms"] == pytest.approx(850)


@pytest.mark.parametrize("name", programs.PEERS)
def test_a_peer_denoises_a_whole_picture(name, monkeypatch):
    denoise, package = programs.PEERS[name]
    pytest.importorskip(package)
    monkeypatch.setattr(programs, "_TILE", 16)
    picture = np.full((24, 36, 3), 90, np.uint8)
    picture[::2] += 20
    found = denoise(picture)
    assert found.shape == picture.shape and found.dtype == np.uint8 and found.any()


def test_a_program_that_fails_is_named_and_left_out(tmp_path, monkeypatch, capsys):
    def stand_in(model, source, target):
        copy = "import shutil, sys; shutil.copy(sys.argv[1], sys.argv[2])"
        return {
            "gradnet denoise": ["-c", copy, str(source), str(target)],
            "silent": ["-c", "pass"],
            "broken": ["-c", "raise ValueError('no such file')"],
        }

    monkeypatch.setattr(programs, "commands", stand_in)
    cases = programs.time_programs(None, 0.01, 2, 60.0)
    assert list(cases) == ["gradnet denoise"]
    assert len(cases["gradnet denoise"]["seconds"]) == 2
    assert min(cases["gradnet denoise"]["memory"]) > 1e6
    noted = capsys.readouterr().err
    assert "without broken: ValueError: no such file" in noted and "without silent" in noted


def test_the_command_as_it_is_has_no_switches(tmp_path):
    found = programs.commands(None, tmp_path / "a.jpg", tmp_path / "out")
    plain = ["-m", "gradnet_tf", "denoise", str(tmp_path / "a.jpg"), f"--output={tmp_path}/out"]
    assert next(iter(found.items())) == ("gradnet denoise", plain)
    assert found["gradnet denoise, LiteRT alone"] == [*plain, "--runtime=litert"]
    exact = [*plain, "--model=gradnet_small_color_real", "--runtime=keras", "--precision=float32"]
    assert found["… keras float32"] == exact
    named = programs.commands("gradnet_tiny", tmp_path / "a.jpg", tmp_path / "out")
    assert named["gradnet denoise"] == [*plain, "--model=gradnet_tiny"]


class NoTorch:
    """Imports `torch` as if it were not installed; SciPy trips over a `None` in sys.modules."""

    @staticmethod
    def find_spec(name, *_):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")


def test_a_step_is_timed_beside_its_convolutions(monkeypatch):
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setattr(sys, "meta_path", [NoTorch, *sys.meta_path])
    before = os.sched_getaffinity(0)
    try:
        found = time_training("gradnet_tiny", "adam", 2, 1, 60.0, size=(1, 16))["cases"]
    finally:
        os.sched_setaffinity(0, before)
    assert list(found) == ["TensorFlow bfloat16", "convolutions alone"]
    assert len(found["TensorFlow bfloat16"]["losses"]) == 3
    for each in found.values():
        assert len(each["seconds"]) == len(each["processor"]) == 2 and min(each["seconds"]) > 0


def test_convolutions_alone_are_those_of_a_training_step():
    model = build_model("gradnet_tiny")
    model.naive_denoiser.trainable = False
    traced = convolutions_alone(model, 1, 16).__closure__[0].cell_contents
    graph = traced.get_concrete_function().graph
    count = collections.Counter(each.type for each in graph.get_operations())
    kernels = [each for each in model.weights if each.shape[:2] == (3, 3)]
    learned = [each for each in kernels if each.trainable]
    assert 0 < len(learned) < len(kernels)
    assert count["Conv2D"] == len(kernels)
    assert count["Conv2DBackpropInput"] == count["Conv2DBackpropFilter"] == len(learned)


@pytest.mark.slow
def test_one_small_run(tmp_path, capsys):
    pytest.importorskip("ai_edge_litert")
    given = speed.COMMAND_LINE.parse(
        ["speed", "--model=gradnet_tiny", "--sides=32", "--rounds=1", f"--output={tmp_path}"]
    )
    assert speed.main(given) == 0
    assert "litert float32" in capsys.readouterr().out
    assert (tmp_path / "speed.json").is_file()
