"""The results table on small images: rows, cells that are kept, text, gaps and speed."""

import csv
import dataclasses
import io
import json

import cv2
import numpy as np
import pytest
from evaluation_case import Fake, blur
from published_files import write_zip
from published_tensors import chain_tensors, harmless
from script_case import exit_code, loaded_script

from benchmarks.results import pareto, results_table
from benchmarks.results.cells import Cells, cell_key
from benchmarks.results.table_models import OURS, PEERS, Entry, find_entries
from benchmarks.results.table_speed import merged, milliseconds
from benchmarks.results.table_work import (
    TABLE_FILES,
    csv_table,
    find_sets,
    gap,
    make_table,
    markdown,
    plan,
    require_own_table,
    seconds_left,
    set_table,
)
from gradnet_tf.evaluation.evaluate_set import EvaluateConfig
from gradnet_tf.images.image_files import write_image
from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.ownership import record
from gradnet_tf.weights import list_weights

OPTIONS = {"seed": 0, "precision": "float32", "max_images": None}


class Load(dict):
    """Loads from a dict; its networks have no MACs."""

    def __call__(self, spec):
        return self[spec]

    def macs(self, spec):
        return 1e6


@pytest.fixture
def data(make_images):
    make_images("data/cbsd68", ["b.png", "a.png"])
    return make_images("data/set12", ["01.png"], channels=1).parent


def row(name="ours", sigma=25.0, psnr=30.0, **more):
    """A row of results.jsonl."""
    fixed = {
        "dataset": "cbsd68",
        "title": "CBSD68",
        "channels": 3,
        "images": 68,
        "whole": True,
        "sigma": sigma,
        "name": name,
        "model": f"{name} model",
        "group": OURS,
        "parameters": 1234,
        "macs_per_pixel": 5678.0,
        "psnr": psnr,
        "psnr_uint8": None if psnr is None else psnr - 0.01,
        "ssim": 0.9,
        "psnr_noisy": 20.17,
        "ssim_noisy": 0.4,
        "seed": 0,
        "precision": "float32",
        "nan_outputs": 0,
        "weights": "ab",
    }
    return {**fixed, **more}


def timed(name, ms, channels=3, precision="float32"):
    return {
        "name": name,
        "channels": channels,
        "precision": precision,
        "ms_per_megapixel": ms,
        "seconds": [],
    }


def test_the_front_has_what_nothing_beats_in_time_and_quality():
    rows = [row("fast", psnr=29.0), row("slow", psnr=31.0), row("beaten", psnr=28.5)]
    rows += [row("slow", sigma=50.0, psnr=27.0), row("untimed", psnr=33.0)]
    speed = [timed("fast", 100), timed("slow", 900), timed("slow", 700, precision="bfloat16")]
    speed += [timed("beaten", 300), timed("fast", 1, channels=1)]
    found = pareto.points(rows, speed, "cbsd68", 25.0)
    assert [point[:2] for point in found] == [(100, 29.0), (300, 28.5), (700, 31.0)]
    assert [point[0] for point in pareto.front(found)] == [100, 700]


def test_labels_of_near_points_stand_apart():
    points, times = [31.0, 31.01, 30.99, 30.2, 31.0], [100, 105, 110, 100, 5000]
    heights = pareto._apart(points, times, ["gradnet_small"] * 5)
    assert heights[2] == 30.99 and min(np.diff(sorted(heights[:3]))) >= 0.05
    assert all(abs(heights[0] - each) >= 0.05 for each in points[1:3])
    # Others stay where their points are: one far below, one at another time.
    assert heights[3:] == [30.2, 31.0]
    # A label that is long enough reaches the point at another time.
    assert pareto._apart([31.0, 31.0], [100, 900], ["gradnet" * 8, "a"])[0] > 31.05


def test_sets_with_timed_rows_get_a_picture_that_replaces_only_our_own(tmp_path):
    rows = [row("fast", psnr=29.0), row("slow", psnr=31.0), row(dataset="set12")]
    speed = {"rows": [timed("fast", 100), timed("slow", 900)], "note": "two threads"}
    results_table.draw_pareto(rows, speed, tmp_path)
    results_table.draw_pareto(rows, speed, tmp_path)
    picture = cv2.imread(str(tmp_path / "pareto_cbsd68.png"))
    assert picture is not None and picture.std() > 5
    assert not (tmp_path / "pareto_set12.png").exists()
    (tmp_path / "pareto_cbsd68.png").write_bytes(b"somebody else's")
    with pytest.raises(UserError, match="pareto_cbsd68.png"):
        results_table.draw_pareto(rows, speed, tmp_path)


