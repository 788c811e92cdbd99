"""The sweep over noise levels: its numbers, what is kept, and what the picture shows."""

import json

import pytest
from script_case import exit_code, loaded_script

from benchmarks.results.sigma_sweep import draw_sweep
from gradnet_tf.images.image_files import read_image

SWEEP = {
    "dataset": "cbsd68",
    "images": 2,
    "sigmas": [0.0, 25.0, 75.0],
    "noisy": [None, 20.2, 10.6],
    "models": [
        {"model": "a", "trained": (0, 55), "psnr": [41.0, 30.0, 22.0]},
        {"model": "b$", "trained": (0, 55), "psnr": [None, 29.0, 21.0]},
    ],
}


@pytest.fixture
def run(capsys, make_images, tmp_path):
    data = make_images("data/cbsd68", ["b.png", "a.png"]).parent

    def call(*arguments):
        flags = [f"--data_dir={data}", f"--output={tmp_path / 'out'}", *arguments]
        code = exit_code(loaded_script("benchmarks/results/sigma_sweep"), *flags)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def lines(figure, gid):
    return [line for axes in figure.axes for line in axes.lines if line.get_gid() == gid]


def shades(figure):
    return [patch for axes in figure.axes for patch in axes.patches if patch.get_gid() == "trained"]


def test_the_picture_has_every_curve_its_gain_and_the_trained_levels():
    figure = draw_sweep(SWEEP)
    first, second = lines(figure, "psnr")
    assert list(first.get_ydata()) == [41.0, 30.0, 22.0]
    assert list(second.get_xdata()) == [25.0, 75.0]  # undefined at 0
    assert list(lines(figure, "noisy")[0].get_xdata()) == [25.0, 75.0]
    assert lines(figure, "gain")[0].get_ydata() == pytest.approx([9.8, 11.4])
    assert [patch.get_x() + patch.get_width() for patch in shades(figure)] == [55, 55]


def test_different_ranges_are_shaded_each_and_an_unknown_one_is_not():
    models = [{**SWEEP["models"][0], "trained": levels} for levels in ((0, 55), (25, 50), None)]
    figure = draw_sweep({**SWEEP, "models": models})
    assert [patch.get_x() for patch in shades(figure)] == [0, 25] * 2
    assert not shades(draw_sweep({**SWEEP, "models": models[2:]}))


def test_the_command_writes_numbers_and_picture_and_goes_on(run, tmp_path):
    flags = ("--model=gradnet_tiny_color_blind,opencv_nlm", "--sigmas=25,0,25")
    code, out, err = run(*flags)
    assert code == 0, err
    sweep = json.loads((tmp_path / "out" / "sweep.json").read_text("utf-8"))
    assert sweep["sigmas"] == [0, 25] and sweep["images"] == 2
    assert sweep["noisy"][0] is None and sweep["noisy"][1] == pytest.approx(20.2, abs=0.3)
    tiny, nlm = sweep["models"]
    assert tiny["trained"] == [0, 55] and nlm["trained"] is None
    assert nlm["psnr"][0] == 100.0  # level 0 comes back as it is
    assert f"| 25 | {sweep['noisy'][1]:.2f} | {tiny['psnr'][1]:.2f} |" in out
    assert read_image(tmp_path / "out" / "sweep.png").shape[2] == 3
    assert " dB" in err  # progress, image by image
    assert " dB" not in run(*flags)[2]  # nothing is scored twice


@pytest.mark.parametrize("flag", ["--sigmas=", "--model=a,a", "--max_images=0"])
def test_mistakes_are_named(flag, run, tmp_path):
    code, _, err = run(flag)
    assert code == 2
    assert flag[2:].split("=")[0] in err[err.index("error:") :]
    assert not (tmp_path / "out").exists()
