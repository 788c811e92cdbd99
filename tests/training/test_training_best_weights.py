"""Which validation's weights are kept as best: the first of equal ones, none without a PSNR."""

import contextlib
from types import SimpleNamespace

from gradnet_tf.training import stage as module
from gradnet_tf.training.stage import Stage
from gradnet_tf.training.workers.team import Team


def test_only_a_higher_psnr_replaces_the_best(monkeypatch):
    scores = iter([float("nan"), 30.0, 30.0, 29.0, 31.0])
    monkeypatch.setattr(module, "image_psnrs", lambda *_: [next(scores)])
    kept = []
    stage = Stage.__new__(Stage)
    stage.engine = SimpleNamespace(averaged=contextlib.nullcontext)
    stage.config = SimpleNamespace(schedule="cosine")
    stage.team, stage.validation, stage.best, stage.sets = Team(), [], None, None
    monkeypatch.setattr(stage, "_show_validation", lambda: None)
    monkeypatch.setattr(stage, "_write", lambda copies, write: kept.append(stage.step))
    for stage.step in range(1, 6):
        stage.validate()
    assert kept == [2, 5] and stage.best == 31.0
