"""docs/paper.md: every place in the code that it names exists, and its figures are right."""

import ast
import json
import math
import re
from pathlib import Path

import pytest

from experiments.fusion_study import FORMS
from gradnet_tf.models.presets import PAPER_RECIPE, build_model

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/paper.md").read_text("utf-8")
SOURCES = (ROOT / "docs/paper_sources.md").read_text("utf-8")
PLACES = sorted(set(re.findall(r"([\w/]+\.py):(\w+(?:\.\w+)?)", PAGE)))


def names_in(path: Path) -> set[str]:
    """Returns the names of a module's functions, classes, methods and constants."""
    found = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign):
            found.add(node.target.id)
        elif isinstance(node, ast.ClassDef | ast.FunctionDef):
            found.add(node.name)
            inner = node.body if isinstance(node, ast.ClassDef) else []
            found |= {f"{node.name}.{each.name}" for each in inner if hasattr(each, "name")}
    return found


def test_there_are_places_for_all_four_sections():
    assert len(PLACES) > 15
    for section in ("1, training", "2, the approximate", "3, Sobel", "4, the network"):
        assert f"**{section}" in PAGE


@pytest.mark.parametrize(("file", "name"), PLACES, ids=lambda value: value)
def test_a_named_place_exists(file, name):
    path = ROOT / file if (ROOT / file).exists() else ROOT / "gradnet_tf" / file
    assert path.exists(), file
    assert name in names_in(path), f"{file} has no {name}"


def test_the_numbers_of_steps_are_those_of_the_form():
    form = FORMS["paper"]
    assert f"{form.steps_for([(480, 640)] * 779):,} steps (NYUv2)" in PAGE
    assert f"{form.steps_for([(3000, 5328)] * 302):,} (SIDD)" in PAGE
    epoch = form.steps_for([(480, 640)] * 779) // PAPER_RECIPE.epochs
    assert f"makes 50 epochs of {epoch} steps" in PAGE


def test_the_cost_of_a_step_is_that_of_its_convolutions():
    model = build_model("gradnet")

    def multiplications(network):
        # The 1×1 convolutions of the attention run once per image.
        shapes = [weight.shape for weight in network.weights]
        return sum(math.prod(shape) for shape in shapes if len(shape) == 4 and shape[0] == 3)

    naive = multiplications(model.naive_denoiser)
    rest = multiplications(model) - naive
    cost = 2 * 80 * 80 * (naive + 3 * rest) / 1e9
    for page in ("performance.md", "recipes.md"):
        assert f"costs {cost:.0f} GFLOP per crop of 80×80" in (ROOT / "docs" / page).read_text()


def test_what_other_sets_gave_is_not_called_the_papers():
    pages = [path.read_text("utf-8") for path in (ROOT / "docs").glob("*.md")]
    for name in ("fusion", "gradient"):
        info = json.loads((ROOT / f"docs/studies/{name}/study.json").read_text("utf-8"))
        sets = {info["train_set"], *info["sets"]}
        assert (info["form"]["name"] == "paper") == (sets == {"nyuv2", "sidd"})
        is_short = info["form"]["name"] == "short"
        assert is_short == any(f"{name}_study --form=short" in " ".join(p.split()) for p in pages)
    section = (ROOT / "docs/results.md").read_text("utf-8").partition("## Where to fuse")[2]
    words = " ".join(section.partition("\n## ")[0].split())
    assert "trained on BSDS500" in words and "The paper trains on NYUv2 and SIDD instead" in words


def test_every_difference_of_the_sources_has_a_switch_or_a_reason():
    rows = [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|"))]
        for line in SOURCES.partition("## What the readings give")[0].splitlines()
        if line.startswith("|") and not line.startswith("|--")
    ]
    points = {row[0]: row[-1] for row in rows if row[-1] != "switch"}
    assert all(len(row) == 5 for row in rows)
    assert all(len(switch) > 3 for switch in points.values()), points
    # What the networks of the authors' code have that those of the paper have not.
    for point in ("SKDnCNN's output", "GradNet-II", "GradNet-IV", "ResUnit"):
        assert "`fusion_study --" in points[point] or "gradient study" in points[point]


def test_fixed_filters_are_not_said_to_win_where_the_interval_includes_zero():
    page = (ROOT / "docs/results.md").read_text("utf-8")
    section = page.partition("## Which gradient")[2].partition("\n## ")[0]
    table, _, said = section.partition("**What it says.**")
    row = next(line for line in table.splitlines() if line.startswith("| Sobel | learned |"))
    found = re.findall(r"<br>(?:−)([\d.]+) ± ([\d.]+)", row)  # a bold one would begin with **
    assert len(found) == 2 and all(float(width) > float(worse) for worse, width in found)
    low, high = sorted(worse for worse, _ in found)
    width = max(width for _, width in found)
    words = " ".join(said.split())
    assert "beat learned" not in words
    assert (
        f"Sobel filter is {low} to {high} dB worse on average, but the interval of that difference "
        f"(± {width}) includes zero" in words
    )
