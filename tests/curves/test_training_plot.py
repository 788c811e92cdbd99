"""`python -m gradnet_tf.curves.plot`: what it draws, says and refuses."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from gradnet_tf.curves import plot
from gradnet_tf.curves.curve_figure import PALETTE, draw_curves
from gradnet_tf.curves.run_curves import read_log, read_runs, short_names, smoothed
from gradnet_tf.utils.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
FIELDS = ("loss", "learning_rate", "examples_per_second")


def rows_of(count=12, gap=5, seed=0, **more):
    random = np.random.default_rng(seed)
    rows = [
        {
            "step": gap * (index + 1),
            "loss": float(random.uniform(0.02, 0.1)),
            "learning_rate": 1e-3 / (index + 1),
            "examples_per_second": float(random.uniform(40, 50)),
            "replicas": 1,
            **more,
        }
        for index in range(count)
    ]
    for row in rows[3::4]:
        row["psnr"] = float(random.uniform(28, 30))
    return rows


def make_log(run, rows, naive=(), tail="", batch_size=4):
    """Writes a run's folder as train.py leaves it, as far as it is read here."""
    run.mkdir(parents=True)
    (run / "config.json").write_text(json.dumps({"train": {"batch_size": batch_size}}))
    for folder, written in ((run, rows), (run / "naive", naive)):
        if written:
            folder.mkdir(exist_ok=True)
            text = "".join(json.dumps(row) + "\n" for row in written)
            (folder / "log.jsonl").write_text(text + tail)
    return run


def lines(figure, field, gid=None):
    (axes,) = [axes for axes in figure.axes if axes.get_label() == field]
    return [line for line in axes.get_lines() if line.get_gid() == (gid or field)]


def expect(line, rows, field):
    rows = [row for row in rows if row.get(field) is not None]
    np.testing.assert_array_equal(line.get_xdata(), [row["step"] for row in rows])
    np.testing.assert_array_equal(line.get_ydata(), [row[field] for row in rows])


def refused(capsys, *arguments):
    """Returns the message of a command line that must end with exit code 2."""
    try:
        code = plot.main([str(argument) for argument in arguments])
    except SystemExit as leave:
        code = leave.code
    message = capsys.readouterr().err
    assert code == 2
    assert message.startswith("error: ") and "Traceback" not in message
    assert len(message.splitlines()) <= 3
    return message


def test_lines_are_the_numbers_of_the_logs(tmp_path):
    first, second, naive = rows_of(seed=1), rows_of(20, seed=2), rows_of(8, seed=3)
    runs = [make_log(tmp_path / "one", first, naive), make_log(tmp_path / "two", second)]
    figure = draw_curves(read_runs(runs), smooth=0)
    for field in (*FIELDS, "psnr"):
        drawn = lines(figure, field)
        assert [line.get_color() for line in drawn] == [PALETTE[0], PALETTE[0], PALETTE[1]]
        assert [line.get_linestyle() for line in drawn] == ["--", "-", "-"]
        for line, rows in zip(drawn, (naive, first, second), strict=True):
            expect(line, rows, field)
    for line, rows in zip(lines(figure, "loss", "raw"), (naive, first, second), strict=True):
        expect(line, rows, "loss")
    for line, rows in zip(lines(figure, "psnr", "best"), (naive, first, second), strict=True):
        expect(line, [max(rows, key=lambda row: row.get("psnr", 0))], "psnr")
    assert [axes.get_label() for axes in figure.axes] == [
        "loss",
        "psnr",
        "learning_rate",
        "examples_per_second",
    ]
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ["one", "two", "naive denoiser's stage", "best PSNR"]


def test_loss_is_smoothed_as_an_explicit_weighted_mean(tmp_path):
    rows = rows_of(30)
    del rows[7:11]  # uneven distances
    curves = read_runs([make_log(tmp_path / "run", rows)])
    step = np.array([row["step"] for row in rows], np.float64)
    loss = np.array([row["loss"] for row in rows])
    expected = []
    for end in range(len(rows)):
        weights = np.exp(-(step[end] - step[: end + 1]) / 17.0)
        expected.append(np.average(loss[: end + 1], weights=weights))
    (line,) = lines(draw_curves(curves, smooth=17.0), "loss")
    np.testing.assert_allclose(line.get_ydata(), expected, rtol=1e-12)
    # By default over 3% of the longest run.
    (line,) = lines(draw_curves(curves), "loss")
    np.testing.assert_array_equal(line.get_ydata(), smoothed(step, loss, 0.03 * 150))
    np.testing.assert_array_equal(smoothed(step, loss, 0), loss)


