"""Items that several threads work on."""

import threading
import time

import pytest

from elman.runtime import cores
from elman.runtime.cores import side_by_side
from tests.systems import PATIENCE


@pytest.fixture(params=[1, 2, 3])
def threads(request, monkeypatch):
    """How many threads there are for them."""
    monkeypatch.setattr(cores, "cores", lambda: request.param)
    return request.param


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("count", [0, 1, 7])
def test_results_have_the_order_of_the_items(count):
    assert side_by_side(lambda n: n * n, iter(range(count))) == [n * n for n in range(count)]


def test_as_many_run_at_once_as_there_are_cores(threads):
    barrier = threading.Barrier(threads)
    assert side_by_side(lambda _: barrier.wait(PATIENCE), range(threads)) is not None
    assert not barrier.broken


@pytest.mark.usefixtures("threads")
def test_items_are_made_by_one_thread_at_a_time():
    def items():
        for n in range(20):
            time.sleep(0.001)  # who came in now would meet "generator already executing"
            yield n

    assert side_by_side(str, items()) == [*map(str, range(20))]


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, StopIteration])
@pytest.mark.parametrize("making", [False, True], ids=["running", "making"])
def test_an_exception_ends_it_once_all_are_done(threads, error, making):
    before, done = threading.active_count(), []

    def run(n):
        if n == 3 and not making:
            raise error
        time.sleep(0.001)
        done.append(n)

    def items():
        for n in range(100):
            if n == 3 and making:
                raise error
            yield n

    with pytest.raises(RuntimeError if making and error is StopIteration else error):
        side_by_side(run, items())
    assert len(done) < 50
    assert threading.active_count() == before


@pytest.mark.parametrize("name", ["start", "join"])
def test_an_interrupt_waits_for_the_helpers(monkeypatch, name):
    """They use what the caller has locked."""
    monkeypatch.setattr(cores, "cores", lambda: 2)
    before, caller = threading.active_count(), threading.current_thread()
    function = getattr(threading.Thread, name)
    inside, interrupted, done = threading.Event(), threading.Event(), []

    def run(number):
        if threading.current_thread() is caller:
            inside.wait(PATIENCE)
        else:
            inside.set()
            interrupted.wait(PATIENCE)
            time.sleep(0.05)  # who does not wait for it is gone
            done.append(number)

    def interrupt(thread):
        monkeypatch.undo()
        if name == "start":
            function(thread)
            inside.wait(PATIENCE)
        interrupted.set()
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, name, interrupt)
    with pytest.raises(KeyboardInterrupt):
        side_by_side(run, range(2))
    assert len(done) == 1
    assert threading.active_count() == before


def test_where_no_thread_can_be_started_the_caller_does_all(monkeypatch, threads):
    def refuse(_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert side_by_side(str, range(threads)) == [*map(str, range(threads))]
