"""The ARM64 check without ARM64: what it compares and refuses; `make arm64-check` runs it."""

import subprocess
import types

import numpy as np
import pytest
import tensorflow as tf
from tiny_run import tiny_model

from export.savedmodel.saved_model import write_saved_model
from export.verify.checks import CheckFailed
from gradnet_tf.utils.errors import UserError
from tools import arm64_process, checks_arm64
from tools.checks_arm64 import (
    PROCESSORS,
    check,
    decibels,
    inputs_for,
    kind_of,
    main,
    make_root,
    pinned_wheels,
    require_tools,
    run_python,
)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A file of any size with one signature."""
    folder = tmp_path_factory.mktemp("arm64")
    write_saved_model(tiny_model(), folder / "saved_model")
    converter = tf.lite.TFLiteConverter.from_saved_model(
        str(folder / "saved_model"), signature_keys=["serving_default"]
    )
    (folder / "gradnet_tiny_float32.tflite").write_bytes(converter.convert())
    return folder / "gradnet_tiny_float32.tflite"


class Signatures:
    """Stands in for a file with signatures: notes what each is given."""

    def __init__(self, names, asked):
        self.names, self.asked = names, asked

    def __call__(self, model_path, num_threads):
        return self

    def get_signature_list(self):
        return self.names

    def get_signature_runner(self, name):
        def run(**given):
            self.asked[name] = {key: value.shape for key, value in given.items()}
            output = "attention_0" if name == "attention" else "denoised"
            return {output: np.full((1, 1, 1, 4), len(name), np.float32)}

        return run


def natively(change):
    """Stands in for the emulation: the same program here, its outputs changed by `change`."""

    def run(root, processor, script, folder):
        guest = root / folder.lstrip("/")
        with np.load(guest / "inputs.npz") as arrays:
            given = dict(arrays)
        (file,) = guest.glob("*.tflite")
        outputs = arm64_process.run_file(file, given, threads=1)
        np.savez(guest / f"{file.stem}.outputs.npz", **{k: change(v) for k, v in outputs.items()})
        told = f'{{"machine": "aarch64", "seconds": {{"{file.name}": 1.0}}}}'
        return types.SimpleNamespace(returncode=0, stdout=told, stderr="")

    return run


def test_equal_outputs_pass_and_leave_nothing_behind(path, tmp_path, monkeypatch):
    monkeypatch.setattr(checks_arm64, "run_python", natively(lambda values: values))
    lines = check([path], tmp_path, list(PROCESSORS))
    assert [line.split()[:3] for line in lines] == [[path.name, name, "inf"] for name in PROCESSORS]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("change", [lambda v: v + 1e-4, lambda v: v * np.nan])
def test_other_outputs_fail_with_the_figures(path, tmp_path, monkeypatch, change):
    monkeypatch.setattr(checks_arm64, "run_python", natively(change))
    with pytest.raises(CheckFailed, match=r"dB, at least 110 expected"):
        check([path], tmp_path, ["cortex-a53"])


def test_one_nan_output_of_several_fails():
    expected = {"attention_0": np.zeros(3), "denoised": np.zeros(3)}
    found = {"attention_0": np.full(3, 1e-7), "denoised": np.full(3, np.nan)}
    report = {"machine": "aarch64", "seconds": {"x_float32.tflite": 1.0}}
    line, fault = checks_arm64._compare("x_float32.tflite", expected, found, report)
    assert "nan" in line and "at least" in fault


def test_a_run_elsewhere_or_none_is_no_success(path, tmp_path, monkeypatch):
    def elsewhere(*arguments):
        done = natively(lambda values: values)(*arguments)
        done.stdout = done.stdout.replace("aarch64", "x86_64")
        return done

    monkeypatch.setattr(checks_arm64, "run_python", elsewhere)
    with pytest.raises(CheckFailed, match="ran on x86_64"):
        check([path], tmp_path, ["cortex-a76"])
    dead = types.SimpleNamespace(returncode=132, stdout="", stderr="qemu: Illegal instruction")
    monkeypatch.setattr(checks_arm64, "run_python", lambda *_: dead)
    with pytest.raises(CheckFailed, match="Illegal instruction"):
        check([path], tmp_path, ["cortex-a76"])


def test_inputs_fit_files_of_any_size(path):
    given = inputs_for(path)
    assert given["images"].shape == (1, 64, 64, 3) and given["crop"].shape == (1, 80, 80, 3)
    assert arm64_process.run_file(path, given, 1)["denoised"].shape == (1, 64, 64, 3)


@pytest.mark.parametrize("fixed", [True, False])
def test_every_signature_runs_and_tiles_take_the_vectors(monkeypatch, fixed):
    asked, images = {}, {"inputs": ["images"]}
    given = {"inputs": ["images", "attention_0"]}
    names = {"attention": images, "serving_default": given if fixed else images}
    names |= {} if fixed else {"tile": given}
    monkeypatch.setattr(arm64_process, "Interpreter", Signatures(names, asked))
    sides = {"images": 64, "window": 116, "crop": 80}
    arrays = {name: np.zeros((1, side, side, 3), np.float32) for name, side in sides.items()}
    outputs = arm64_process.run_file("file.tflite", arrays, 1)
    window = {"images": (1, 116, 116, 3), "attention_0": (1, 1, 1, 4)}
    assert asked["attention"] == {"images": (1, 80, 80, 3)}
    assert asked["serving_default"] == (window if fixed else {"images": (1, 64, 64, 3)})
    assert fixed or asked["tile"] == window
    assert set(outputs) == {"attention_0", "denoised"} | (set() if fixed else {"tile_denoised"})


def test_each_kind_of_file_has_its_measure():
    names = {"a_float16_tile256.tflite": "float16", "b_int8.tflite": "int8", "c.tflite": "float32"}
    assert {name: kind_of(name) for name in names} == names
    assert decibels(np.array([0.1]), np.array([0.0])) == pytest.approx(20)
    assert decibels(np.ones(3), np.ones(3)) == np.inf


def test_missing_programs_and_rights_are_reported(monkeypatch):
    monkeypatch.setattr(checks_arm64.shutil, "which", lambda name: None)
    with pytest.raises(UserError, match="qemu-aarch64-static, debootstrap.*make arm64-setup"):
        require_tools()
    monkeypatch.setattr(checks_arm64.shutil, "which", lambda name: name)
    monkeypatch.setattr(checks_arm64.os, "geteuid", lambda: 1000)
    with pytest.raises(UserError, match="need root"):
        require_tools()


def test_a_file_that_is_not_there_is_named_before_anything_is_made(tmp_path):
    with pytest.raises(UserError, match="none.tflite: no such file"):
        main([str(tmp_path / "none.tflite"), f"--root={tmp_path / 'root'}"])
    assert not (tmp_path / "root").exists()


def test_the_folder_is_made_once_and_again_for_other_parts(tmp_path, monkeypatch):
    root, calls = tmp_path / "root", []

    def run(command):
        calls.append(command[0])
        root.mkdir(exist_ok=True)

    monkeypatch.setattr(checks_arm64, "_run", run)
    monkeypatch.setattr(checks_arm64.shutil, "copy", lambda *_: None)
    for _ in range(2):
        make_root(root)
    assert calls == ["debootstrap", checks_arm64.sys.executable]
    (root / checks_arm64.DONE).write_text("older parts")
    (root / "old").write_text("x")
    make_root(root)
    assert len(calls) == 4 and not (root / "old").exists()


def test_a_program_that_fails_says_why():
    with pytest.raises(UserError, match="failed with exit code 3: no such mirror"):
        checks_arm64._run(["sh", "-c", "echo no such mirror >&2; exit 3"])


def test_the_processor_that_qemu_plays_is_the_one_described(tmp_path, monkeypatch):
    """XNNPACK goes by the part number: another than QEMU's ends in illegal instructions."""
    commands = []
    monkeypatch.setattr(subprocess, "run", lambda command, **_: commands.append(command))
    for name, (part, features) in PROCESSORS.items():
        run_python(tmp_path, name, "/check/process.py", "/check")
        described = (tmp_path / "proc/cpuinfo").read_text()
        assert described.count(f"CPU part\t: {part}") == checks_arm64.CORES
        assert ("asimddp" in described) == ("asimddp" in features) == (name == "cortex-a76")
        command = commands[-1]
        assert command[command.index("-cpu") + 1] == name
        assert command[-2:] == ["/check/process.py", "/check"]
    assert (tmp_path / "sys/devices/system/cpu/possible").read_text() == "0-1\n"
    assert [wheel.split("==")[0] for wheel in pinned_wheels()] == ["ai-edge-litert", "numpy"]


