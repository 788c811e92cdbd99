"""All pages: links lead somewhere, named files and modules exist, and no page is too long."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")])
#: Reference pages, which nobody reads from top to bottom.
LONG = {"results.md", "CHANGELOG.md", "free_photos.md"}
MOST_WORDS = 1300
FROM_AN_INDEX = r"pip install [^\n`]*gradnet-tf"


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def anchors(page: Path) -> set[str]:
    """Returns the anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", text_of(page), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.fixture(params=PAGES, ids=lambda page: page.name)
def page(request) -> Path:
    return request.param


def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
        if re.match(r"https?:|mailto:", target):
            continue
        name, _, anchor = target.partition("#")
        found = (page.parent / name).resolve() if name else page
        assert found.exists(), f"{page.name} links to {target}"
        if anchor:
            assert anchor in anchors(found), f"{page.name} links to {target}"


def test_named_files_exist(page):
    folders = "gradnet_tf|datasets|export|experiments|benchmarks|tests|tools|demo|docs"
    for path in re.findall(
        rf"(?<![\w/.])((?:{folders})/[\w/.-]*\w\.(?:py|md|yml|txt))", text_of(page)
    ):
        assert (ROOT / path).exists(), f"{page.name} names {path}"


def test_named_modules_exist(page):
    for name in re.findall(r"python -m ([\w.]+)", text_of(page)):
        path = ROOT / name.replace(".", "/")
        if name.split(".")[0] in ("gradnet_tf", "datasets", "export", "experiments", "benchmarks"):
            found = path.with_suffix(".py").exists() or (path / "__main__.py").exists()
            assert found, f"{page.name} names python -m {name}"


def test_the_length_of_a_page(page):
    if page.name not in LONG:
        words = len(text_of(page).split())
        assert words <= MOST_WORDS, f"{page.name} has {words} words; split it by its readers"


def test_the_package_is_not_said_to_be_on_an_index(page):
    assert not re.search(FROM_AN_INDEX, text_of(page))


def test_no_message_says_that_the_package_is_on_an_index():
    folders = "gradnet_tf datasets export experiments demo docs/notebooks".split()
    files = [path for name in folders for path in (ROOT / name).rglob("*") if path.is_file()]
    texts = [path for path in files if path.suffix in (".py", ".md", ".ipynb")]
    assert len(texts) > 100
    assert not [path for path in texts if re.search(FROM_AN_INDEX, path.read_text("utf-8"))]
