"""`make release-check` tries every extra, and `make docs` shows every page once."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from tools import release_check

ROOT = Path(__file__).resolve().parents[2]


def test_every_extra_is_tried_in_a_bare_environment():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    tried = re.search(r"^RELEASE_EXTRAS \?= (.+)$", makefile, re.MULTILINE)[1].split(",")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = set(project["optional-dependencies"])
    assert set(tried) == {"none", *extras} and len(tried) == len(set(tried))
    # Each extra denoises a picture, or its package is imported.
    assert extras == set(release_check.DENOISES) | set(release_check.IMPORTS)


def test_what_a_fresh_clone_has_is_copied(tmp_path):
    release_check.copy_tracked(tmp_path)
    for name in ("pyproject.toml", "README.md", "gradnet_tf/py.typed", "gradnet_tf/weights"):
        assert (tmp_path / name).exists()
    assert not (tmp_path / ".git").exists() and not list(tmp_path.rglob("__pycache__"))


def test_a_failing_command_ends_the_check_with_its_output(tmp_path, capfd):
    with pytest.raises(SystemExit, match="ls no_such_file ended with code 2"):
        release_check.run("ls", "no_such_file", where=tmp_path)
    assert "no_such_file" in capfd.readouterr().err


def test_the_workflow_publishes_what_the_check_has_tried():
    text = (ROOT / ".github/workflows/publish.yml").read_text("utf-8")
    assert "make release-check DIST=dist" in text and text.count("path: dist/") == 2


@pytest.fixture
def docs_site():
    pytest.importorskip("mkdocs", reason="MkDocs is not installed: make docs installs it")
    from tools import docs_site

    return docs_site


def test_the_site_lists_every_page_once_under_a_title(docs_site):
    class Config:
        nav = None

    nav = docs_site.on_config(Config()).nav
    listed = [page for entry in nav[1:] for pages in entry.values() for page in pages]
    pages = {path.name for path in (ROOT / "docs").glob("*.md")} | {"api.md", "changelog.md"}
    assert sorted(listed) == sorted(pages)
    assert not any("More" in entry and entry["More"] for entry in nav[1:])


def test_links_of_the_readme_stay_on_the_site(docs_site):
    text = docs_site.site_links((ROOT / "README.md").read_text("utf-8"))
    for target in re.findall(r"\]\(([^)#:]+)[)#]", text):
        assert (ROOT / "docs" / target).is_file() or target == "changelog.md", target


def test_make_venv_says_that_it_takes_minutes(tmp_path):
    """With a Python that makes an environment with itself in it, and installs nothing."""
    if shutil.which("make") is None:
        pytest.skip("there is no make")
    for name in ("Makefile", "requirements.txt", "requirements-dev.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    python = tmp_path / "python"
    python.write_text(
        '#!/bin/sh\n[ "$2" = venv ] && mkdir -p "$3/bin" && cp "$0" "$3/bin/python"\nexit 0\n'
    )
    python.chmod(0o755)
    done = subprocess.run(
        ["make", "venv", f"PYTHON={python}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    before = done.stdout.partition("pip install")[0]
    assert "attempt 1 of 3" in before and "takes some minutes" in before