def test_hours_follow_from_the_speeds(tmp_path):
    rows = rows_of(4, gap=10)
    for row, speed in zip(rows, (20.0, None, 40.0, None), strict=True):
        row["examples_per_second"] = speed
    curves = read_runs([make_log(tmp_path / "run", rows, naive=rows, batch_size=8)])
    # 80 examples a row; a row without a speed has the next one's, or the last.
    expected = np.cumsum([80 / 20, 80 / 40, 80 / 40, 80 / 40]) / 3600
    for line in lines(draw_curves(curves, "hours"), "loss"):
        np.testing.assert_allclose(line.get_xdata(), expected, rtol=1e-12)
    # A naive stage named by itself finds its configuration one folder up.
    (curve,) = read_runs([tmp_path / "run" / "naive"])
    np.testing.assert_allclose(curve.hours(), expected, rtol=1e-12)


def test_waiting_for_input_has_a_panel_where_it_was_recorded(tmp_path):
    rows = rows_of(input_wait=0.25)
    runs = [make_log(tmp_path / "new", rows), make_log(tmp_path / "old", rows_of())]
    figure = draw_curves(read_runs(runs))
    new, old = lines(figure, "input_wait")
    expect(new, rows, "input_wait")
    assert len(old.get_xdata()) == 0


def test_resumes_are_marked_at_their_step(tmp_path):
    rows = rows_of()
    run = make_log(tmp_path / "run", [*rows[:5], {"event": "resume", "step": 20}, *rows[5:]])
    figure = draw_curves(read_runs([run]), smooth=0)
    for field in (*FIELDS, "psnr"):
        assert [line.get_xdata()[0] for line in lines(figure, field, "resume")] == [20]
    expect(lines(figure, "loss")[0], rows, "loss")
    assert figure.legends[0].get_texts()[-1].get_text() == "resumed"


def test_a_log_that_is_being_written_is_read(tmp_path):
    rows = rows_of()
    tail = '{"step": 65, "loss": 0.0'
    run = make_log(tmp_path / "run", rows, tail=tail)
    with open(run / "log.jsonl", "ab") as log:
        log.write(b'\xe2\x82\n5\n[]\n{"step": null}\n')  # half a character, and no rows
    assert read_log(run / "log.jsonl") == (rows, ())


