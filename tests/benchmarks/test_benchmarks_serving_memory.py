"""The benchmark of a server's memory: the long run that the requirement names, and its figures."""

import pytest
from tiny_run import tiny_model

from benchmarks.memory import serving_memory
from export.savedmodel.saved_model import write_saved_model


@pytest.mark.slow
def test_a_thousand_mixed_requests_leave_memory_flat(tmp_path):
    """The fast version, in the C++ loader, is in test_export_saved_model_encoded.py."""
    write_saved_model(tiny_model(), tmp_path / "1")
    rows = serving_memory.run(str(tmp_path), 1000)
    assert [number for number, _ in rows] == list(range(100, 1001, 100))
    assert serving_memory.growth(rows) < 0.05 * rows[0][1]


def test_growth_leaves_the_warm_up_out():
    assert serving_memory.growth([(100, 500.0), (200, 800.0), (600, 805.0), (1000, 807.0)]) == 7.0


def test_the_requests_are_of_all_kinds():
    requests = serving_memory.mixed_requests(0)
    assert {signature for signature, _, _ in requests} == {"encoded", "uint8", "serving_default"}
    good = sum(succeeds for _, _, succeeds in requests)
    assert good == 24 and len(requests) == 53
