"""The house rules: who may import whom, what may be installed, what may be tracked."""

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

from gradnet_tf import weights

ROOT = Path(__file__).resolve().parent.parent

# Programs stand at the top, the library at the bottom; each part may import itself and what is
# listed for it.
PROGRAMS = ("train", "evaluate", "experiments", "benchmarks", "demo", "tools")
MAY_IMPORT = {
    "gradnet_tf": {"gradnet_tf"},
    "datasets": {"datasets", "gradnet_tf"},
    "export": {"export", "gradnet_tf"},
    **{program: {program, "datasets", "export", "gradnet_tf"} for program in PROGRAMS},
}
OURS = set(MAY_IMPORT)

# The only modules that may import TensorFlow; everything else runs on any Keras backend.
MAY_IMPORT_TENSORFLOW = (
    "benchmarks/speed/training_cell.py",
    "datasets/pipeline/tf_pipeline.py",
    "datasets/commands/service.py",
    "datasets/pipeline/service_*.py",
    "datasets/shards/shard_writer.py",
    "export/*.py",
    "gradnet_tf/runtimes/*_runtime.py",
    "gradnet_tf/training/*_tensorflow.py",
    "tools/stand_in_*.py",
)
# The same for JAX.
MAY_IMPORT_JAX = (
    "benchmarks/speed/training_cell.py",
    "gradnet_tf/training/engines/device_batches.py",
    "gradnet_tf/training/engines/engine_jax.py",
)
# Written with keras.ops or plain arithmetic alone.
ANY_BACKEND = (
    "gradnet_tf/layers/*.py",
    "gradnet_tf/models/*.py",
    "gradnet_tf/evaluation/metrics.py",
    "gradnet_tf/degradations/gaussian.py",
)
BACKENDS = {"tensorflow", "jax", "torch"}

# Measured beside our networks where somebody has it; nothing needs it.
OPTIONAL = {
    "benchmarks/speed/contenders.py": {"torch", "onnxruntime", "openvino"},
    "benchmarks/speed/programs.py": {"bm3d", "torch"},
    "benchmarks/speed/torch_gradnet.py": {"torch"},
    "benchmarks/speed/training_cell.py": {"torch"},
    "tools/docs_site.py": {"mkdocs"},
}

# Distribution names where they differ from the module's.
DISTRIBUTIONS = {
    "absl": "absl-py",
    "apache_beam": "apache-beam",
    "cv2": "opencv-python-headless",
    "skimage": "scikit-image",
    "PIL": "pillow",
    "sklearn": "scikit-learn",
    "ai_edge_litert": "ai-edge-litert",
    "grpc": "grpcio",
    "huggingface_hub": "huggingface-hub",
    "tensorflow_datasets": "tensorflow-datasets",
    "tensorflow_serving": "tensorflow-serving-api",
}

#: Parts whose code runs before or after a network for each picture or tile.
BESIDE_NETWORK = ("cli", "images", "runtimes", "tiling")


def project_files() -> list[Path]:
    """Returns what git tracks or would track, relative to the root."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listing.returncode != 0:
        pytest.skip("the project is not inside a git repository")
    names = [Path(name) for name in listing.stdout.split("\0") if name]
    return [name for name in names if (ROOT / name).is_file()]


def modules(*patterns: str) -> list[str]:
    """Returns the Python files of the project's own parts, as posix paths from the root."""
    found = [ROOT / f"{part}.py" for part in OURS if (ROOT / f"{part}.py").is_file()]
    for part in OURS:
        found += (ROOT / part).rglob("*.py")
    names = sorted(path.relative_to(ROOT).as_posix() for path in found)
    return [name for name in names if not patterns or any(fnmatch(name, p) for p in patterns)]


def imported(name: str) -> set[str]:
    """Returns the top-level names that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse((ROOT / name).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module.split(".")[0])
    return names


def run_alone(tmp_path: Path, code: str) -> dict:
    """Runs `code` where only gradnet_tf can be found; returns the JSON of its last line."""
    (tmp_path / "gradnet_tf").symlink_to(ROOT / "gradnet_tf", target_is_directory=True)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def requirement_names(lines: list[str]) -> set[str]:
    """Returns the normalised distribution names of requirement lines."""
    stripped = (line.split("#")[0].strip() for line in lines)
    names = (re.match(r"[A-Za-z0-9._-]+", line) for line in stripped if line[:1].isalnum())
    return {match[0].lower().replace("_", "-") for match in names}


def test_every_library_module_imports_without_the_rest_of_the_project(tmp_path):
    files = (name.removesuffix(".py").removesuffix("/__init__") for name in modules("gradnet_tf/*"))
    names = [file.replace("/", ".") for file in files]
    forbidden = sorted(OURS - {"gradnet_tf"}) + ["tensorflow_datasets"]
    code = f"""
import importlib, json, sys
for name in {names!r}:
    importlib.import_module(name)
print(json.dumps([name for name in {forbidden!r} if name in sys.modules]))
"""
    assert run_alone(tmp_path, code) == []


def test_importing_the_package_is_cheap(tmp_path):
    heavy = ["cv2", "jax", "keras", "numpy", "tensorflow"]
    code = f"""