def test_rows_are_ours_the_peers_that_are_there_and_the_classical(tmp_path):
    (tmp_path / "dncnn").mkdir()
    (tmp_path / "dncnn" / "color_sigma25.mat").write_bytes(b"")
    entries, left_out = find_entries(str(tmp_path), ["all"])
    names = [entry.name for entry in entries]
    # Weights for real noise have no noise level, and no row in tables of white noise.
    white = {card["name"] for card in list_weights() if card["sigma_max"] is not None}
    assert white <= set(names) and "gradnet_small_color_real" not in names
    assert names.index("opencv_nlm") < names.index("peer_dncnn")
    assert "peer_ffdnet" not in names
    assert any("ffdnet_weights_rgb.pth" in sentence for sentence in left_out)
    (dncnn,) = (entry for entry in entries if entry.name == "peer_dncnn")
    assert dncnn.spec(25) == str(tmp_path / "dncnn" / "color_sigma25.mat")
    assert dncnn.spec(15) is None
    entries, left_out = find_entries(None, ["peers", "gradnet_tiny_color_blind"])
    assert [entry.name for entry in entries] == ["gradnet_tiny_color_blind"]
    assert any("--peers" in sentence for sentence in left_out)
    with pytest.raises(UserError, match="nothing_like_it"):
        find_entries(None, ["nothing_like_it"])


def test_a_model_stands_at_its_noise_levels_and_its_channels_only(data):
    image_sets = find_sets(["set12", "cbsd68"], data, None)
    entries = [
        Entry("colour", "colour", OURS, (3,), {None: "a"}, 0, 55),
        Entry("both", "both", PEERS, (1, 3), {25.0: "b"}),
    ]
    jobs = plan(entries, image_sets, [25.0, 60.0])
    found = [(job.image_set.name, job.sigma, job.spec) for job in jobs]
    assert found == [("set12", 25.0, "b"), ("cbsd68", 25.0, "a"), ("cbsd68", 25.0, "b")]
    # Known pace of one, the mean of what is known for the other: 2·3 + 2·3 + 1·3.
    assert seconds_left(jobs, {jobs[1].pace: 3.0}) == 15.0


def test_the_shipped_s25_weights_stand_at_25_alone():
    (entry,) = find_entries(None, ["gradnet_small_color_s25"])[0]
    assert [entry.spec(sigma) is not None for sigma in (15, 25, 50)] == [False, True, False]


def test_a_cell_is_made_once_for_the_same_weights_images_and_options(data, tmp_path):
    (image_set,) = find_sets(["cbsd68"], data, None)
    config = EvaluateConfig(dataset="cbsd68", sigma=25)
    cells, fake = Cells(tmp_path / "cells"), Fake(blur)
    first = cells.score(fake, image_set, config)
    again = cells.score(fake, image_set, config)
    assert len(fake.given) == 2
    assert again["mean"] == first["mean"]
    other = Fake(blur)
    other.source = {**fake.source, "sha256": "cd" * 32}
    for denoiser, images, changed in (
        (other, image_set, config),
        (fake, image_set.first(1), config),
        (fake, image_set, dataclasses.replace(config, sigma=26)),
        (fake, image_set, dataclasses.replace(config, seed=1)),
        (fake, image_set, dataclasses.replace(config, precision="mixed_bfloat16")),
    ):
        assert cells.read(denoiser, images, changed) is None
    # Images of the same names with other pixels are another set.
    (repaired,) = find_sets(["cbsd68"], data, None)
    write_image(repaired.paths[0], 255 - repaired.load(0))
    (repaired,) = find_sets(["cbsd68"], data, None)
    assert cells.read(fake, repaired, config) is None
    unknown = Fake(blur)
    unknown.source = {**fake.source, "sha256": None}
    cells.score(unknown, image_set, config)
    assert cells.read(unknown, image_set, config) is None
    path = cells.path(fake, cell_key(fake, image_set, config))
    path.write_text(path.read_text("utf-8")[:40], "utf-8")
    assert cells.read(fake, image_set, config) is None  # damaged: made again


