"""The scale estimate against figures worked out by hand."""

import dataclasses

import pytest

from benchmarks.speed.scale_sketch import (
    DEVICES,
    Scale,
    all_reduce_seconds,
    input_seconds,
    main,
    step_time,
    table,
)
from gradnet_tf.utils.errors import UserError

SCALE = Scale(step_seconds=0.1, images_per_device=10, parameters=1e6, bandwidth_gbps=8)


def test_the_ring_moves_twice_the_gradients_less_one_part():
    # 4 MB over 1 GB/s: 2 · 3/4 · 4 ms, and six hops of 20 µs.
    assert all_reduce_seconds(SCALE, 4) == pytest.approx(6e-3 + 120e-6)
    assert all_reduce_seconds(SCALE, 1) == 0
    assert all_reduce_seconds(SCALE, 1000) == pytest.approx(8e-3 * 0.999 + 1998 * 20e-6)


def test_the_limit_is_named():
    assert step_time(SCALE, 8)[1] == "compute"
    assert step_time(SCALE, 1000)[1] == "all-reduce"
    hidden = dataclasses.replace(SCALE, overlap=1.0)
    assert step_time(hidden, 1000) == (0.1, "compute")
    # 8 devices of a host ask 800 images/s of an input that makes 400.
    fed = dataclasses.replace(SCALE, devices_per_host=8, input_per_host=400)
    assert input_seconds(fed, 2) == pytest.approx(0.05)
    assert step_time(fed, 8) == (pytest.approx(0.2), "input")
    assert step_time(fed, 1000)[0] == pytest.approx(0.2)


def test_the_table_has_a_row_for_each_count_up_to_1000(capsys):
    main(["--step_seconds=0.1", "--images_per_device=10", "--parameters=1e6"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + len(DEVICES) and DEVICES[-1] == 1000
    assert lines[2].startswith("| 1 | 100.0 | 0.00 | 100.0 | 100 | 100% | compute |")
    assert table(SCALE) != table(dataclasses.replace(SCALE, latency_us=0.0))


@pytest.mark.parametrize("changes", [{"step_seconds": 0}, {"overlap": 2}, {"latency_us": -1}])
def test_impossible_figures_are_refused(changes):
    with pytest.raises(UserError, match=next(iter(changes))):
        dataclasses.replace(SCALE, **changes)
