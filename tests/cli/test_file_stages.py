"""Three steps for every item: in order, overlapping, and whole whatever happens."""

import os
import signal
import threading

import pytest

from gradnet_tf.cli.file_stages import run_in_stages
from gradnet_tf.utils.errors import UserError

WAIT = 20  # seconds for what happens at once, unless something is wrong


def run(items, jobs, read=None, work=None, write=None, **more):
    """Runs with steps that add a letter; returns what `done` was told, and in which order."""
    told = []
    run_in_stages(
        items,
        read or (lambda item: f"{item}r"),
        work or (lambda item, value: f"{value}w"),
        write or (lambda item, value: f"{value}o"),
        lambda item, outcome: told.append((item, outcome)),
        jobs,
        **more,
    )
    return told


@pytest.mark.parametrize("jobs", [1, 2, 5])
def test_every_item_goes_through_the_steps(jobs):
    items = list(range(40))
    told = run(items, jobs)
    assert sorted(told) == [(item, f"{item}rwo") for item in items]
    assert jobs > 1 or [item for item, _ in told] == items


@pytest.mark.parametrize("jobs", [1, 3])
def test_work_is_done_in_order_by_the_calling_thread(jobs):
    seen = []

    def work(item, value):
        seen.append((item, threading.current_thread()))
        return value

    run(range(20), jobs, work=work)
    assert seen == [(item, threading.current_thread()) for item in range(20)]


@pytest.mark.parametrize("jobs", [1, 2])
def test_with_jobs_the_next_item_is_read_during_work(jobs):
    read = {item: threading.Event() for item in range(4)}
    early = []

    def work(item, value):
        if item < 3:
            early.append(read[item + 1].wait(WAIT if jobs > 1 else 0.01))

    run(range(4), jobs, read=lambda item: read[item].set(), work=work)
    assert early == [jobs > 1] * 3


def test_with_jobs_the_one_before_is_written_during_work():
    begun, worked = threading.Event(), threading.Event()

    def work(item, value):
        if item == 1:
            assert begun.wait(WAIT)
            worked.set()
        return item

    def write(item, value):
        if item == 0:
            begun.set()
            assert worked.wait(WAIT)  # The second one is worked on before this one is written.
        return "out"

    found = run(range(2), 2, work=work, write=write)
    assert sorted(found) == [(0, "out"), (1, "out")]  # both wait for one event


@pytest.mark.parametrize("jobs", [1, 3])
def test_a_failure_costs_one_item(jobs):
    errors = {1: UserError("read"), 2: OSError("work"), 3: MemoryError("write")}

    def fails(number):
        def step(item, *value):
            if item == number:
                raise errors[number]
            return item

        return step

    def work(item, value):
        return errors[2] if item == 2 else item

    told = dict(run(range(6), jobs, fails(1), work, fails(3)))
    assert told == {**{item: item for item in range(6)}, **errors}


@pytest.mark.parametrize("jobs", [1, 3])
def test_an_interruption_finishes_what_is_being_written_and_begins_nothing(jobs):
    written, told = [], []

    def work(item, value):
        if item == 2:
            raise KeyboardInterrupt
        return item

    def write(item, value):
        written.append(item)
        return item

    with pytest.raises(KeyboardInterrupt):
        run_in_stages(range(9), int, work, write, lambda *pair: told.append(pair), jobs)
    assert sorted(written) == [0, 1] and sorted(told) == [(0, 0), (1, 1)]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("photos")]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_a_result_is_counted_loses_none(number):
    """Before, a file could stand in the folder that the summary did not count."""
    written, told = [], []

    def write(item, value):
        written.append(item)
        return item

    def done(item, value):
        if not told:
            os.kill(os.getpid(), number)
        told.append(item)

    def stop(*_):
        raise KeyboardInterrupt

    usual = signal.signal(number, stop)
    try:
        with pytest.raises(KeyboardInterrupt):
            run_in_stages(range(9), int, lambda item, value: item, write, done, 3)
        assert signal.getsignal(number) is stop
    finally:
        signal.signal(number, usual)
    assert told and sorted(told) == sorted(written)


@pytest.mark.parametrize("jobs", [1, 3])
def test_an_error_of_the_work_itself_ends_all(jobs):
    def work(item, value):
        raise UserError("no such model")

    with pytest.raises(UserError, match="no such model"):
        run(range(5), jobs, work=work)


def test_no_more_than_the_room_is_on_its_way():
    lock, inside, most = threading.Lock(), set(), []

    def read(item):
        with lock:
            inside.add(item)
            most.append(sum(inside))
        return item

    def write(item, value):
        with lock:
            inside.discard(item)

    items = [3, 4, 5, 30, 2, 1, 6, 7]
    run(items, 4, read=read, write=write, cost=float, room=9.0)
    # 30 is more than there is room for, and is let in alone.
    assert len(most) == len(items) and max(most) == 30
    assert max(total for total in most if total != 30) <= 9
