"""The list of mutants fits the code, and a test that notices one is told from one that does not."""

import subprocess

import pytest

from benchmarks.robustness import mutants, paper_mutants
from benchmarks.robustness.mutants import Mutant


@pytest.mark.parametrize("listed", [mutants.MUTANTS, paper_mutants.MUTANTS], ids=["all", "paper"])
def test_every_entry_changes_one_place_and_names_a_test_that_there_is(listed, tmp_path):
    if subprocess.run(["git", "ls-files"], cwd=mutants.ROOT, capture_output=True).returncode:
        pytest.skip("needs the repository")
    mutants.copy_tree(tmp_path)
    for mutant in listed:
        path, before = mutants.apply(tmp_path, mutant)
        assert path.read_text("utf-8") != before
        path.write_text(before, "utf-8")
        file, _, test = mutant.tests.partition("::")
        test = test.partition("[")[0]
        assert f"def {test}" in mutants.find_module(tmp_path / "tests", file).read_text("utf-8")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A repository of one module with a test for one of its two lines."""
    for name, text in (
        ("code_in_test.py", "def double(x):\n    return 2 * x\n\nLIMIT = 3\n"),
        (
            "tests/test_double.py",
            "from code_in_test import double\n\ndef test_double():\n    assert double(4) == 8\n",
        ),
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    monkeypatch.setattr(mutants, "ROOT", tmp_path)
    return tmp_path


def test_a_mutant_that_no_test_notices_is_reported(project, capsys):
    listed = (
        Mutant("triple", "code_in_test.py", "2 * x", "3 * x", "test_double.py"),
        Mutant("limit", "code_in_test.py", "LIMIT = 3", "LIMIT = 4", "test_double.py"),
    )
    before = (project / "code_in_test.py").read_text()
    assert mutants.main([], listed) == 1
    assert capsys.readouterr().out.splitlines() == [
        "killed    triple (code_in_test.py)",
        "SURVIVES  limit (code_in_test.py)",
        "1 of 2 survive",
    ]
    assert (project / "code_in_test.py").read_text() == before


def test_what_cannot_be_tried_is_reported(project):
    fails = project / "tests" / "test_fails.py"
    fails.write_text("def test_fails():\n    assert False\n")
    for mutant, words in (
        (Mutant("a", "code_in_test.py", "2 * x", "x", "test_fails.py"), "without any change"),
        (Mutant("b", "code_in_test.py", "absent", "x", "test_double.py"), "Found: 0 times"),
        (Mutant("c", "absent.py", "2 * x", "x", "test_double.py"), "expected one file"),
    ):
        with pytest.raises(SystemExit) as error:
            mutants.main([], (mutant,))
        assert words in str(error.value)
