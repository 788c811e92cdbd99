"""The quick start of the command: what is left unimported, and that nothing else changes."""

import gc
import importlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from gradnet_tf.denoiser import load_denoiser
from gradnet_tf.utils import framework_start as module
from gradnet_tf.utils.framework_start import UNUSED, quick_start

FRAMEWORKS = ("keras", "tensorflow", "jax")
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def photo(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (37, 52, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), pixels)
    return tmp_path / "a.png"


def run_fresh(code, *arguments, **environment):
    """Runs `code` in a new process; returns what the JSON of its last line says."""
    done = subprocess.run(
        [sys.executable, "-c", "import gc, json, sys\n" + code, *map(str, arguments)],
        env={**os.environ, **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_what_needs_no_network_imports_no_framework(photo):
    code = f"""
from gradnet_tf.cli import main as cli
source, output = sys.argv[1:]
codes = [
    cli.main(["models"]),
    cli.main(["models", "default"]),
    cli.main(["denoise", source, "--output", output, "--dry-run"]),
    cli.main(["denoise", source, "--output", output, "--strength=0"]),
    cli.main(["denoise", source, "--output", output, "--model=opencv_nlm", "--overwrite"]),
]
print(json.dumps([codes, [name for name in {FRAMEWORKS} if name in sys.modules]]))
"""
    assert run_fresh(code, photo, photo.parent / "out") == [[0] * 5, []]


def test_what_windows_lacks_is_not_needed(photo):
    # Stands in for Windows on Linux; file systems that refuse to rename open files are not covered.
    code = """
import builtins, io, os, signal
for name in ("sysconf", "sched_getaffinity", "fork", "register_at_fork", "O_NONBLOCK", "statvfs"):
    delattr(os, name)
for name in ("SIGHUP", "SIGKILL", "SIGPIPE", "SIGALRM", "setitimer", "pthread_sigmask"):
    delattr(signal, name)
sys.modules |= dict.fromkeys(("fcntl", "resource", "pwd", "grp", "termios"))
def open_unless(file, *rest, plain=io.open, **more):
    if str(file).startswith(("/proc", "/sys")):
        raise FileNotFoundError(file)
    return plain(file, *rest, **more)
builtins.open = io.open = open_unless
from gradnet_tf.cli import main as cli
source, output = sys.argv[1:]
command = ["denoise", source, "--output", output, "--model=gradnet_tiny", "--jobs=2"]
codes = [cli.main(command), cli.main(["noise", source]), cli.main([*command, "--preview"])]
print(json.dumps(codes))
"""
    assert run_fresh(code, photo, photo.parent / "out") == [0, 0, 0]
    assert (photo.parent / "out/a.png").is_file()


def test_the_command_leaves_the_unused_out_and_gives_the_same_bits(photo, tmp_path):
    code = f"""
from gradnet_tf.cli import main as cli
flags = ["--model=gradnet_tiny", "--runtime=keras"]
code = cli.main(["denoise", sys.argv[1], "--output", sys.argv[2], *flags])
unused = [name for name in {UNUSED} if name in sys.modules]
import matplotlib  # hidden no longer
print(json.dumps([code, unused, gc.isenabled(), gc.get_freeze_count()]))
"""
    output = tmp_path / "out"
    found = run_fresh(code, photo, output, KERAS_BACKEND="tensorflow")
    code, unused, enabled, frozen = found
    assert (code, unused, enabled) == (0, [], True)
    assert frozen > 100_000
    expected = load_denoiser("gradnet_tiny", runtime="keras")(cv2.imread(str(photo))[..., ::-1])
    np.testing.assert_array_equal(cv2.imread(str(output / "a.png"))[..., ::-1], expected)


@pytest.mark.parametrize(
    "command",
    [
        "train.py --preset=gradnet_tiny --steps=1 --batch_size=1 --crop_size=24 --warmup_steps=0"
        " --naive_steps=0 --joint --workdir=OUT",
        "evaluate.py --model=gradnet_tiny --runtime=keras --output=OUT",
    ],
)
def test_programs_that_need_keras_leave_the_unused_out_too(command, make_images, tmp_path):
    make_images("photos", ["a.png", "b.png"], (48, 64))
    code = f"""
import runpy
sys.argv = sys.argv[1:]
code = 0
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
except SystemExit as end:
    code = end.code or 0
print(json.dumps([code, [name for name in {UNUSED} if name in sys.modules]]))
"""
    command = command.replace("OUT", str(tmp_path / "out"))
    command += f" --dataset=folder --data_dir={tmp_path / 'photos'}"
    found = run_fresh(code, *command.split(), KERAS_BACKEND="tensorflow", PYTHONPATH=str(ROOT))
    assert found == [0, []]


@pytest.fixture
def fresh(monkeypatch):
    """This process as if neither Keras nor a module that stands for a plotting package were in."""
    for name in ("keras", "tensorflow", "colorsys"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(module, "UNUSED", ("colorsys",))


def test_inside_the_block_the_unused_is_not_found_and_nothing_collected(fresh):
    with quick_start():
        assert not gc.isenabled()
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module("colorsys")
    assert gc.isenabled()
    assert importlib.import_module("colorsys").rgb_to_hls(0, 0, 0) == (0, 0, 0)


def test_an_error_inside_undoes_it_too(fresh):
    with pytest.raises(RuntimeError, match="no such model"), quick_start():
        raise RuntimeError("no such model")
    assert gc.isenabled() and "colorsys" not in sys.modules


def test_what_is_imported_already_stays(fresh):
    colorsys = importlib.import_module("colorsys")
    with quick_start():
        assert importlib.import_module("colorsys") is colorsys
    assert sys.modules["colorsys"] is colorsys


def test_a_collector_that_was_off_stays_off(fresh):
    gc.disable()
    try:
        with quick_start():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_somebody_elses_program_is_left_alone(fresh, monkeypatch):
    monkeypatch.setitem(sys.modules, "keras", object())
    frozen = gc.get_freeze_count()
    with quick_start():
        assert gc.isenabled()
        importlib.import_module("colorsys")
    assert gc.get_freeze_count() == frozen


@pytest.mark.parametrize(
    ("environment", "settings", "expected"),
    [
        ({"KERAS_BACKEND": "jax"}, '{"backend": "tensorflow"}', "jax"),
        ({}, '{"backend": "jax"}', "jax"),
        ({}, "{}", "tensorflow"),
        ({}, "[]", "tensorflow"),
        ({}, "not JSON", "tensorflow"),
        ({}, None, "tensorflow"),
    ],
)
def test_the_backend_in_use_is_never_hidden(
    fresh, monkeypatch, tmp_path, environment, settings, expected
):
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    if settings is not None:
        (tmp_path / "keras.json").write_text(settings)
    monkeypatch.delitem(sys.modules, "jax", raising=False)
    monkeypatch.setattr(module, "UNUSED", ("jax",))
    with quick_start():
        assert ("jax" in sys.modules) == (expected != "jax")


def test_two_captures_of_standard_error_wait_for_each_other(tmp_path):
    """Overlapping ones would restore each other's temporary file, and all later text be lost."""
    code = """
import os, re, threading, time
from gradnet_tf.images.jpeg import decoder_lines
from gradnet_tf.utils.framework_start import quiet_native_logs
inside, order = threading.Event(), []
def second():
    inside.wait()
    with quiet_native_logs():
        order.append("second in")
    order.append("second out")
thread = threading.Thread(target=second)
thread.start()
with decoder_lines(re.compile(b"x")):
    inside.set()
    time.sleep(0.3)
    order.append("first out")
thread.join()
os.write(2, b"seen")
print(json.dumps(order))
"""
    command = [sys.executable, "-c", "import json\n" + code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == ["first out", "second in", "second out"]
    assert done.stderr == "seen"


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="the system has no files in memory")
def test_capturing_needs_no_folder_for_temporary_files(monkeypatch, capfd):
    def nowhere(*_, **__):
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(tempfile, "TemporaryFile", nowhere)
    with module.quiet_native_logs():
        os.write(2, b"unwanted")
    os.write(2, b"wanted")
    assert capfd.readouterr().err == "wanted"


def test_a_user_without_a_home_has_the_usual_backend(monkeypatch):
    def nobody(_):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.delenv("KERAS_HOME", raising=False)
    monkeypatch.setattr(Path, "expanduser", nobody)
    assert module._backend() in ("tensorflow", "jax")
