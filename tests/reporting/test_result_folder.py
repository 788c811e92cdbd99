"""The temporary folder of an evaluation: moved on success, removed after a failure or a kill."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gradnet_tf.reporting.result_folder import staged_folder

ROOT = Path(__file__).resolve().parents[2]
CODE = """
import sys, time
from gradnet_tf.reporting.result_folder import staged_folder
with staged_folder(sys.argv[1]) as stage:
    (stage / "a.png").write_bytes(b"half")
    print("ready", flush=True)
    time.sleep(600)
"""


def partials(folder):
    return sorted(folder.glob(".partial-*"))


def test_a_killed_evaluation_is_cleaned_up_by_the_next_and_a_running_one_is_not(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", CODE, str(tmp_path)], stdout=subprocess.PIPE, env=environment
        )
        for _ in range(2)
    ]
    try:
        for each in started:
            assert each.stdout.readline() == b"ready\n"
        assert len(partials(tmp_path)) == 2
        started[0].send_signal(signal.SIGKILL)
        started[0].wait()
        foreign = tmp_path / ".partial-of-somebody"
        foreign.mkdir()
        with staged_folder(tmp_path) as stage:
            assert len(partials(tmp_path)) == 3  # the running one's, this one's, the foreign one
            (stage / "metrics.json").write_text("{}")
        assert len(partials(tmp_path)) == 2 and foreign.is_dir()
        assert (tmp_path / "metrics.json").is_file()
    finally:
        for each in started:
            each.kill()
            each.communicate()
    with staged_folder(tmp_path):
        pass
    assert partials(tmp_path) == [foreign]


def test_a_failure_leaves_nothing(tmp_path):
    with pytest.raises(KeyError), staged_folder(tmp_path / "out"):
        raise KeyError
    assert not (tmp_path / "out").exists()
