"""`FakeClock`: virtual time for code decorated with holdfast; `no_waits`: real time, but nobody waits.

How virtual time decides when to pass is told in `_virtual.py`.
"""

from __future__ import annotations

import inspect
import itertools
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar, cast, overload

from holdfast import clock as _clock
from holdfast.policies.duration import patience
from holdfast.testing._agenda import Kind, Wait
from holdfast.testing._virtual import VirtualTime

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncGenerator
    from types import TracebackType

    from holdfast.policies.duration import Duration

P = ParamSpec("P")
R = TypeVar("R")

Draw = float | Sequence[float] | Callable[[], float]
"""Where jitter comes from: one number in [0, 1], numbers used in turn (and again from the first), or a function."""

_EPOCH = 1_735_689_600.0
"""2025-01-01 00:00 UTC: where virtual time starts unless told otherwise."""
_POLL = 0.001
"""Real seconds between two looks of a thread that waits for an event with a virtual limit."""


class _TestClock(_clock.Clock):
    """What the two clocks of the test kit share: installing themselves, recording sleeps, scripted chance."""

    def __init__(self, draw: Draw) -> None:
        self.slept: list[float] = []
        self._previous: _clock.Clock | None = None
        self._draw = _draws(draw)

    def __enter__(self) -> Self:
        """Install the clock for the whole process."""
        if self._previous is not None:
            raise RuntimeError(f"this {type(self).__name__} is installed already: make a second one to nest")
        self._previous = _clock.install(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Install the previous clock again."""
        if self._previous is not None:
            _clock.install(self._previous)
            self._previous = None

    def draw(self) -> float:
        """Return the next number given as ``draw``."""
        return self._draw()

    def set_draw(self, draw: Draw) -> None:
        """Replace the numbers that `draw` returns, see the constructor."""
        self._draw = _draws(draw)


class FakeClock(_TestClock):
    """A clock whose time passes only when everyone waits for it, or when the test says so.

    Use it as a context manager; inside, it is `holdfast.clock.current` for the whole process. Clocks nest. At the end of the block whoever
    still waits is let go, and the clock makes nobody wait any more.

    Attributes:
        slept: Seconds of each `sleep` and `sleep_async`, in the order of the calls.

    >>> with FakeClock() as clock:
    ...     clock.sleep(3600)
    >>> clock.slept, clock.now
    ([3600], 3600.0)
    """

    def __init__(
        self, *, start: float = _EPOCH, draw: Draw = 1.0, auto: bool = True, patience: float = 0.5, stuck_after: float = 10.0
    ) -> None:
        """Set the clock up; it is installed when entered.

        Args:
            start: Seconds since the epoch at which virtual time starts; default 2025-01-01 00:00 UTC.
            draw: What `draw` returns: one number in [0, 1], a sequence of them used in turn (and again from the first), or a function, for
                example ``random.Random(7).random``. The default 1.0 makes a full-jitter backoff wait its whole interval.
            auto: True lets time jump by itself; False leaves it to `advance`.
            patience: Real seconds that a limit (a timeout, a wait for an event) still holds while another thread may be doing real work,
                such as a socket call; default 0.5.
            stuck_after: With ``auto=False``, real seconds after which a waiter gets `StuckClockError`; default 10.
        """
        super().__init__(draw)
        self._start_ns = round(start * 1e9)
        self._virtual = VirtualTime(auto=auto, patience=patience, stuck_after=stuck_after)

    def __enter__(self) -> Self:
        """Install the clock for the whole process."""
        super().__enter__()
        self._virtual.open()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Install the previous clock again and let go of everyone who still waits on this one."""
        super().__exit__(kind, error, trace)
        self._virtual.close()

    @property
    def now(self) -> float:
        """Virtual seconds since the start."""
        return self._virtual.now_ns / 1e9

    def monotonic(self) -> float:
        """Virtual seconds since the start."""
        return self.now

    def time(self) -> float:
        """Virtual seconds since the epoch."""
        return self.time_ns() / 1e9

    def time_ns(self) -> int:
        """Virtual nanoseconds since the epoch."""
        return self._start_ns + self._virtual.now_ns

    def advance(self, seconds: Duration) -> None:
        """Let virtual time pass, waking everyone who is due on the way, each at its own moment.

        It first waits (really, but briefly) for the other threads to come to rest, so a thread started just before has reached its sleep;
        and again before it returns, so whoever was woken has gone as far as it can.

        Args:
            seconds: How much of it: seconds, a timedelta or text like ``"1h30m"``.

        Raises:
            RuntimeError: Called on an event loop's own thread while a task of that loop is due: the loop could not run it.
                Await `advance_async` there.
        """
        self._virtual.advance(patience(seconds, what="seconds"))

    async def advance_async(self, seconds: Duration) -> None:
        """Do what `advance` does, from a coroutine: the tasks of its loop run meanwhile."""
        import asyncio  # asyncio costs 30 ms to import and sync users never need it

        await asyncio.to_thread(self._virtual.advance, patience(seconds, what="seconds"))

    def sleep(self, seconds: float) -> None:
        """Block this thread for ``seconds`` of virtual time."""
        self._sleep(seconds, f"sleep({seconds:g})", None)

    def pause(self, seconds: float, until: threading.Event) -> bool:
        """Block this thread for ``seconds`` of virtual time, or until the event is set (True)."""
        self._sleep(seconds, f"pause({seconds:g})", until)
        return until.is_set()

    async def sleep_async(self, seconds: float) -> None:
        """Suspend this asyncio task for ``seconds`` of virtual time."""
        import asyncio

        woken = asyncio.get_running_loop().create_future()
        wait = self._enter(seconds, _suspending(Kind.SLEEP, f"sleep_async({seconds:g})", partial(_resolve, woken)))
        try:
            await (asyncio.sleep(0) if wait.is_over else woken)
        finally:
            self._virtual.leave(wait)

    def wait(self, event: threading.Event, seconds: float | None) -> bool:
        """Block until ``event`` is set (True) or ``seconds`` of virtual time have passed (False); ``None`` waits really, for ever."""
        if seconds is None:
            return event.wait()
        if event.is_set() or seconds <= 0:
            return event.is_set()
        wait = self._virtual.enter(seconds, _blocking(Kind.LIMIT, f"wait(event, {seconds:g})", bool, event))
        self._block(wait, event)
        return event.is_set()

    @asynccontextmanager
    async def timeout(self, seconds: float) -> AsyncGenerator[asyncio.Timeout, None]:
        """Raise TimeoutError in the body when it takes longer than ``seconds`` of virtual time; enters an `asyncio.Timeout`."""
        import asyncio

        async with asyncio.timeout(None) as limit:
            wait = self._virtual.enter(max(seconds, 0), _suspending(Kind.LIMIT, f"timeout({seconds:g})", partial(_expire, limit)))
            try:
                yield limit
            finally:
                self._virtual.leave(wait)

    def _sleep(self, seconds: float, what: str, until: threading.Event | None) -> None:
        woken = threading.Event()
        wait = self._enter(seconds, _blocking(Kind.SLEEP, what, woken.set, until))
        self._block(wait, woken if until is None else until)

    def _block(self, wait: Wait, event: threading.Event) -> None:
        """Block this thread until the wait is over or ``event`` is set, whichever is first."""
        try:
            if wait.event is None and not wait.is_over:
                event.wait()  # woken through the event itself
            while not wait.is_over and not event.wait(_POLL):
                pass
        finally:
            self._virtual.leave(wait)

    def _enter(self, seconds: float, make: Callable[[int], Wait]) -> Wait:
        def recorded(deadline: int) -> Wait:
            self.slept.append(seconds)  # under the lock: the order of the calls is the order of the list
            return make(deadline)

        return self._virtual.enter(seconds, recorded)


class NoWaits(_TestClock):
    """Real time, but every sleep ends at once. Made by `no_waits`.

    Attributes:
        slept: Seconds that each `sleep` and `sleep_async` was meant to last, in the order of the calls.
    """

    def sleep(self, seconds: float) -> None:
        """Record ``seconds`` and return."""
        self.slept.append(seconds)

    def pause(self, seconds: float, until: threading.Event) -> bool:
        """Record ``seconds`` and return whether the event is set."""
        self.slept.append(seconds)
        return until.is_set()

    async def sleep_async(self, seconds: float) -> None:
        """Record ``seconds`` and let other tasks run once."""
        import asyncio

        self.slept.append(seconds)
        await asyncio.sleep(0)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Decorate a test, sync or async, so that it runs without waits.

        Args:
            function: The test.

        Returns:
            A function with the same parameters.
        """
        if inspect.iscoroutinefunction(function):

            @wraps(function)
            async def run_async(*args: P.args, **kwargs: P.kwargs) -> Any:
                with self:
                    return await function(*args, **kwargs)

            return cast("Callable[P, R]", run_async)

        @wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            with self:
                return function(*args, **kwargs)

        return run


@overload
def no_waits(function: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def no_waits(*, draw: Draw = 1.0) -> NoWaits: ...
def no_waits(function: Any = None, /, *, draw: Draw = 1.0) -> Any:
    """Make retries keep their number but wait for nothing; a context manager and a decorator, for sync and async.

    Time itself stays real, so timeouts and deadlines work as ever. For anything that depends on time passing, use `FakeClock`.

    Args:
        function: What bare ``@no_waits`` decorates; left out for a context manager, or a decorator whose ``slept`` is to be looked at.
        draw: See `FakeClock`; the default 1.0 records each wait at its longest.

    Returns:
        What to enter or to decorate with; its ``slept`` are the seconds of each wait. Of a function: the function, decorated.

    >>> from holdfast import clock
    >>> with no_waits() as waits:
    ...     clock.current.sleep(128)
    >>> waits.slept
    [128]
    """
    return NoWaits(draw) if function is None else NoWaits(draw)(function)


def _draws(draw: Draw) -> Callable[[], float]:
    if callable(draw):
        return draw
    numbers = [draw] if isinstance(draw, int | float) else list(draw)
    if not numbers or not all(0 <= number <= 1 for number in numbers):
        raise ValueError(f"draw={draw!r}: give a number in [0, 1], a sequence of them, or a function that returns one")
    return itertools.cycle(numbers).__next__


def _blocking(kind: Kind, what: str, wake: Callable[[], object], event: threading.Event | None = None) -> Callable[[int], Wait]:
    thread = threading.current_thread()
    return lambda deadline: Wait(deadline, kind, what, f"thread {thread.name}", wake, time.monotonic(), thread.ident, event=event)


def _suspending(kind: Kind, what: str, wake: Callable[[], object]) -> Callable[[int], Wait]:
    import asyncio

    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    who = f"asyncio task {task.get_name()}" if task else "asyncio"
    return lambda deadline: Wait(deadline, kind, what, who, partial(loop.call_soon_threadsafe, wake), time.monotonic(), loop=loop)


def _resolve(woken: asyncio.Future[None]) -> None:
    if not woken.done():
        woken.set_result(None)


def _expire(limit: asyncio.Timeout) -> None:
    with suppress(RuntimeError):  # the body ended while this callback was on its way
        limit.reschedule(0)
