"""The command under mutated files: a hundred of them, and that the checks see what is wrong."""

import sys
from collections import Counter

import pytest
from tiny_run import make_run

from benchmarks.robustness import fuzz_command
from benchmarks.robustness import fuzz_command as command_run
from gradnet_tf.cli import main as cli
from gradnet_tf.utils.errors import EXIT_OK, EXIT_SOME_FAILED, EXIT_USAGE
from gradnet_tf.utils.files import sha256_of


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return str(make_run(tmp_path_factory.mktemp("runs") / "run")[0])


def test_a_hundred_mutants_become_results_or_lines(run):
    table, violations, peak = fuzz_command.fuzz_folder(range(100), 7, run, 10.0, alone=False)
    assert violations == [] and peak is None
    kinds = Counter()
    for (_, outcome), count in table.items():
        kinds[outcome] += count
    assert kinds["written"] > 20 and kinds["refused"] > 20 and kinds.total() == 100


@pytest.mark.slow
def test_the_same_in_a_separate_process(run):
    _, violations, peak = fuzz_command.fuzz_folder(range(100, 130), 7, run, 10.0, alone=True)
    assert violations == [] and 100 < peak < 3000


@pytest.fixture
def folders(tmp_path):
    source, target = tmp_path / "in", tmp_path / "out"
    source.mkdir(), target.mkdir()
    made = fuzz_command.make_files()
    for name in ("a.png", "b.bmp"):
        (source / name).write_bytes(made[name[2:]])
        (target / name).write_bytes(made[name[2:]])
    return source, target, {path.name: sha256_of(path) for path in source.iterdir()}


def test_what_is_wrong_with_a_file_is_seen(folders):
    source, target, _ = folders
    good = {"a.png": "written", "b.bmp": "written"}
    assert fuzz_command.outcomes(source, target, "") == good
    assert "2 lines" in fuzz_command.outcomes(source, target, "failed: a.png\na.png")["a.png"]
    (target / "a.png").unlink()
    found = fuzz_command.outcomes(source, target, "failed: a.png: x")
    assert found["a.png"] == "no result, although it is readable"
    assert "no result" in fuzz_command.outcomes(source, target, "")["a.png"]
    (source / "a.png").write_bytes(b"no photograph")
    assert fuzz_command.outcomes(source, target, "failed: a.png: x")["a.png"] == "refused"
    (target / "b.bmp").write_bytes((target / "b.bmp").read_bytes()[:99])
    assert "cannot be read" in fuzz_command.outcomes(source, target, "")["b.bmp"]
    (target / "b.bmp").write_bytes(fuzz_command.make_files()["png 16"])
    assert "bmp (24, 20, 3) became png" in fuzz_command.outcomes(source, target, "")["b.bmp"]


def test_what_is_wrong_with_a_folder_is_seen(folders):
    source, target, hashes = folders

    def complaints(code, errors="", **counts):
        return fuzz_command.complaints(source, target, hashes, code, errors, Counter(counts))

    assert complaints(EXIT_OK, written=2) == []
    assert complaints(EXIT_SOME_FAILED, "failed: x", written=1, refused=1) == []
    assert complaints(EXIT_USAGE, "failed: x\nfailed: y", refused=2) == []
    assert complaints(EXIT_OK, written=1, refused=1) == ["exit code 0, expected 1"]
    assert "libpng" in complaints(EXIT_OK, "libpng warning", written=2)[0]
    (target / ".partial-1a.png").write_bytes(b"")
    assert ".partial-1a.png" in complaints(EXIT_OK, written=2)[0]
    (source / "a.png").write_bytes(b"")
    assert "inputs have changed" in complaints(EXIT_OK, written=2)[0]


def test_a_crash_is_a_violation(monkeypatch, tmp_path):
    def broken(arguments):
        print("failed: x", file=sys.stderr)
        raise IndexError("a mistake")

    monkeypatch.setattr(cli, "main", broken)
    ended = command_run.in_process(["denoise", str(tmp_path)], 1.0)
    assert "IndexError: a mistake" in ended.wrong[0] and ended.errors == "failed: x\n"


def test_a_hanging_process_is_ended_and_its_file_named(monkeypatch, tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    monkeypatch.setattr(command_run, "_START", 0.0)
    ended = command_run.own_process(["denoise", str(tmp_path), "--output=nowhere"], 0.0)
    assert ended.wrong == ["hangs: a.png"] and ended.code < 0
