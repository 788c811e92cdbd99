"""`python -m benchmarks.speed`: its table, its check, and one small run."""

import pytest

from benchmarks.speed import __main__ as speed


def case(precision, ours, *seconds):
    return {"precision": precision, "ours": ours, "psnr": 60.0, "seconds": list(seconds)}


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


@pytest.mark.slow
def test_one_small_run(tmp_path, capsys):
    pytest.importorskip("ai_edge_litert")
    given = speed.COMMAND_LINE.parse(
        ["speed", "--model=gradnet_tiny", "--sides=32", "--rounds=1", f"--output={tmp_path}"]
    )
    assert speed.main(given) == 0
    assert "litert float32" in capsys.readouterr().out
    assert (tmp_path / "speed.json").is_file()
