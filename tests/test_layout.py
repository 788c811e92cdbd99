"""The layout: folders of a size to look over, unique names, imports that only run downwards."""

import ast
import collections
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PARTS = ("gradnet_tf", "datasets", "export", "experiments", "benchmarks", "demo", "tools")
MOST_MODULES = 12

# The packages of gradnet_tf, the lowest first: each may import itself and what stands before it.
ORDER = (
    "utils",
    "images",
    "degradations",
    "weights",
    "analysis",
    "layers",
    "models",
    "tiling",
    "runtimes",
    "loading",
    "denoiser",
    "steering",
    "training",
    "evaluation",
    "curves",
    "reporting",
    "cli",
    "batch",
    "__main__",
)
UPWARD: set[tuple[str, str]] = set()


def module_files() -> dict[str, Path]:
    """Returns the project's modules by their dotted names, without the tests."""
    paths = [path for part in PARTS for path in (ROOT / part).rglob("*.py")]
    names = {}
    for path in sorted([*paths, *ROOT.glob("*.py")]):
        if "node_modules" not in path.parts:
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            names[name.removesuffix(".__init__")] = path
    return names


FILES = module_files()


class _Running(ast.NodeTransformer):
    """Leaves out what stands under `if TYPE_CHECKING:`: it is for type checkers and never runs."""

    def visit_If(self, node):
        self.generic_visit(node)
        checked = isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        return node.orelse if checked else node


def imports_of(name: str) -> set[str]:
    """Returns the project's modules that a module imports, anywhere in what runs of it."""
    found = set()
    for node in ast.walk(_Running().visit(ast.parse(FILES[name].read_text(encoding="utf-8")))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            # `from package import name`: a module, or what the package's own file defines.
            found |= whole & FILES.keys() or {node.module}
    return found & FILES.keys() - {name}


@pytest.fixture(scope="module")
def graph() -> dict[str, set[str]]:
    return {name: imports_of(name) for name in FILES}


def package_of(name: str) -> str:
    """Returns the part of a name below gradnet_tf that `ORDER` lists."""
    return name.split(".")[1]


def circles(graph: dict[str, set[str]]) -> set[str]:
    """Returns the modules that are left once all that lead nowhere, or are led to by none, go."""
    left = {name: set(targets) for name, targets in graph.items()}
    while True:
        ends = {name for name in left if not left[name] & left.keys()}
        reached = set().union(*left.values()) if left else set()
        ends |= left.keys() - reached
        if not ends:
            return set(left)
        for name in ends:
            del left[name]


def test_circles_are_found():
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set()}
    assert circles(graph) == {"b", "c"}
    assert circles({"a": {"b"}, "b": set()}) == set()


def test_no_imports_run_in_circles(graph):
    assert circles(graph) == set()


def test_imports_inside_the_library_run_downwards(graph):
    upward = set()
    for name, targets in graph.items():
        if not name.startswith("gradnet_tf."):
            continue
        own = ORDER.index(package_of(name))
        inside = {target for target in targets if target.startswith("gradnet_tf.")}
        upward |= {(name, target) for target in inside if ORDER.index(package_of(target)) > own}
    assert upward == UPWARD


def test_folders_can_be_looked_over():
    counts = collections.Counter(
        path.parent.relative_to(ROOT).as_posix()
        for path in FILES.values()
        if not path.stem.startswith("__")
    )
    assert {folder: count for folder, count in counts.items() if count > MOST_MODULES} == {}


def test_every_module_has_a_name_of_its_own():
    places = collections.defaultdict(list)
    tests = [path for path in (ROOT / "tests").rglob("*.py") if path.name != "conftest.py"]
    for path in [*FILES.values(), *tests]:
        if not path.stem.startswith("__"):
            places[path.stem].append(path.relative_to(ROOT).as_posix())
    assert {name: found for name, found in places.items() if len(found) > 1} == {}
