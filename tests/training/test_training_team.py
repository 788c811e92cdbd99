"""The loop on several workers at once: threads with fake engines and a real team between them."""

import contextlib
import copy
import threading

import numpy as np
import pytest
from test_training_loop import VALIDATION, FakeEngine, batches, config
from test_training_parts import rows

from gradnet_tf.training import loop, stage
from gradnet_tf.training.workers.team import Team
from gradnet_tf.utils.errors import Interrupted


class ThreadTeam(Team):
    """Workers are threads; a message that somebody does not send breaks the barrier."""

    def __init__(self, index, size, board):
        self.index, self.size, self.board = index, size, board

    def _exchange(self, value):
        self.board["values"][self.index] = value
        self.board["barrier"].wait(10)
        values = copy.deepcopy(self.board["values"])
        self.board["barrier"].wait(10)
        return values

    def sums(self, values):
        return np.sum(self._exchange(list(values)), axis=0).tolist()

    def share(self, value):
        return self._exchange(value)[0]

    share_arrays = share


class TeamEngine(FakeEngine):
    """A fake engine whose model has weights as a list."""

    def __init__(self, team, **options):
        super().__init__(**options)
        self.team = team
        self.model.get_weights = lambda: [np.array(self.model.value)]
        self.model.set_weights = lambda arrays: setattr(self.model, "value", float(arrays[0]))


def run_team(folder, size, make_engine, budget=None, **changes):
    """Runs a stage on each worker; returns (engines, results); an error is a result."""
    board = {"values": [None] * size, "barrier": threading.Barrier(size)}
    engines = [make_engine(ThreadTeam(index, size, board)) for index in range(size)]
    results = [None] * size

    def work(index):
        workdir = folder / str(index)
        try:
            results[index] = loop.run_stage(
                config(workdir, **changes), engines[index], batches, VALIDATION * 4, workdir, budget
            )
        except Exception as error:
            results[index] = error

    threads = [threading.Thread(target=work, args=(index,)) for index in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return engines, results


@pytest.mark.parametrize("size", [2, 3])
def test_only_the_chief_writes_and_all_score_the_same(tmp_path, size):
    alone = loop.run_stage(
        config(tmp_path / "alone"), FakeEngine(), batches, VALIDATION * 4, tmp_path / "alone"
    )
    _, results = run_team(tmp_path, size, TeamEngine)
    assert [result["psnr"] for result in results] == pytest.approx([alone["psnr"]] * size)
    assert [result["step"] for result in results] == [20] * size
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "alone"]
    assert [row["step"] for row in rows(tmp_path / "0")] == list(range(1, 21))


def test_workers_resume_from_the_chiefs_state(tmp_path):
    run_team(tmp_path, 2, TeamEngine, steps=10)
    engines, results = run_team(tmp_path, 2, TeamEngine)
    assert [engine.model.value for engine in engines] == [sum(range(1, 21))] * 2
    assert engines[1].restored == sum(range(1, 11))
    assert [len(engine.rates) for engine in engines] == [10, 10]
    assert {"event": "resume", "step": 10} in rows(tmp_path / "0")
    assert results[0]["psnr"] == results[1]["psnr"]


def test_the_chiefs_clock_is_everyones(tmp_path, monkeypatch):
    class Clock:
        """Seconds since the start; another worker's clock is slower by a hundred."""

        seconds = threading.local()

        def monotonic(self):
            return getattr(self.seconds, "now", 0.0)

    clock = Clock()
    monkeypatch.setattr(stage, "time", clock)

    def make(team):
        def tick(engine):
            clock.seconds.now = clock.monotonic() + (1.0 if team.chief else 0.01)

        return TeamEngine(team, on_step=tick)

    engines, results = run_team(tmp_path, 2, make, budget=8.0, steps=1000, warmup_steps=0)
    assert [result["step"] for result in results] == [8, 8]
    assert engines[0].rates == engines[1].rates
    assert engines[0].rates[4] < engines[0].rates[0]
    # What is left for the next stage is the same, too.
    assert results[0]["elapsed"] == results[1]["elapsed"]


def test_a_stop_asked_of_one_worker_stops_all_at_the_same_step(tmp_path, monkeypatch):
    asked = threading.local()

    @contextlib.contextmanager
    def requests():
        asked.list = []
        yield asked.list

    monkeypatch.setattr(loop, "_stop_requests", requests)

    def make(team):
        def ask(engine):
            if not team.chief and engine.model.value == sum(range(1, 8)):
                asked.list.append("SIGTERM")

        return TeamEngine(team, on_step=ask)

    _, results = run_team(tmp_path, 2, make)
    assert all(isinstance(result, Interrupted) for result in results), results
    assert "a signal to another worker at step 7" in str(results[0])
    assert "stopped by SIGTERM at step 7" in str(results[1])
    assert (tmp_path / "0/checkpoints/step-00000007").is_dir()


def test_a_team_of_one_gives_back_what_it_gets():
    team = Team()
    assert team.chief and team.sums([1, 2.5]) == [1.0, 2.5]
    assert team.agree(3.0, True) == (3.0, True)
    assert team.share({"step": 1}) == {"step": 1} and team.share_state(None, None) is None
