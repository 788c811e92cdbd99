"""Results of a study on disk, and the table and chart that are made of them."""

import csv
import io

import numpy as np
import pytest

from experiments.study_report import csv_table, draw_bars, markdown_table, write_report
from experiments.study_runs import Job, Results, check_or_write_info
from experiments.study_statistics import NAIVE, summarise
from gradnet_tf.images.image_files import read_image
from gradnet_tf.utils.errors import UserError

BASELINE = ("none", "none")
GAINS = {("none", "none"): 0.0, ("II", "clean"): 1.0, ("IV", "clean"): -6.0, (NAIVE, "none"): -0.5}


def rows(seeds=3):
    """Runs whose PSNR is known: σ = 15 on two sets, and a set with real noise."""
    made = []
    for seed in range(seeds):
        for noise, sets in (("15", {"a": 33.0, "b": 31.0}), ("real", {"real": 30.0})):
            for (variant, gradient), gain in GAINS.items():
                psnr = {name: level + gain * (1 + 0.1 * seed) for name, level in sets.items()}
                made.append(
                    {
                        "variant": variant,
                        "gradient": gradient,
                        "noise": noise,
                        "seed": seed,
                        "psnr": psnr,
                        "params": 1234,
                        "seconds": 2.0,
                    }
                )
    return made


def test_lines_hold_mean_difference_and_order():
    lines = summarise(rows(), BASELINE)
    assert len(lines) == 3 * len(GAINS)
    assert [line.test_set for line in lines[::4]] == ["a", "b", "real"]
    (line,) = [x for x in lines if (x.variant, x.test_set) == ("II", "b")]
    assert line.psnr.mean == pytest.approx(32.1)
    assert line.difference.mean == pytest.approx(1.1)
    assert line.difference.half_width == pytest.approx(4.302653 * 0.1 / 3**0.5, abs=1e-6)
    assert [x.difference for x in lines if x.variant == "none"] == [None] * 3


def test_the_table_has_a_cell_for_each_number():
    lines = summarise(rows(), BASELINE)
    table = markdown_table(lines, BASELINE).splitlines()
    assert table[0].split(" | ")[3:] == ["a, σ = 15", "b, σ = 15", "real, real noise |"]
    second = next(line for line in table if line.startswith("| II "))
    assert "1,234" in second and "34.10 ± 0.25<br>**+1.10 ± 0.25**" in second
    assert "**−6.60 ± 1.49**" in next(line for line in table if line.startswith("| IV "))
    assert next(line for line in table if line.startswith("| none ")).count("<br>") == 0
    assert table[-1].endswith("Seeds: 3.")


def test_an_unfinished_study_has_a_table_too():
    part = [row for row in rows() if row["seed"] == 0][:6]
    table = markdown_table(summarise(part, BASELINE), BASELINE)
    assert "–" in table and "±" not in table.split("PSNR in dB")[0]


def test_csv_has_the_unrounded_numbers():
    lines = summarise(rows(), BASELINE)
    read = list(csv.DictReader(io.StringIO(csv_table(lines))))
    assert len(read) == len(lines)
    for row, line in zip(read, lines, strict=True):
        assert float(row["psnr"]) == line.psnr.mean
        assert row["difference"] == ("" if line.difference is None else str(line.difference.mean))


def test_bars_start_at_the_baseline_and_end_at_their_own_psnr():
    lines = summarise(rows(), BASELINE)
    figure = draw_bars(lines, BASELINE, "Study")
    assert [axes.get_label() for axes in figure.axes] == ["a 15", "b 15", "real real"]
    axes = figure.axes[0]
    bars = [patch for patch in axes.patches if patch.get_gid() == "bar"]
    assert len(bars) == 2  # neither the baseline nor ψ
    assert bars[0].get_y() == pytest.approx(33.0)
    assert bars[0].get_y() + bars[0].get_height() == pytest.approx(34.1)
    (dashed,) = [line for line in axes.lines if line.get_gid() == "baseline"]
    assert dashed.get_ydata()[0] == pytest.approx(33.0)
    # What loses much more than the best wins is cut at the panel's foot and says its length.
    (text,) = [text for text in axes.texts if text.get_gid() == "cut"]
    assert text.get_text() == "26.4"
    assert bars[1].get_y() + bars[1].get_height() == pytest.approx(axes.get_ylim()[0])


def test_the_baseline_is_above_the_foot_of_a_panel_where_all_gain():
    gaining = [row for row in rows() if row["variant"] in ("none", "II")]
    for axes in draw_bars(summarise(gaining, BASELINE), BASELINE, "Study").axes:
        (dashed,) = [line for line in axes.lines if line.get_gid() == "baseline"]
        low, high = axes.get_ylim()
        assert dashed.get_ydata()[0] - low > 0.03 * (high - low)


def test_report_writes_table_and_chart(tmp_path):
    table = write_report("fusion", rows(), tmp_path, BASELINE)
    assert (tmp_path / "table.md").read_text("utf-8") == table
    assert (tmp_path / "table.csv").exists()
    picture = read_image(tmp_path / "chart.png")
    assert picture.shape[0] > 300 and np.unique(picture).size > 20


def test_results_survive_a_crash_in_the_last_line(tmp_path):
    jobs = [Job(seed, "15", "II", "clean") for seed in range(3)]
    results = Results(tmp_path)
    for job in jobs[:2]:
        results.add(job, {"psnr": {"a": 30.0 + job.seed}, "params": 1, "seconds": 1.0})
    whole = results.path.read_text("utf-8")
    results.path.write_text(whole + '{"variant": "II", "grad', "utf-8")
    again = Results(tmp_path)
    assert again.done() == set(jobs[:2])
    again.add(jobs[2], {"psnr": {"a": np.float32(32.0)}, "params": 1, "seconds": 1.0})
    assert Results(tmp_path).done() == set(jobs)
    assert again.path.read_text("utf-8").startswith(whole)


def test_a_damaged_line_is_named(tmp_path):
    (tmp_path / "results.jsonl").write_text('{"variant": "II"}\n', "utf-8")
    with pytest.raises(UserError, match="results.jsonl line 1 is not a valid result"):
        Results(tmp_path)


def test_a_study_of_another_form_is_refused(tmp_path):
    facts = {"form": {"steps": 5}, "free": {"seeds": 1}}
    assert check_or_write_info(tmp_path, facts) == facts
    assert check_or_write_info(tmp_path, {**facts, "free": {"seeds": 3}})["free"] == {"seeds": 1}
    with pytest.raises(UserError, match=r"form: \{'steps': 5\} there, \{'steps': 6\} now"):
        check_or_write_info(tmp_path, {"form": {"steps": 6}})


@pytest.mark.parametrize("name", ["results.jsonl", "table.md", "chart.png"])
def test_a_folder_that_is_no_study_is_left_as_it_is(tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(UserError, match=f"{name} exists and is not a result"):
        check_or_write_info(tmp_path, {"form": {}})
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_study_of_an_earlier_version_resumes_with_what_it_did(tmp_path):
    """Fields that were added since have their defaults, whatever is asked for now."""
    old = {"form": {"name": "short", "steps": 5}}
    check_or_write_info(tmp_path, old)
    now = {"form": {**old["form"], "clip_norm": 1.0, "schedule": "step"}}
    assert check_or_write_info(tmp_path, now)["form"]["clip_norm"] == 1.0
    with pytest.raises(UserError, match="another --output"):
        check_or_write_info(tmp_path, {"form": {**now["form"], "clip_norm": 0.0}})