def test_a_stopped_table_is_there_and_goes_on(data, tmp_path):
    image_sets = find_sets(["cbsd68"], data, None)
    good, stops = Fake(blur, name="good"), Fake(name="stops")
    stops.source = {**stops.source, "sha256": "cd" * 32}
    entries = [
        Entry("good", "good", OURS, (3,), {None: "good"}),
        Entry("stops", "stops", PEERS, (3,), {None: "stops"}),
    ]

    def interrupted(images, sigma=None):
        raise KeyboardInterrupt

    usual, stops.denoise = stops.denoise, interrupted
    work = (entries, image_sets, [25.0], Load(good=good, stops=stops), OPTIONS, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        make_table(*work, ["BM3D is left out."], {"rows": [], "note": ""})
    stops.denoise = usual
    rows = make_table(*work, ["BM3D is left out."], {"rows": [], "note": ""})
    assert len(good.given) == 2  # one for each image, not again
    lines = (tmp_path / "results.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["name"] for line in lines] == ["good", "stops"]
    assert not rows[0]["whole"]
    text = (tmp_path / "table.md").read_text("utf-8")
    assert "CBSD68 (the first 2 images only, RGB)" in text and "BM3D is left out." in text
    # What does nothing scores the noisy input, but for the clipping.
    assert rows[1]["psnr"] > rows[1]["psnr_noisy"]
    (tmp_path / "head.md").read_text("utf-8").index("| good |")


def test_the_table_says_what_was_run_and_what_is_from_the_literature():
    rows = [
        row("peer", psnr=31.3, group=PEERS),
        row("peer", 50.0, 28.0, group=PEERS),
        row("small", psnr=31.2),
        row("tiny", psnr=29.9),
    ]
    speed = [
        {"name": "small", "channels": 3, "precision": "float32", "ms_per_megapixel": 1234.4},
        {"name": "small", "channels": 1, "precision": "float32", "ms_per_megapixel": 9.0},
    ]
    lines = set_table(rows, "cbsd68", speed).splitlines()
    assert lines[0] == (
        "| model | parameters | MACs per pixel | ms per MP, float32 | σ = 25 | σ = 50 |"
    )
    assert lines[2] == "| noisy input | – | – | – | 20.17 / – / 0.4000 | 20.17 / – / 0.4000 |"
    assert lines[3].startswith("| peer model | 1,234 | 5,678 | – | **31.30** / 31.29 / 0.9000 | **")
    assert lines[4] == "| small model | 1,234 | 5,678 | 1,234 | 31.20 / 31.19 / 0.9000 |  |"
    # DRUNet has 31.69 and 28.51 there; none of ours is at σ = 50.
    assert "| *DRUNet, from the literature* | – | – | – | *31.69* (−0.49) | *28.51* |" in lines
    assert "(−0.49)" in set_table(rows, "cbsd68", short=True)
    assert "mixed_bfloat16" in markdown([row(precision="mixed_bfloat16")])
    assert "NaN" in markdown([row(psnr=None, nan_outputs=3)])


def test_no_gap_for_a_part_of_a_set_or_without_a_row_of_ours():
    assert gap([row(psnr=31.0), row(psnr=30.0)], 31.5) == pytest.approx(-0.5)
    assert gap([row(psnr=31.0, whole=False)], 31.5) is None
    assert gap([row(psnr=31.0, group=PEERS)], 31.5) is None
    assert gap([row(psnr=None)], 31.5) is None


def test_the_csv_has_every_cell_and_the_literature():
    rows = list(csv.DictReader(io.StringIO(csv_table([row(psnr=31.23456), row("bad", psnr=None)]))))
    assert [line["psnr"] for line in rows[:2]] == ["31.23456", ""]
    assert [line["model"] for line in rows if line["group"] == "literature"] == [
        "BM3D, in color CBM3D",
        "DRUNet",
        "SwinIR",
        "SCUNet",
    ]


def test_times_of_other_machines_and_settings_do_not_stay_in_one_table():
    old = [{**timed("a", 1.0), "threads": 1, "runs": 3, "processor": "x"}]
    same = {**timed("b", 2.0), "threads": 1, "runs": 3, "processor": "x"}
    assert merged(old, [same]) == [*old, same]
    for change in ({"threads": 2}, {"runs": 5}, {"processor": "y"}):
        assert merged(old, [{**same, **change}]) == [{**same, **change}]
    assert merged([timed("a", 1.0)], [same]) == [same]  # of an earlier version


def test_speed_is_the_median_per_megapixel_and_what_is_slow_runs_once(monkeypatch):
    calls = []

    def measure(times, warm_up):
        clock = iter(times)
        monkeypatch.setattr("benchmarks.results.table_speed.time.perf_counter", lambda: next(clock))
        images = np.zeros((1, 1000, 500, 3), np.float32)
        calls.clear()
        return milliseconds(lambda *given: calls.append(given), images, 25.0, 3, warm_up)

    assert measure([10, 12, 20, 23, 30, 34], warm_up=True) == (6000.0, [2, 3, 4])
    assert len(calls) == 4
    assert measure([0, 60], warm_up=False) == (120_000.0, [60])
    assert len(calls) == 1
    old = {"name": "a", "channels": 3, "precision": "float32", "ms_per_megapixel": 1}
    new = {**old, "ms_per_megapixel": 2}
    other = {**old, "precision": "mixed_bfloat16"}
    assert merged([old, other], [new]) == [new, other]


@pytest.fixture
def run(capsys):
    """Runs the command in this process: returns exit code, standard output and error."""

    def call(*arguments):
        code = exit_code(loaded_script("benchmarks/results/results_table"), *arguments)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_the_command_from_published_files_to_the_table(data, tmp_path, run, monkeypatch):
    peers = tmp_path / "peers"
    (peers / "dncnn").mkdir(parents=True)
    tensors = harmless(chain_tensors("model", 1, 4, 1))
    write_zip(peers / "dncnn" / "kair_gray_dncnn_25.pth", tensors)
    flags = [f"--data_dir={data}", f"--peers={peers}", f"--output={tmp_path / 'out'}"]
    flags += ["--sets=set12,cbsd68", "--sigmas=25,75"]
    models = "--models=peers,opencv_nlm,gradnet_tiny_color_blind"
    code, out, err = run(*flags, models, "--max_images=1")
    assert code == 0, err
    lines = (tmp_path / "out" / "results.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    found = {(r["dataset"], r["sigma"], r["name"]): r for r in rows}
    nlm = [(name, sigma, "opencv_nlm") for name in ("set12", "cbsd68") for sigma in (25, 75)]
    tiny = ("cbsd68", 25.0, "gradnet_tiny_color_blind")  # 75 is beyond its card
    gray = ("set12", 25.0, "peer_dncnn_gray")
    assert set(found) == {*nlm, tiny, gray}
    assert found[gray]["macs_per_pixel"] == sum(
        tensor.size for tensor in tensors.values() if tensor.ndim == 4
    )
    (card,) = (card for card in list_weights() if card["name"] == tiny[2])
    assert found[tiny]["weights"] == card["sha256"]
    assert found[tiny]["parameters"] == card["parameters"]
    assert "color_sigma15.mat" in out
    monkeypatch.setattr("benchmarks.results.table_speed.SIDE", 32)
    monkeypatch.setattr("benchmarks.results.table_speed.limit_threads", lambda threads: None)
    code, out, err = run(*flags, models, "--speed", "--runs=1")
    assert code == 0, err
    code, out, err = run(*flags, models, "--max_images=1")
    assert "ms per MP, float32" in out and "(one if slow) on 32×32 pixels" in out


@pytest.mark.parametrize(
    ("flag", "named"),
    [
        ("--sigmas=15,x", "sigmas"),
        ("--sigmas=300", "sigmas"),
        ("--sets=nothing", "nothing"),
        ("--sigmas=200", "--sigmas"),
        ("--models=nothing_like_it", "nothing_like_it"),
    ],
)
def test_mistakes_are_named(flag, named, data, tmp_path, run):
    defaults = {"sets": "cbsd68", "sigmas": "25", "models": "ours"}
    defaults |= dict([flag.removeprefix("--").split("=", 1)])
    flags = [f"--{name}={value}" for name, value in defaults.items()]
    code, _, err = run(f"--data_dir={data}", f"--output={tmp_path / 'out'}", *flags)
    assert code == 2 and named in err[err.index("error:") :]
    assert not (tmp_path / "out").exists()


def test_only_a_table_of_ours_is_replaced(tmp_path):
    for name in TABLE_FILES:
        (tmp_path / name).write_text("somebody's own")
        with pytest.raises(UserError, match="exists and is not a result of this command"):
            require_own_table(tmp_path)
        (tmp_path / name).unlink()
    # One from before there was a manifest is known by its rows.
    (tmp_path / "results.jsonl").write_text(json.dumps(row(weights="x", macs_per_pixel=1)) + "\n")
    (tmp_path / "table.md").write_text("a table")
    require_own_table(tmp_path)
    record(tmp_path / "table.md")
    with pytest.raises(UserError, match="results.jsonl exists and is not a result"):
        require_own_table(tmp_path)
    record(tmp_path / "results.jsonl")
    require_own_table(tmp_path)
    (tmp_path / "table.md").write_text("with remarks of somebody")
    with pytest.raises(UserError, match="table.md exists and is not a result"):
        require_own_table(tmp_path)
