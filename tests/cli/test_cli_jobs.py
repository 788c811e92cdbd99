"""`gradnet denoise --jobs`, and what Ctrl-C and a polite kill leave behind."""

import json
import signal
import subprocess
import sys
import threading

import cv2
import numpy as np
import photo_samples as files
import pytest
import tifffile
from denoise_case import gradnet, names, negative
from PIL import Image

from gradnet_tf.cli import denoise_files as module
from gradnet_tf.cli.denoise_files import denoise_files
from gradnet_tf.cli.denoise_plan import FileOptions, plan_jobs


@pytest.fixture
def photos(tmp_path):
    """Twelve photographs of all kinds, and two that cannot be read."""
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(6):
        size = 20 + 9 * number, 70 - 5 * number
        cv2.imwrite(str(folder / f"{number}.png"), files.noise(*size, 3, seed=number))
        cv2.imwrite(str(folder / f"{number}.jpg"), files.noise(*size, seed=number))
    tifffile.imwrite(folder / "deep.tif", files.noise(31, 40, dtype=np.uint16))
    Image.fromarray(files.noise(33, 21, 4)).save(folder / "alpha.webp", lossless=True)
    (folder / "broken.png").write_bytes((folder / "0.png").read_bytes()[:300])
    (folder / "empty.jpg").write_bytes(b"")
    return folder


def test_several_jobs_give_the_same_files_bit_for_bit(photos, tmp_path, run, capsys):
    printed = []
    for jobs in (1, 3):
        output = tmp_path / f"out{jobs}"
        flags = ["--model", run, "--tile=16", "--jobs", jobs]
        assert gradnet("denoise", photos, "--output", output, *flags) == 1
        out, err = capsys.readouterr()
        lines = [line.replace(str(output), "out").split("  ")[0] for line in out.splitlines()]
        assert lines[-1].startswith("14 written, 0 skipped, 2 failed, ")
        printed.append((sorted(lines[:-1]), sorted(err.splitlines())))
    assert printed[0] == printed[1] and len(printed[0][0]) == 14
    assert sum(line.startswith("failed: ") for line in printed[0][1]) == 2
    assert names(tmp_path / "out1") == names(tmp_path / "out3")
    for name in names(tmp_path / "out1"):
        assert (tmp_path / "out1" / name).read_bytes() == (tmp_path / "out3" / name).read_bytes()


@pytest.mark.parametrize("jobs", [1, 3])
def test_with_jobs_files_are_read_while_one_is_denoised(photos, tmp_path, jobs, monkeypatch):
    begun, beside = threading.Semaphore(0), []
    read = module.read_photo

    def recorded(*arguments):
        begun.release()
        return read(*arguments)

    def denoiser(pixels):
        if not beside:
            begun.acquire()  # For its own file.
            wait = 20 if jobs > 1 else 0.01
            beside.append(sum(begun.acquire(timeout=wait) for _ in range(jobs - 1)))
            assert not begun.acquire(blocking=False)  # And for no more than asked for.
        return negative(pixels)

    monkeypatch.setattr(module, "read_photo", recorded)
    plan = plan_jobs([str(photos)], str(tmp_path / "out"))
    assert denoise_files(plan, lambda _: denoiser, FileOptions(jobs=jobs)) == 1
    assert beside == [jobs - 1]


def test_large_pictures_wait_outside(photos, tmp_path, monkeypatch):
    """With no room beside it, a picture is on its way alone, whatever the jobs."""
    lock, held, most = threading.Lock(), [0], []
    read, write = module.read_photo, module.write_file

    def reads(*arguments):
        with lock:
            held[0] += 1
            most.append(held[0])
        try:
            return read(*arguments)
        except ValueError:
            held[0] -= 1
            raise

    def writes(*arguments):
        write(*arguments)
        with lock:
            held[0] -= 1

    monkeypatch.setattr(module, "read_photo", reads)
    monkeypatch.setattr(module, "write_file", writes)
    plan = plan_jobs([str(photos)], str(tmp_path / "out"))
    denoise_files(plan, lambda _: negative, FileOptions(jobs=4, waiting_memory=1.0))
    assert max(most) == 1 and len(most) == 16


