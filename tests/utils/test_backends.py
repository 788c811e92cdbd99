"""TensorFlow and JAX give the same numbers for the same weights; other backends are refused."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="JAX is not installed")
def test_tensorflow_and_jax_agree(tmp_path):
    outputs = {}
    for backend in ("tensorflow", "jax"):
        path = tmp_path / f"{backend}.npz"
        environment = {
            **os.environ,
            "KERAS_BACKEND": backend,
            "PYTHONPATH": str(ROOT),
            "TF_CPP_MIN_LOG_LEVEL": "3",
        }
        command = [
            sys.executable,
            str(ROOT / "tests/helpers/backend_outputs.py"),
            str(tmp_path),
            str(path),
        ]
        subprocess.run(command, check=True, env=environment, timeout=600)
        outputs[backend] = dict(np.load(path))
    ours, theirs = outputs["tensorflow"], outputs["jax"]
    assert ours.pop("modules") and not theirs.pop("modules"), "JAX must not need TensorFlow"
    noisy = ours.pop("noisy")
    for name, value in ours.items():
        np.testing.assert_allclose(theirs[name], value, atol=1e-5, rtol=0, err_msg=name)
    # The agreement is not the global skip alone.
    assert np.abs(ours["gradnet_small"] - noisy).max() > 0.01


COMMANDS = {
    "train": ["train.py", "--preset=gradnet_tiny", "--workdir={tmp}/out"],
    "evaluate": ["evaluate.py", "--model=gradnet_tiny", "--max_images=1", "--output={tmp}/out"],
    "export": ["-m", "export", "--model=gradnet_tiny", "--output={tmp}/out"],
    "gradnet": ["-m", "gradnet_tf", "denoise", "{tmp}/a.png", "--output={tmp}/made"],
}


@pytest.mark.parametrize(
    ("command", "backend"), [*((name, "tensorfow") for name in COMMANDS), ("evaluate", "torch")]
)
def test_a_backend_that_is_none_of_ours_is_explained(tmp_path, command, backend):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((4, 4, 3), np.uint8))
    done = subprocess.run(
        [sys.executable, *(part.format(tmp=tmp_path) for part in COMMANDS[command])],
        cwd=ROOT,
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 2, done.stderr
    first, second = done.stderr.splitlines()
    assert first.startswith("error: ")
    assert first.endswith("the networks run on the Keras backends tensorflow and jax.")
    assert second == f"Received: KERAS_BACKEND={backend}"
    assert not (tmp_path / "out").exists()


#: Stands before a program: no framework can be found, as in an environment with LiteRT only.
WITHOUT = """
import importlib.abc, sys
BLOCKED = ({"tensorflow", "jax", "torch"} | set(sys.argv[1:])) - set(sys.argv[1:2])
class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: (
    None if name.partition(".")[0] in BLOCKED else found(name, package)
)
sys.meta_path.insert(0, Blocked())
"""


def run_without(code, *blocked, allowed="", where=ROOT):
    environment = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    return subprocess.run(
        [sys.executable, "-c", WITHOUT + code, allowed, *blocked],
        cwd=where,
        env={**environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_with_litert_alone_everything_can_be_imported_and_asked_for_help():
    done = run_without(
        "from gradnet_tf import *\n"
        "import gradnet_tf, inspect, pydoc\n"
        "assert not {'keras', 'tensorflow'} & set(sys.modules)\n"
        "print(Denoiser('gradnet_tiny').runtime, 'GradNet' in gradnet_tf.__all__)\n"
        "print(len(pydoc.render_doc(gradnet_tf)) > 1000)\n"
        "print([name for name, _ in inspect.getmembers(gradnet_tf) if name == 'Denoiser'])\n"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "litert False\nTrue\n['Denoiser']\n"


def test_with_a_framework_the_networks_are_among_the_names():
    done = run_without(
        "import gradnet_tf\nprint('GradNet' in gradnet_tf.__all__, 'GradNet' in dir(gradnet_tf))",
        allowed="tensorflow",
    )
    assert (done.returncode, done.stdout) == (0, "True True\n"), done.stderr


@pytest.mark.parametrize(
    ("arguments", "missing", "extra"),
    [
        (("--model=gradnet_tiny", "--runtime=keras"), "keras_is_there", "tensorflow"),
        (("--model=gradnet_tiny", "--runtime=litert"), "ai_edge_litert", "litert"),
        (("--model=gradnet_tiny", "--runtime=openvino"), "openvino", "openvino"),
        (("--model=model.keras",), "openvino", "tensorflow"),
        (("--model=model.safetensors",), "safetensors", "tensorflow"),
        (("--model=model.tflite",), "ai_edge_litert", "litert"),
    ],
)
def test_what_is_missing_is_named_by_its_extra(tmp_path, arguments, missing, extra):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((4, 4, 3), np.uint8))
    for name in ("model.keras", "model.safetensors"):
        (tmp_path / name).write_bytes(b"PK\3\4")
    (tmp_path / "model.tflite").write_bytes(b"\x1c\0\0\0TFL3")
    done = run_without(
        "sys.argv[1:] = ['denoise', 'a.png', '--output=out', *" + repr(arguments) + "]\n"
        "from gradnet_tf.cli.main import main\nsys.exit(main())",
        missing,
        where=tmp_path,
    )
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    assert f'pip install ".[{extra}]" in a checkout' in done.stderr, done.stderr


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        ((), 'gradnet_small_color_s25 needs TensorFlow or JAX: pip install ".[tensorflow]"'),
        (("ai_edge_litert", "openvino"), 'is installed: pip install ".[litert]" in a checkout'),
    ],
)
def test_the_list_of_models_names_what_cannot_run(missing, words):
    code = "sys.argv[1:] = ['models']\nfrom gradnet_tf.cli.main import main\nsys.exit(main())"
    done = run_without(code, *missing)
    assert done.returncode == 0 and words in done.stdout, done.stdout + done.stderr
    with_all = run_without(code, allowed="tensorflow").stdout
    assert "pip install" not in with_all and "gradnet_small_color_s25" in with_all
