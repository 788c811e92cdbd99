"""`nan_limit` steps in a row may be skipped; the next ends the run, and a good one starts anew."""

import types

import pytest

from gradnet_tf.training.stage import Stage
from gradnet_tf.utils.errors import NotFiniteError

GOOD, BAD = {"loss": 0.1, "finite": True}, {"loss": float("nan"), "finite": False}


@pytest.fixture
def make_stage(monkeypatch):
    """Returns a stage with a limit and nothing else of a run."""

    def make(limit):
        stage = Stage.__new__(Stage)
        stage.config = types.SimpleNamespace(nan_limit=limit)
        stage.loss, stage.skipped, stage._skipped_in_a_row, stage.label = None, 0, 0, "train"
        stage._compared = True  # with the warm-up: nothing to say about it
        monkeypatch.setattr(stage, "say", lambda text: None)
        monkeypatch.setattr(stage, "_not_finite", lambda step: f"stopped at step {step}")
        return stage

    return make


@pytest.mark.parametrize("limit", [0, 1, 2, 10])
def test_the_limit_is_the_last_number_of_skipped_steps_that_continues(make_stage, limit):
    stage = make_stage(limit)
    for step in range(1, limit + 1):
        stage.settle(step, BAD)
    stage.settle(limit + 1, GOOD)
    assert stage.skipped == limit
    for step in range(limit):
        stage.settle(100 + step, BAD)
    with pytest.raises(NotFiniteError, match=f"stopped at step {100 + limit}"):
        stage.settle(100 + limit, BAD)
    assert stage.skipped == 2 * limit + 1
