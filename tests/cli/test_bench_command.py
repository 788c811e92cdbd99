"""`gradnet bench`: what it prints and keeps."""

import json

import pytest

from gradnet_tf.cli import bench_command
from gradnet_tf.cli.bench_command import Timed, _fastest
from gradnet_tf.cli.main import main
from gradnet_tf.runtimes import choose_runtime


@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    found = {"litert": ("float32",), "openvino": (), "keras": ()}
    monkeypatch.setattr(bench_command, "COMPUTES", found)
    return tmp_path


def test_it_times_prints_and_keeps_the_fastest(cache, capsys):
    pytest.importorskip("ai_edge_litert")
    arguments = ["bench", "--model=gradnet_tiny", "--side=64", "--rounds=2"]
    assert main([*arguments, "--no-keep"]) == 0
    printed = capsys.readouterr().out
    assert "gradnet_tiny_color_blind, 64×64 pixels" in printed and "litert" in printed
    assert not choose_runtime.choice_path().exists()
    assert main(arguments) == 0
    kept = json.loads(choose_runtime.choice_path().read_text("utf-8"))
    assert (kept["runtime"], kept["precision"]) == ("litert", "float32")
    assert choose_runtime.read_kept() == ("litert", "float32")
    choose_runtime.choice_path().write_text(json.dumps({**kept, "key": "other"}))
    assert choose_runtime.read_kept() is None


@pytest.mark.parametrize("flag", ["--model=nonsense", "--side=0", "--rounds=0"])
def test_wrong_flags_are_refused(cache, capsys, flag):
    assert main(["bench", flag]) == 2
    assert flag.split("=")[0] in capsys.readouterr().err


def test_what_starts_later_must_be_clearly_faster():
    quick = Timed("litert", "float32", None, 0.1, 120.0, [1.0, 1.2])
    little = Timed("keras", "float32", None, 5.0, 120.0, [0.95])
    much = Timed("keras", "bfloat16", None, 5.0, 56.0, [0.4])
    assert _fastest([quick, little]) is quick
    assert _fastest([quick, little, much]) is much
