"""FakeClock under threads: order of wake-ups, limits, what time waits for, stepping by hand."""

from __future__ import annotations

import asyncio
import functools
import importlib
import itertools
import math
import queue
import socket
import sqlite3
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.runtime.dispatch import workers
from holdfast.testing import FakeClock, _threads
from tests.waiting import until

ROUNDS = 200


def run_threads(*bodies):
    """Run the bodies on threads of their own; fail rather than hang."""
    threads = [threading.Thread(target=body, daemon=True) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert [] == [thread.name for thread in threads if thread.is_alive()]


def sleeper(clock, lengths, log, who=None):
    """A body that sleeps several times and logs when it woke."""

    def body():
        for length in lengths:
            clock.sleep(length)
            log.append((clock.now, who))

    return body


def wake_moments(programs):
    """The oracle: each thread wakes at the running sums of its lengths, whatever the others do."""
    return sorted((moment / 10, who) for who, lengths in enumerate(programs) for moment in itertools.accumulate(lengths))


@settings(max_examples=40)
@given(st.lists(st.lists(st.integers(1, 50), min_size=1, max_size=4), min_size=1, max_size=8))
def test_threads_wake_in_the_order_of_their_deadlines(programs):
    """Any number of threads, any lengths: everybody wakes at the very moment, and the log is in order of time."""
    clock, log = FakeClock(), []
    with clock:
        run_threads(*(sleeper(clock, [n / 10 for n in lengths], log, who) for who, lengths in enumerate(programs)))

    assert wake_moments(programs) == sorted(log)
    assert sorted(moment for moment, _ in log) == [moment for moment, _ in log]


def test_no_round_of_many_deadlocks_or_comes_out_of_order():
    """The same race two hundred times: eight threads that start while others sleep already."""
    programs = [[(7 * who + 3 * step) % 11 + 1 for step in range(3)] for who in range(8)]
    expected = wake_moments(programs)
    for _ in range(ROUNDS):
        clock, log = FakeClock(), []
        with clock:
            run_threads(*(sleeper(clock, [n / 10 for n in lengths], log, who) for who, lengths in enumerate(programs)))
        assert expected == sorted(log)
        assert [moment for moment, _ in expected] == [moment for moment, _ in log]


def test_a_hundred_threads_share_a_moment():
    """All wake at it, and time goes no further."""
    clock, log = FakeClock(), []
    with clock:
        run_threads(*(sleeper(clock, [5], log) for _ in range(100)))

    assert [(5.0, None)] * 100 == log


def test_slept_is_in_the_order_of_the_calls():
    """Not in the order of the wake-ups."""
    clock = FakeClock()
    with clock:
        first = threading.Thread(target=clock.sleep, args=(2,))
        first.start()
        while not clock.slept:
            time.sleep(0.001)
        clock.sleep(1)
        first.join()

    assert [2, 1] == clock.slept


def test_a_limit_expires_while_another_thread_sleeps_longer():
    """``wait(event, 5)`` beside ``sleep(10)`` is over at 5."""
    clock = FakeClock()
    with clock:
        other = threading.Thread(target=clock.sleep, args=(10,))
        other.start()
        is_set = clock.wait(threading.Event(), 5)
        moment = clock.now
        other.join()

    assert (False, 5.0, 10.0) == (is_set, moment, clock.now)


@pytest.mark.parametrize("method", ["wait", "pause"])
def test_an_event_set_in_time_ends_the_wait(method):
    """By a thread that slept less than the limit."""
    clock, event = FakeClock(), threading.Event()

    def set_later():
        clock.sleep(3)
        event.set()

    with clock:
        other = threading.Thread(target=set_later)
        other.start()
        is_set = clock.wait(event, 5) if method == "wait" else clock.pause(5, event)
        other.join()

    assert (True, 3.0) == (is_set, clock.now)


def test_a_wait_without_limit_is_real():
    """It ends when the event is set, however long that takes."""
    clock, event = FakeClock(), threading.Event()
    with clock:
        other = threading.Thread(target=lambda: (clock.sleep(3600), event.set()))
        other.start()
        assert clock.wait(event, None)
        other.join()

    assert 3600.0 == clock.now


def test_time_waits_for_a_thread_that_computes():
    """A sleeper of 2 s does not overtake a thread that is busy before its sleep of 1 s."""
    clock, log = FakeClock(), []

    def late():
        until = time.monotonic() + 0.1
        while time.monotonic() < until:
            pass
        sleeper(clock, [1], log, "late")()

    with clock:
        run_threads(sleeper(clock, [2], log, "early"), late)

    assert [(1.0, "late"), (2.0, "early")] == log


def test_time_waits_for_a_thread_that_goes_from_call_to_call():
    """Each of its real calls is short; together they would be taken for a hang."""
    clock, log = FakeClock(), []

    def late():
        calls = "pause();" * 12  # twelve instructions: it does move
        exec(calls, {"pause": functools.partial(time.sleep, 0.005)})
        sleeper(clock, [1], log, "late")()

    with clock:
        run_threads(sleeper(clock, [2], log, "early"), late)

    assert [(1.0, "late"), (2.0, "early")] == log


def test_a_limit_holds_while_real_work_goes_on():
    """A real answer after 0.1 s comes before a virtual timeout of 5 s, even from a socket."""
    clock, event = FakeClock(), threading.Event()
    here, there = socket.socketpair()

    def work():
        here.recv(1)
        event.set()

    def answer():
        time.sleep(0.1)
        there.send(b"x")

    with here, there, clock:
        threads = [threading.Thread(target=work), threading.Thread(target=answer)]
        for thread in threads:
            thread.start()
        assert clock.wait(event, 5)
        for thread in threads:
            thread.join()

    assert 0.0 == clock.now


def test_work_that_never_ends_does_not_hold_time_for_ever():
    """A thread that hangs in a real call only costs patience."""
    clock = FakeClock(patience=0.05)
    here, there = socket.socketpair()
    with here, there, clock:
        hanging = threading.Thread(target=here.recv, args=(1,))
        hanging.start()
        is_set = clock.wait(threading.Event(), 5)
        clock.sleep(1)
        there.send(b"x")
        hanging.join()

    assert (False, 6.0) == (is_set, clock.now)


def test_a_thread_that_never_rests_does_not_hold_time_for_ever():
    """About a second of it is enough."""
    clock, stop = FakeClock(), threading.Event()

    def spin():
        while not stop.is_set():
            pass

    with clock:
        spinning = threading.Thread(target=spin)
        spinning.start()
        begun = time.monotonic()
        clock.sleep(60)
        took = time.monotonic() - begun
        stop.set()
        spinning.join()

    assert 60.0 == clock.now
    assert took < 20


def rest(thread):
    """Wait until a thread has not moved for fifty looks."""
    before, looks = None, 0
    while looks < 50:
        time.sleep(0.001)
        frame = sys._current_frames().get(thread.ident)
        position = frame and (id(frame), frame.f_lasti)
        looks = looks + 1 if position is not None and position == before else 0
        before = position


def test_threads_that_blocked_before_are_no_reason_to_wait():
    """The helpers of a test runner sit in calls of their own all the time."""
    here, there = socket.socketpair()
    with here, there:
        blocked = threading.Thread(target=here.recv, args=(1,))
        blocked.start()
        rest(blocked)
        begun = time.monotonic()
        with FakeClock(patience=30) as clock:
            clock.wait(threading.Event(), 5)
        took = time.monotonic() - begun
        there.send(b"x")
        blocked.join()

    assert took < 15  # its patience is 30


def test_a_thread_that_blocks_again_where_it_did_before_is_no_reason_to_wait():
    """A test runner's helper is sent something now and then, a server a request: that is no work of the test."""
    here, there = socket.socketpair()

    def read():
        while (said := here.recv(1)) != b".":
            heard.append(said)

    heard: list[bytes] = []
    with here, there:
        reader = threading.Thread(target=read)
        reader.start()
        rest(reader)
        with FakeClock(patience=30) as clock:
            there.send(b"x")
            until(lambda: heard)
            begun = time.monotonic()
            clock.wait(threading.Event(), 5)
            took = time.monotonic() - begun
        there.send(b".")
        reader.join()

    assert took < 15  # its patience is 30


@pytest.mark.parametrize("place", ["pool", "queue", "event", "semaphore", "barrier", "join", "future"])
def test_parked_threads_cost_nothing(place):
    """Threads that wait for each other in the usual ways are recognised: a limit expires at once, whatever the patience."""
    clock = FakeClock(patience=30)
    release = threading.Event()
    blocker = threading.Thread(target=release.wait)
    semaphore, barrier, items = threading.Semaphore(0), threading.Barrier(2), queue.Queue()

    with clock, ThreadPoolExecutor(2) as pool:
        held = pool.submit(release.wait)
        pool.submit(int).result()
        blocker.start()
        targets = {
            "pool": int,
            "queue": items.get,
            "event": release.wait,
            "semaphore": semaphore.acquire,
            "barrier": barrier.wait,
            "join": blocker.join,
            "future": held.result,
        }
        waiting = threading.Thread(target=targets[place])
        waiting.start()
        begun = time.monotonic()
        assert not clock.wait(threading.Event(), 5)
        took = time.monotonic() - begun
        release.set()
        semaphore.release()
        items.put(None)
        if place == "barrier":
            barrier.wait()
        waiting.join()
        blocker.join()

    assert took < 15  # its patience is 30


def test_a_woken_thread_runs_before_time_goes_on():
    """It takes part with what it does next: the chain of three hand-overs is in order, two hundred times."""
    for _ in range(ROUNDS):
        clock, log, items = FakeClock(), [], queue.Queue()

        def consumer(clock=clock, log=log, items=items):
            for _ in range(3):
                items.get()
                clock.sleep(1)
                log.append(("consumed", clock.now))

        def producer(clock=clock, log=log, items=items):
            for _ in range(3):
                clock.sleep(2)
                log.append(("produced", clock.now))
                items.put(None)

        with clock:
            run_threads(consumer, producer)
        names = ["produced", "consumed"] * 3
        assert list(zip(names, [2.0, 3.0, 4.0, 5.0, 6.0, 7.0], strict=True)) == log


def test_a_joined_thread_hands_over_in_order():
    """Whoever waited for its end runs before time goes on, two hundred times."""
    for _ in range(ROUNDS):
        clock, log = FakeClock(), []
        first = threading.Thread(target=clock.sleep, args=(1,))

        def second(clock=clock, log=log, first=first):
            first.join()
            sleeper(clock, [1], log, "joined")()

        with clock:
            first.start()
            run_threads(second, sleeper(clock, [3], log, "long"))
        assert [(2.0, "joined"), (3.0, "long")] == log


@pytest.mark.parametrize("count", [1, 3])
def test_a_job_for_an_idle_pool_worker_is_begun_in_order(count):
    """It has left the queue's owner but not yet reached its thread: that counts as work, two hundred times."""
    with ThreadPoolExecutor(count) as pool:
        barrier = threading.Barrier(count)
        for begun in [pool.submit(barrier.wait) for _ in range(count)]:
            begun.result()
        for _ in range(ROUNDS):
            clock, log = FakeClock(), []

            def hand_over(clock=clock, log=log):
                clock.sleep(1)
                pool.submit(sleeper(clock, [1], log, "job"))

            with clock:
                run_threads(hand_over, sleeper(clock, [3], log, "long"))
            assert [(2.0, "job"), (3.0, "long")] == log


def test_a_job_for_an_idle_worker_of_holdfast_is_begun_in_order():
    """As with any pool; here the thread is our own, and so is what it waits in."""
    for _ in range(ROUNDS):
        clock, log = FakeClock(), []

        def hand_over(clock=clock, log=log):
            clock.sleep(1)
            workers.run(sleeper(clock, [1], log, "job"))

        with clock:
            run_threads(hand_over, sleeper(clock, [3], log, "long"))
        assert [(2.0, "job"), (3.0, "long")] == log


def test_whoever_shuts_a_pool_down_goes_on_in_order():
    """Its idle workers are woken to end, and that counts as work as well."""
    for _ in range(ROUNDS):
        clock, log, pool = FakeClock(), [], ThreadPoolExecutor(1)
        pool.submit(int).result()

        def shut_down(clock=clock, log=log, pool=pool):
            clock.sleep(1)
            pool.shutdown()
            sleeper(clock, [1], log, "after")()

        with clock:
            run_threads(shut_down, sleeper(clock, [3], log, "long"))
        assert [(2.0, "after"), (3.0, "long")] == log


def test_pool_workers_sleep_in_order():
    """Queued work starts when a worker is free: two workers, sleeps of 3, 1, 1 and 1 s."""
    clock, log = FakeClock(), []
    with clock, ThreadPoolExecutor(2) as pool:
        for who, length in enumerate([3, 1, 1, 1]):
            pool.submit(sleeper(clock, [length], log, who))

    # At 3 s two wake; who is first then is not determined.
    assert [(1.0, 1), (2.0, 2), (3.0, 0), (3.0, 3)] == sorted(log)
    assert 3.0 == clock.now


def test_leaving_lets_sleepers_go():
    """A thread that was given up does not sleep on after the test."""
    with FakeClock(auto=False) as clock:
        forgotten = threading.Thread(target=clock.sleep, args=(10,))
        forgotten.start()
        while not clock.slept:
            time.sleep(0.001)
    forgotten.join(30)

    assert not forgotten.is_alive()
    assert 0.0 == clock.now


def test_advance_wakes_whoever_is_due():
    """And nobody else."""
    clock, log = FakeClock(auto=False), []
    with clock:
        threads = [threading.Thread(target=sleeper(clock, [n], log, n)) for n in (3, 1, 2)]
        for thread in threads:
            thread.start()
        clock.advance(2)
        assert [(1.0, 1), (2.0, 2)] == log
        clock.advance(1)
        assert [(1.0, 1), (2.0, 2), (3.0, 3)] == log
        for thread in threads:
            thread.join()


def test_advance_passes_through_every_moment():
    """Who wakes and sleeps again within the span is woken again, at its own moments."""
    clock, log = FakeClock(auto=False), []
    with clock:
        thread = threading.Thread(target=sleeper(clock, [1, 1, 1, 5], log))
        thread.start()
        clock.advance(4)
        assert [1.0, 2.0, 3.0] == [moment for moment, _ in log]
        assert 4.0 == clock.now
        clock.advance(4)
        thread.join()

    assert 8.0 == clock.now


def test_two_threads_may_advance():
    """One after the other."""
    clock = FakeClock()
    run_threads(*(lambda: clock.advance(1) for _ in range(4)))

    assert 4.0 == clock.now


def test_known_places_exist():
    """A function that was renamed would no longer be recognised, and each timeout test would cost half a second."""
    for module, qualname in (place for place in _threads._PLACES if place[0].startswith("holdfast.")):
        function = functools.reduce(getattr, qualname.split("."), importlib.import_module(module))
        assert qualname == function.__code__.co_qualname


def test_idle_workers_of_holdfast_cost_nothing():
    """Their pool is recognised as resting."""
    done = threading.Event()
    with FakeClock(patience=30) as clock:
        workers.run(done.set)
        assert done.wait(30)
        begun = time.monotonic()
        assert not clock.wait(threading.Event(), 5)

    assert time.monotonic() - begun < 15


def test_a_loop_that_was_at_rest_from_the_start_is_at_work_once_it_has_something_to_do():
    """Its thread may still stand in the very `select` where the clock found it: on a busy machine it takes a while to wake."""
    loop, watch = asyncio.new_event_loop(), _threads.Watch()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        while not _threads.is_parked(sys._current_frames()[thread.ident]):
            time.sleep(0.001)
        others = {each.ident for each in threading.enumerate()} - {thread.ident}
        watch.excuse_present()
        at_rest = watch.stillness(others, calm=0, is_look=True)

        loop.call_soon(lambda: None)  # as `call_soon_threadsafe` does before it writes to the loop's socket

        assert math.inf == at_rest
        assert 0 == watch.stillness(others, calm=0, is_look=True)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.mark.skipif(sys.platform != "linux", reason="no other system tells")
def test_who_has_the_processor_or_waits_for_it_does_not_stand_still():
    """A call that computes without the GIL, beside one that waits: both stay at one instruction."""
    here, there = socket.socketpair()
    database = sqlite3.connect(":memory:", check_same_thread=False)
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"

    def compute():
        with pytest.raises(sqlite3.OperationalError, match="interrupted"):
            database.execute(endless)

    def watched(body):
        """A thread inside its body, and for how many looks it has stood still."""
        thread, watch = threading.Thread(target=body), _threads.Watch()
        thread.start()
        rest(thread)
        others = {other.ident for other in threading.enumerate()} - {thread.ident}
        return thread, lambda: watch.stillness(others, calm=math.inf, is_look=True)

    with here, there, closing(database):
        computing, look = watched(compute)
        moved = [look() for _ in range(10)]
        until(lambda: database.interrupt() or not computing.is_alive())
        waiting, look = watched(functools.partial(here.recv, 1))
        until(look)
        there.send(b".")
        waiting.join(30)

    assert [0] * 10 == moved


def test_a_thread_that_is_started_between_two_looks_is_at_work(monkeypatch):
    """It is in no frame yet, and whoever starts it waits for its first instruction."""
    newborn, frames = threading.Thread(), _threads.current_frames

    def starting():
        threading._limbo[newborn] = newborn
        return frames()

    monkeypatch.setattr(_threads, "current_frames", starting)
    others = {each.ident for each in threading.enumerate()}
    try:
        assert 0 == _threads.Watch().stillness(others, calm=0, is_look=True)
    finally:
        del threading._limbo[newborn]
