"""The public names are typed: a client's script passes `mypy --strict`, and wrong calls do not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mypy")

ROOT = Path(__file__).resolve().parents[2]
CLIENT = Path(__file__).with_name("client.py")


def check(path, cache):
    """Runs mypy as on a program beside the installed package, whose own errors are not shown."""
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent"]
    command += ["--no-error-summary", f"--cache-dir={cache}", "--ignore-missing-imports"]
    return subprocess.run(
        [*command, str(path)],
        cwd=cache,
        env={**os.environ, "MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("mypy")


def test_a_client_passes_the_strictest_check(cache):
    done = check(CLIENT, cache)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


@pytest.mark.parametrize(
    ("right", "wrong", "code"),
    [
        ('runtime="litert"', "runtime=3", "arg-type"),
        ('TileConfig("auto",', "TileConfig(0.5,", "arg-type"),
        ("strength=0.8", 'strength="much"', "arg-type"),
        ("denoiser.channels\n", "denoiser.colours\n", "attr-defined"),
        ("quality=95", 'quality="95"', "arg-type"),
        ("num_layers=5", "num_layers=None", "arg-type"),
    ],
)
def test_a_wrong_call_is_found(cache, tmp_path, right, wrong, code):
    text = CLIENT.read_text("utf-8")
    assert text.count(right) == 1
    (tmp_path / "client.py").write_text(text.replace(right, wrong), "utf-8")
    done = check(tmp_path / "client.py", cache)
    assert done.returncode == 1 and f"[{code}]" in done.stdout


def test_the_package_says_that_it_is_typed():
    assert (ROOT / "gradnet_tf" / "py.typed").is_file()