import json, sys
import gradnet_tf
print(json.dumps([name for name in {heavy!r} if name in sys.modules]))
"""
    assert run_alone(tmp_path, code) == []


@pytest.mark.parametrize("part", sorted(OURS))
def test_imports_run_one_way(part):
    for name in modules(f"{part}.py", f"{part}/*"):
        # What is started with `python -m` composes the parts, as the scripts at the top do.
        allowed = MAY_IMPORT["train" if name.endswith("__main__.py") else part] | {part}
        wrong = imported(name) & OURS - allowed
        assert not wrong, f"{name} imports {sorted(wrong)}"


@pytest.mark.parametrize(
    ("backend", "patterns"), [("tensorflow", MAY_IMPORT_TENSORFLOW), ("jax", MAY_IMPORT_JAX)]
)
def test_a_backend_is_imported_by_the_listed_modules_only(backend, patterns):
    users = {name for name in modules() if imported(name) & {backend}}
    listed = set(modules(*patterns))
    assert users - listed == set()
    for pattern in patterns:
        assert any(fnmatch(name, pattern) for name in users), f"{pattern} is no longer needed"


def test_network_and_metrics_name_no_backend():
    names = modules(*ANY_BACKEND)
    assert names
    for name in names:
        assert not imported(name) & BACKENDS, name


def test_no_matrix_product_of_numpy_runs_between_two_networks():
    # OpenBLAS's threads go on waiting for work after a product and slow down what runs next.
    names = modules("gradnet_tf/denoiser.py", *(f"gradnet_tf/{part}/*" for part in BESIDE_NETWORK))
    assert len(names) > 30
    for name in names:
        for node in ast.walk(ast.parse((ROOT / name).read_text(encoding="utf-8"))):
            is_product = isinstance(node, ast.Attribute) and node.attr in ("dot", "matmul")
            is_product |= isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult)
            assert not is_product, f"{name}:{node.lineno}"


def test_no_tracked_file_names_a_path_of_one_machine():
    # A path starts where no part of an address or a relative path comes before it.
    local = re.compile(r"(?<![\w.~}/-])/(?:home|root|work|Users)/\w")
    found = []
    for name in project_files():
        try:
            text = (ROOT / name).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        lines = text.splitlines()
        found += [f"{name}:{n}" for n, line in enumerate(lines, 1) if local.search(line)]
    assert found == []


def test_requirements_keep_clear_of_clashing_packages():
    names = set()
    for file in ("requirements.txt", "requirements-dev.txt"):
        text = (ROOT / file).read_text(encoding="utf-8")
        names |= requirement_names(text.splitlines())
        # Lists that work anywhere name no index and no local file.
        assert not re.search(r"(?m)^\s*(-i|-f|--\w|https?:|file:|/|\.)", text), file
    assert names & {"datasets", "evaluate", "opencv-python", "opencv-contrib-python"} == set()


def test_what_is_imported_is_also_required():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    of_wheel = requirement_names(project["dependencies"] + [item for e in extras for item in e])
    pinned = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    development = (ROOT / "requirements-dev.txt").read_text(encoding="utf-8").splitlines()
    # The weights' file format: Keras requires h5py and would not work without it.
    of_wheel |= {"h5py"}
    of_project = of_wheel | requirement_names(pinned)
    for name in modules():
        foreign = imported(name) - OURS - sys.stdlib_module_names - OPTIONAL.get(name, set())
        needed = {DISTRIBUTIONS.get(module, module) for module in foreign}
        allowed = of_wheel if name.startswith("gradnet_tf/") else of_project
        assert needed <= allowed, f"{name} imports {sorted(needed - allowed)}"
    # What the wheel needs has its tried version in the list, and the checks have their tools.
    assert requirement_names(project["dependencies"]) <= requirement_names(pinned)
    assert {"pytest", "ruff"} <= requirement_names(development)


def test_wheel_holds_the_library_alone(tmp_path):
    for name in project_files():
        target = tmp_path / "source" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((ROOT / name).read_bytes())
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index"]
    command += ["--no-build-isolation", "--wheel-dir", str(tmp_path), str(tmp_path / "source")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    contents = subprocess.run(
        [sys.executable, "-m", "zipfile", "-l", str(wheel)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    held = {line.split()[0] for line in contents.splitlines()[1:]}
    assert {name.split("/")[0].split("-")[0] for name in held} == {"gradnet_tf"}
    library = {n.as_posix() for n in project_files() if n.parts[0] == "gradnet_tf"}
    assert library <= held
    assert wheel.stat().st_size < 40e6
    shipped = {name for name in held if name.startswith("gradnet_tf/weights/")}
    cards = {Path(name).stem for name in shipped if name.endswith(".json")}
    names = {name.removesuffix("_int8") for name in cards}  # cards of the same weights in 8 bits
    # What `gradnet denoise` takes by default is among them, and no card is without its weights.
    assert weights.DEFAULT in names
    assert {f"gradnet_tf/weights/{name}.weights.h5" for name in names} <= shipped