@pytest.mark.parametrize("flag", [["--jobs", "0"], ["--jobs", "x"], ["--jobs", "1.5"]])
def test_wrong_numbers_of_jobs_are_reported(photos, tmp_path, flag, capsys):
    assert gradnet("denoise", photos, "--output", tmp_path / "out", *flag) == 2
    assert "--jobs: expected a whole number in [1, 64]" in capsys.readouterr().err


# The first file is written slowly, half of it at once.
SLOW = """
import pathlib, sys, threading, time
from gradnet_tf.cli import main as cli
waits, lock = [float(sys.argv[1])], threading.Lock()
def slowly(path, data):
    # Taken before anything is told: a signal may come right after, and threads come together.
    with lock:
        wait = waits[:1]
        waits.clear()
    with open(path, "wb") as file:
        file.write(data[:len(data) // 2])
        if wait:
            file.flush()
            print("half", flush=True)
            time.sleep(wait[0])
        file.write(data[len(data) // 2:])
pathlib.Path.write_bytes = slowly
sys.exit(cli.main(sys.argv[2:]))
"""


@pytest.mark.parametrize(
    ("stop", "jobs"), [(signal.SIGINT, 1), (signal.SIGTERM, 1), (signal.SIGINT, 3)]
)
def test_a_signal_while_a_file_is_written_leaves_no_half_file(photos, tmp_path, stop, jobs):
    """With one job the file is given up; threads finish theirs."""
    output = tmp_path / "out"
    (photos / "0.jpg").rename(photos / "00.jpg")
    old = b"the result of yesterday"
    output.mkdir()
    (output / "00.jpg").write_bytes(old)
    sleep = "60" if jobs == 1 else "0.5"
    flags = ["--strength=0", f"--jobs={jobs}", "--overwrite", f"--report={tmp_path / 'r.html'}"]
    command = [sys.executable, "-c", SLOW, sleep, "denoise", str(photos), "--output", str(output)]
    with subprocess.Popen(
        [*command, *flags], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "half\n"
        process.send_signal(stop)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 75
    assert err.splitlines()[-1].startswith("interrupted: no partial files were left")
    assert "Traceback" not in err
    written = [name for name in names(output) if (output / name).read_bytes() != old]
    assert [line for line in out.splitlines() if line.startswith(f"{len(written)} written")]
    assert len(written) < 14 and (jobs == 1 or written)
    for name in written:
        assert (output / name).read_bytes() == (photos / name).read_bytes()
    # A command that goes on does the rest, and says what stands.
    assert gradnet("denoise", photos, "--output", output, "--strength=0") == 1
    assert len(names(output)) == 14


def test_the_settings_of_an_interrupted_run_are_kept(photos, tmp_path, capsys):
    def interrupted(pixels):
        if pixels.shape[0] == 38:
            raise KeyboardInterrupt
        return pixels

    plan = plan_jobs([str(photos / "[0-9].png")], str(tmp_path / "out"))
    options = FileOptions(settings={"strength": 1.0})
    with pytest.raises(RuntimeError, match="interrupted"):
        denoise_files(plan, lambda _: interrupted, options)
    kept = json.loads((tmp_path / "out" / ".gradnet.json").read_text())
    assert sorted(kept["results"]) == names(tmp_path / "out") == ["0.png", "1.png"]


def test_a_folder_that_becomes_a_link_to_the_inputs_does_not_overwrite_them(
    photos, tmp_path, capsys
):
    """Between the plan and the writing, OUT is exchanged for a link to the photographs."""
    output = tmp_path / "out"
    before = {path: path.read_bytes() for path in photos.rglob("*") if path.is_file()}

    def load(_):
        output.rename(tmp_path / "aside")
        output.symlink_to(photos)
        return negative

    plan = plan_jobs([str(photos)], str(output))
    assert denoise_files(plan, load, FileOptions(jobs=1, overwrite=True)) == 1
    assert "is one of the inputs now" in capsys.readouterr().err
    for path, data in before.items():
        assert path.read_bytes() == data, path
