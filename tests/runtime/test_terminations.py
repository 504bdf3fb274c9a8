"""SIGTERM while `invoke` runs an async body: each program is a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no signal reaches a handler there")

PRELUDE = """
import asyncio, os, signal, sys, threading
from holdfast import SqliteSaver, entrypoint, task

def say(text):
    os.write(1, f"{text}\\n".encode())

def leave(signum, frame):
    say("leaving")
    sys.exit(143)

def kill():
    signal.raise_signal(signal.SIGTERM)

signal.signal(signal.SIGTERM, leave)
"""


def lived(program: str, *arguments: object) -> tuple[list[str], str, int]:
    """What a program says, what it complains of, and its exit code."""
    command = [sys.executable, "-c", PRELUDE + textwrap.dedent(program), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout.splitlines(), done.stderr, done.returncode


def test_what_the_handler_raises_ends_the_loop_between_two_callbacks() -> None:
    """Not in the middle of one, whatever that is about; what waits is told, and the exit code is the handler's."""
    program = """
    @entrypoint
    async def plan(_):
        kill()
        say("went on")
        try:
            await asyncio.sleep(60)
        finally:
            say("told")

    plan.invoke(0)
    """

    assert (["leaving", "went on", "told"], "", 143) == lived(program)


def test_no_wake_up_is_lost() -> None:
    """The signal comes when a task's turn has been taken from the queue and has not begun: `asyncio.run` then waits for that task for ever."""
    program = """
    signals, run = [], asyncio.Handle._run

    def interrupted(handle):
        if signals:
            signals.pop()()
        run(handle)

    asyncio.Handle._run = interrupted

    @entrypoint
    async def plan(_):
        try:
            signals.append(kill)
            await asyncio.sleep(0)
            await asyncio.sleep(60)
        finally:
            say("told")

    plan.invoke(0)
    """

    assert (["leaving", "told"], "", 143) == lived(program)


def test_whoever_signals_again_does_not_wait() -> None:
    """For a loop that is stuck, say."""
    program = """
    @entrypoint
    async def plan(_):
        kill()
        kill()
        say("went on")

    plan.invoke(0)
    """

    assert (["leaving", "leaving"], "", 143) == lived(program)


def test_an_exception_of_the_programs_own() -> None:
    """It comes out of ``invoke``, and is all that is said."""
    program = """
    class Terminated(Exception):
        pass

    def leave(signum, frame):
        raise Terminated("now")

    signal.signal(signal.SIGTERM, leave)

    @entrypoint
    async def plan(_):
        kill()
        await asyncio.sleep(60)

    try:
        plan.invoke(0)
    except Terminated as error:
        say(f"{error}, {error.__suppress_context__}")
    plan.invoke(0)
    """
    said, errors, code = lived(program)

    assert (["now, True"], 1) == (said, code)
    assert "Terminated: now" == errors.splitlines()[-1]
    assert "Event loop stopped" not in errors


def test_a_flag_is_seen_by_a_body_that_never_comes_round() -> None:
    """The handler is called at once; each signal is one call."""
    program = """
    seen = []
    signal.signal(signal.SIGTERM, lambda *_: seen.append(1))

    @entrypoint
    async def plan(_):
        for n in range(2):
            threading.Thread(target=os.kill, args=[os.getpid(), signal.SIGTERM]).start()
            while len(seen) == n:
                time.sleep(0.001)
        return len(seen)

    import time
    say(plan.invoke(0))
    """

    assert (["2"], "", 0) == lived(program)


def test_a_forked_child_ends_at_once() -> None:
    """The loop that it has a copy of is not run there."""
    program = """
    @entrypoint
    async def plan(_):
        pid = os.fork()
        if pid == 0:
            try:
                kill()
                say("lives on")
            finally:
                os._exit(sys.exc_info()[1].code)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    say(plan.invoke(0))
    """

    assert (["leaving", "143"], "", 0) == lived(program)


@pytest.mark.parametrize("place", ["shutdown_asyncgens", "shutdown_default_executor", "close"])
def test_a_signal_while_the_loop_is_being_closed(place: str) -> None:
    """It is not lost, and what is raised comes out of ``invoke`` when that is done."""
    program = """
    @entrypoint
    async def plan(_):
        loop, place = asyncio.get_running_loop(), sys.argv[1]
        method = getattr(loop, place)

        def signalled(*arguments):
            kill()
            return method(*arguments)

        setattr(loop, place, signalled)
        return 1

    try:
        plan.invoke(0)
    finally:
        say(f"{threading.active_count()} thread")
    """

    assert (["leaving", "1 thread"], "", 143) == lived(program, place)


def test_what_was_done_is_kept(tmp_path: object) -> None:
    """Whatever the ``durability``: resumed, it is not done again."""
    program = """
    @task
    async def work(n):
        say(f"work {n}")
        return n

    @entrypoint(SqliteSaver(sys.argv[1] + "/s/runs.db", synchronous="NORMAL"), durability="exit")
    async def plan(_):
        done = await asyncio.gather(*map(work, range(5)))
        if sys.argv[2] == "first":
            kill()
            await asyncio.sleep(60)
        return done

    say(plan.invoke(0 if sys.argv[2] == "first" else None, thread_id="t"))
    """

    assert ([f"work {n}" for n in range(5)] + ["leaving"], "", 143) == lived(program, tmp_path, "first")
    assert (["[0, 1, 2, 3, 4]"], "", 0) == lived(program, tmp_path, "second")


def test_a_handler_that_returns_ends_nothing() -> None:
    """It is called, once for each signal; it is the program's own before and after, and what a body sets stays."""
    program = """
    def note(signum, frame):
        say("noted")

    def other(signum, frame):
        say("other")

    @entrypoint
    async def plan(sets):
        if sets:
            signal.signal(signal.SIGTERM, other)
        kill()
        await asyncio.sleep(0)
        return 1

    for sets in (False, True):
        signal.signal(signal.SIGTERM, note)
        plan.invoke(sets)
        say(signal.getsignal(signal.SIGTERM).__name__)
        kill()
    """

    assert (["noted", "note", "noted", "other", "other", "other"], "", 0) == lived(program)


@pytest.mark.parametrize(("setting", "code"), [("SIG_DFL", -signal.SIGTERM), ("SIG_IGN", 0)])
def test_what_the_system_does_is_left_to_it(setting: str, code: int) -> None:
    """The process dies of the signal, or does not notice."""
    program = """
    signal.signal(signal.SIGTERM, getattr(signal, sys.argv[1]))

    @entrypoint
    async def plan(_):
        kill()
        await asyncio.sleep(0)

    plan.invoke(0)
    """

    assert ([], "", code) == lived(program, setting)


def test_an_async_body_invoked_on_another_thread() -> None:
    """Signals interrupt the main thread alone, which keeps its handler."""
    program = """
    @entrypoint
    async def plan(_):
        return signal.getsignal(signal.SIGTERM).__name__

    thread = threading.Thread(target=lambda: say(plan.invoke(0)))
    thread.start()
    thread.join()
    """

    assert (["leave"], "", 0) == lived(program)
