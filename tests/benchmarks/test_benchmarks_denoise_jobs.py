"""The benchmark of --jobs: a table with a row for each number, and the first one is the measure."""

import os
import subprocess
import sys


def benchmark(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.speed.denoise_jobs", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )


def test_the_table_has_a_ratio_for_each_number_of_jobs():
    done = benchmark("--model=none", "--jobs=1,3", "--count=3", "--megapixels=0.01", "--rounds=1")
    assert done.returncode == 0, done.stderr
    rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines()[3:]]
    assert [row[0] for row in rows] == ["1", "3"] and rows[0][2] == "1.00"
    assert all(float(row[1]) > 0 and float(row[2]) > 0 for row in rows)
    rates = [float(row[1]) for row in rows]
    assert abs(rates[1] / rates[0] - float(rows[1][2])) < 0.05 * float(rows[1][2]) + 0.02


def test_wrong_jobs_are_refused():
    for jobs in ("0", "two"):
        done = benchmark("--model=none", f"--jobs={jobs}")
        assert done.returncode == 2 and "`jobs` must be" in done.stderr