@pytest.mark.parametrize("files", [{"letters.txt": "dear"}, {"etc/passwd": "root", "usr/x": ""}])
@pytest.mark.parametrize("through", ["make_root", "--remove", "a link"])
def test_a_folder_that_was_not_made_here_is_not_deleted(
    tmp_path, path, monkeypatch, capsys, files, through
):
    root = tmp_path / "mine"
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    monkeypatch.setattr(checks_arm64, "_run", lambda command: pytest.fail("debootstrap ran"))
    monkeypatch.setattr(checks_arm64, "require_tools", lambda: None)
    given = root
    if through == "a link":
        given = tmp_path / "link"
        given.symlink_to(root)
    with pytest.raises(UserError, match=f"--root={given}"):
        if through == "--remove":
            main([str(path), f"--root={given}", "--remove"])
        else:
            make_root(given)
    assert {name: (root / name).read_text() for name in files} == files


def test_a_root_that_was_begun_is_made_again(tmp_path, monkeypatch):
    def fail(command):
        raise UserError("no mirror")

    monkeypatch.setattr(checks_arm64, "_run", fail)
    for _ in range(2):
        with pytest.raises(UserError, match="no mirror"):
            make_root(tmp_path / "root")
    assert checks_arm64.require_own_root(tmp_path / "root") is None
