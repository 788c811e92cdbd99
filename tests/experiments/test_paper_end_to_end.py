"""All commands of docs/paper.md on small generated files in the published layouts.

Figure 1 itself is in test_experiments_paper_form.py.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from matlab_case import write_blocks, write_dnd, write_nyuv2, write_scenes
from script_case import exit_code, loaded_script
from tiny_run import make_run

from datasets.__main__ import main as datasets_main
from gradnet_tf.images.image_files import read_image

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
BLOCKS = (2, 2, 32, 32, 3)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with D (NYUv2, SIDD and DND) and the runs of four networks."""
    folder = tmp_path_factory.mktemp("paper")
    write_nyuv2(folder / "D/nyuv2", 8, ((1, 3, 5, 7), (2, 4, 6, 8)))
    write_scenes(folder / "D/sidd/SIDD_Medium_Srgb/Data", [(1, 1), (2, 1), (192, 9)])
    validation = ("ValidationNoisyBlocksSrgb", "ValidationGtBlocksSrgb")
    write_blocks(folder / "D/sidd", (*validation, "BenchmarkNoisyBlocksSrgb"), BLOCKS)
    write_dnd(folder / "D/dnd", [[(1, 1, 32, 32), (9, 21, 40, 52)], [(3, 5, 34, 36)] * 2])
    for preset in ("dncnn_tiny", "ffdnet", "cbdnet"):
        make_run(folder / f"runs/{preset}", preset)
    return folder


def train(place, name, *flags):
    paper = "--preset=gradnet_tiny --recipe=paper --epochs=5 --batch_size=4 --crop_size=16"
    more = f"--data_dir={place / 'D'} --prepared_dir={place / 'P'} --log_every=1"
    return subprocess.run(
        [sys.executable, "train.py", *paper.split(), *more.split(), *flags]
        + [f"--workdir={place / 'runs' / name}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def real(place):
    """GradNet trained on SIDD by the paper's recipe."""
    done = train(place, "gradnet_real", "--dataset=sidd")
    assert done.returncode == 0, done.stderr
    return place / "runs/gradnet_real"


def test_gradnet_trains_on_nyuv2_by_the_papers_recipe(place):
    done = train(place, "gradnet_s15", "--dataset=nyuv2", "--sigma=15")
    assert done.returncode == 0, done.stderr
    assert "an epoch is 3 steps of 4 crops: 4 of each of 3 images; 5 epochs are 15" in done.stderr
    log = (place / "runs/gradnet_s15/log.jsonl").read_text().splitlines()
    rates = [json.loads(row)["learning_rate"] for row in log]
    assert rates == [1e-3] * 9 + [2e-4] * 6


def test_gradnet_trains_on_sidd_from_shards(real):
    config = json.loads((real / "config.json").read_text())
    assert config["train"]["dataset"] == "sidd" and config["facts"]["train_images"] == 4
    # Real noise never carries a σ, not even the default of 25.
    assert config["train"]["real_noise"] is True
    assert config["train"]["sigma_min"] is None and config["train"]["sigma_max"] is None
    assert list((real.parents[1] / "P/sidd_train_3").glob("shard-*.tfrecord"))


def test_figures_2_and_3_compare_four_networks(place, real, capsys):
    models = ",".join(str(place / "runs" / name) for name in ("dncnn_tiny", "ffdnet", "cbdnet"))
    for name, count in (("dnd", 4), ("sidd", 4)):
        flags = [f"--model={models},{real}", f"--dataset={name}", f"--data_dir={place / 'D'}"]
        output = place / f"figures_{name}"
        assert exit_code(loaded_script("evaluate"), *flags, f"--output={output}") == 0
        ranking = json.loads((output / "ranking.json").read_text())
        assert ranking["sigma"] is None and len(ranking["ranking"]) == 4
        figures = sorted((output / "gallery").glob("*.png"))
        assert 1 <= len(figures) <= count
        # Four networks and the noisy image, with the clean one where there is one.
        assert read_image(figures[0], 3).shape[1] > 3 * 240


def test_both_submissions(place, real, capsys):
    for name in ("sidd", "dnd"):
        argv = ["submit", name, f"--model={real}", f"--data_dir={place / 'D'}"]
        assert datasets_main([*argv, f"--output={place / 'submission' / name}"]) in (0, None)
    blocks = scipy.io.loadmat(place / "submission/sidd/SubmitSrgb.mat")["DenoisedBlocksSrgb"]
    assert blocks.shape == BLOCKS and blocks.dtype == np.uint8
    boxes = scipy.io.loadmat(place / "submission/dnd/bundled/0001.mat")["Idenoised"]
    assert boxes.shape == (1, 2) and boxes[0, 0].shape == (32, 32, 3)