def test_missing_and_null_values_leave_gaps_only(tmp_path, capsys):
    rows = [{"step": 1, "loss": None}, {"step": 2, "loss": 0.5, "psnr": None}, {"step": 3}]
    run = make_log(tmp_path / "run", rows)
    figure = draw_curves(read_runs([run]), smooth=0)
    expect(lines(figure, "loss")[0], rows, "loss")
    assert len(lines(figure, "psnr")[0].get_xdata()) == 0
    assert plot.main([str(run), f"--output={tmp_path / 'c.png'}"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split() == ["run", "3", "0.5", "–", "–", "–"]


def test_names_are_as_short_as_they_can_be(tmp_path):
    paths = [Path("/r/a/run"), Path("/r/b/run"), Path("/r/other"), Path("/run")]
    assert short_names(paths) == ["a/run", "b/run", "other", "/run"]
    # Nothing of a folder's name is taken for markup, and none is left out.
    runs = [make_log(tmp_path / name, rows_of()) for name in ("a/_run", "b/_run", "lr$1^2$")]
    figure = draw_curves(read_runs([*runs, runs[0]]))
    texts = figure.legends[0].get_texts()
    assert [text.get_text() for text in texts][:3] == ["a/_run", "b/_run", "lr$1^2$"]
    figure.draw_without_rendering()


def test_a_short_range_of_losses_has_several_labels(tmp_path):
    rows = [{**row, "loss": 0.050 + 0.001 * (row["step"] % 7)} for row in rows_of()]
    figure = draw_curves(read_runs([make_log(tmp_path / "a", rows)]))
    (axes,) = [axes for axes in figure.axes if axes.get_label() == "loss"]
    low, high = axes.get_ylim()
    shown = [t for t in axes.yaxis.get_ticklocs() if low <= t <= high]
    assert len(shown) >= 3 and high < 10 * low


def test_many_runs_have_a_color_each(tmp_path):
    runs = [make_log(tmp_path / f"run{index}", rows_of(seed=index)) for index in range(9)]
    drawn = lines(draw_curves(read_runs(runs)), "loss")
    assert len({tuple(line.get_color()) for line in drawn}) == 9


def test_command_writes_a_picture_and_a_table(tmp_path, capsys):
    rows = rows_of(skipped=2)
    run = make_log(tmp_path / "run", rows, naive=rows_of(4, seed=5))
    output = tmp_path / "new" / "curves.png"
    assert plot.main([str(run), f"--output={output}", "--smooth=20", "--x=hours"]) == 0
    picture = cv2.imread(str(output))
    assert picture is not None and picture.shape[1] > 1200
    assert [path.name for path in output.parent.iterdir()] == ["curves.png"]
    title, naive, main, wrote = capsys.readouterr().out.splitlines()
    best = max(rows, key=lambda row: row.get("psnr", 0))
    speed = np.median([row["examples_per_second"] for row in rows])
    cells = ["run", "60", f"{rows[-1]['loss']:.4g}", f"{best['psnr']:.2f}", "dB"]
    assert main.split() == [*cells, str(best["step"]), f"{speed:.4g}", "2"]
    assert naive.startswith("run (naive)") and title.endswith("skipped steps")
    assert wrote == f"wrote {output}"


def test_a_folder_of_runs_means_its_runs(tmp_path):
    for name in ("b", "a"):
        make_log(tmp_path / "runs" / name, rows_of())
    (tmp_path / "runs" / "notes").mkdir()
    names = [curve.name for curve in read_runs([tmp_path / "runs", tmp_path / "runs" / "a"])]
    assert names == ["a", "b"]


def test_bad_input_is_refused_in_words(tmp_path, capsys):
    run = make_log(tmp_path / "run", rows_of())
    output = f"--output={tmp_path / 'c.png'}"
    assert "does not exist" in refused(capsys, tmp_path / "nowhere", output)
    assert "is a file" in refused(capsys, run / "log.jsonl", output)
    (tmp_path / "empty").mkdir()
    assert "log.jsonl" in refused(capsys, tmp_path / "empty", output)
    (tmp_path / "fresh").mkdir()
    (tmp_path / "fresh" / "log.jsonl").write_text('{"st')
    assert "no rows yet" in refused(capsys, run, tmp_path / "fresh", output)
    assert ".png" in refused(capsys, run, "--output=curves.jpg")
    assert "--smooth" in refused(capsys, run, "--smooth=nan")
    assert "RUN" in refused(capsys)
    (run / "config.json").unlink()
    assert "batch_size" in refused(capsys, run, "--x=hours", output)
    assert "cannot be written" in refused(capsys, run, f"--output={run / 'log.jsonl' / 'c.png'}")
    assert not (tmp_path / "c.png").exists()


def test_without_matplotlib_the_installation_is_named(tmp_path, monkeypatch):
    curves = read_runs([make_log(tmp_path / "run", rows_of())])
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UserError, match=r'pip install "\.\[plot\]" in a checkout$'):
        draw_curves(curves)


def test_command_needs_no_training_framework(tmp_path):
    run = make_log(tmp_path / "run", rows_of())
    code = f"""
import sys
from gradnet_tf.curves import plot
assert plot.main([{str(run)!r}, "--output=" + {str(tmp_path / "c.png")!r}]) == 0
heavy = ("tensorflow", "keras", "jax", "torch", "matplotlib.pyplot")
sys.exit(", ".join(name for name in heavy if name in sys.modules) or 0)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_picture_of_somebody_else_is_not_replaced(tmp_path, capsys, monkeypatch):
    run, output = make_log(tmp_path / "run", rows_of()), tmp_path / "c.png"
    for _ in range(2):  # its own is
        assert plot.main([str(run), f"--output={output}"]) == 0
    cv2.imwrite(str(output), np.zeros((8, 8, 3), np.uint8))
    before = output.read_bytes()
    monkeypatch.setattr(plot, "draw_curves", lambda *_: pytest.fail("work was done"))
    assert "is not replaced" in refused(capsys, run, f"--output={output}")
    assert output.read_bytes() == before
