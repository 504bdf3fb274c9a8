"""Functions that fail and succeed by script: stand-ins for flaky calls, plain ``def`` or ``async def``, with their calls on record."""

from __future__ import annotations

import itertools
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeGuard, cast

from holdfast import clock
from holdfast.errors import HoldfastError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Raisable = BaseException | type[BaseException]


class Flake(ConnectionError):  # noqa: N818 - a flake is what it is
    """What `flaky` raises unless told otherwise: a connection error, so a transient one."""


class ScriptEndedError(HoldfastError, AssertionError):
    """A scripted function was called more often than its script foresees."""


class ScriptedCall(NamedTuple):
    """One call of a scripted function.

    Attributes:
        args: Positional arguments.
        kwargs: Keyword arguments.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class Scripted(Protocol):
    """A function made by `scripted` or `flaky`.

    Attributes:
        calls: Each call's arguments, in order.
    """

    __name__: str
    __qualname__: str
    calls: list[ScriptedCall]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Take the next outcome of the script: return it, or raise it.

        Args:
            *args: Anything; kept in ``calls``.
            **kwargs: Anything; kept in ``calls``.

        Returns:
            The outcome, unless it is an exception.

        Raises:
            ScriptEndedError: The script foresees no further call.
            BaseException: The outcome, where it is one.
        """


class ScriptedAsync(Protocol):
    """A coroutine function made by `scripted_async` or `flaky_async`.

    Attributes:
        calls: Each call's arguments, in order.
    """

    __name__: str
    __qualname__: str
    calls: list[ScriptedCall]

    async def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Take the next outcome of the script: return it, or raise it.

        Args:
            *args: Anything; kept in ``calls``.
            **kwargs: Anything; kept in ``calls``.

        Returns:
            The outcome, unless it is an exception.

        Raises:
            ScriptEndedError: The script foresees no further call.
            BaseException: The outcome, where it is one.
        """


class _Late(NamedTuple):
    seconds: float
    outcome: object


def after(seconds: float, outcome: object) -> object:
    """Make a scripted outcome come late, by holdfast's clock: at once in real time under a `FakeClock`, and not counted as slept.

    Args:
        seconds: How late.
        outcome: What then is returned or raised, as in `scripted`.

    Returns:
        An outcome for `scripted`.
    """
    return _Late(seconds, outcome)


def scripted(outcomes: Iterable[object], *, name: str = "scripted", repeat_last: bool = False) -> Scripted:
    """Make a function whose calls have the given outcomes, one after the other; it takes any arguments.

    Args:
        outcomes: Exceptions (instances or classes) are raised, `after(...)` comes late, all else is returned.
        name: Its ``__name__``; tasks of one run need different ones.
        repeat_last: True repeats the last outcome for ever; False raises `ScriptEndedError` for a call too many.

    Returns:
        The function; its ``calls`` are the arguments it was given.

    >>> fetch = scripted([ConnectionError("reset"), {"temp": 3}])
    >>> fetch("Oslo")
    Traceback (most recent call last):
    ConnectionError: reset
    >>> fetch("Oslo")
    {'temp': 3}
    >>> len(fetch.calls)
    2
    """
    script = _Script(outcomes, name, repeat_last=repeat_last)

    def play(*args: Any, **kwargs: Any) -> Any:
        outcome = script.next(args, kwargs)
        if isinstance(outcome, _Late):
            clock.current.wait(threading.Event(), outcome.seconds)
            outcome = outcome.outcome
        return _deliver(outcome)

    return cast("Scripted", _named(play, script))


def scripted_async(outcomes: Iterable[object], *, name: str = "scripted", repeat_last: bool = False) -> ScriptedAsync:
    """Do what `scripted` does, for a coroutine function."""
    script = _Script(outcomes, name, repeat_last=repeat_last)

    async def play(*args: Any, **kwargs: Any) -> Any:
        outcome = script.next(args, kwargs)
        if isinstance(outcome, _Late):
            await _pass(outcome.seconds)
            outcome = outcome.outcome
        return _deliver(outcome)

    return cast("ScriptedAsync", _named(play, script))


def flaky(failures: int | None = 1, error: Raisable | None = None, result: object = None, *, name: str = "flaky") -> Scripted:
    """Make a function that fails some times and then works for ever.

    Args:
        failures: How many calls fail; None means all.
        error: What they raise; None raises `Flake` with the number of the call.
        result: What the later calls return.
        name: Its ``__name__``; tasks of one run need different ones.

    Returns:
        The function; its ``calls`` are the arguments it was given.

    >>> fetch = flaky(1, TimeoutError("too slow"), result=[1, 2])
    >>> fetch()
    Traceback (most recent call last):
    TimeoutError: too slow
    >>> fetch(), fetch()
    ([1, 2], [1, 2])
    """
    return scripted(_flakes(failures, error, result), name=name, repeat_last=True)


def flaky_async(failures: int | None = 1, error: Raisable | None = None, result: object = None, *, name: str = "flaky") -> ScriptedAsync:
    """Do what `flaky` does, for a coroutine function."""
    return scripted_async(_flakes(failures, error, result), name=name, repeat_last=True)


class _Script:
    """The outcomes still to come, and the calls so far."""

    def __init__(self, outcomes: Iterable[object], name: str, *, repeat_last: bool) -> None:
        self.name = name
        self.calls: list[ScriptedCall] = []
        self._outcomes = iter(outcomes)
        self._repeats = repeat_last
        self._last: list[object] = []
        self._lock = threading.Lock()

    def next(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> object:
        with self._lock:
            self.calls.append(ScriptedCall(args, kwargs))
            for outcome in self._outcomes:
                self._last = [outcome]
                return outcome
            if self._repeats and self._last:
                return self._last[0]
        n = len(self.calls)
        raise ScriptEndedError(f"{self.name} has {n - 1} scripted outcomes and was called for the {n}. time: add one, or repeat_last=True")


def _named(play: Callable[..., Any], script: _Script) -> Callable[..., Any]:
    play.__name__ = play.__qualname__ = script.name
    play.__doc__ = "A scripted function."
    setattr(play, "calls", script.calls)  # noqa: B010 - declared by Scripted, which checkers cannot see here
    return play


def _is_error_class(outcome: object) -> TypeGuard[type[BaseException]]:
    return isinstance(outcome, type) and issubclass(outcome, BaseException)


def _deliver(outcome: Any) -> Any:
    if _is_error_class(outcome):
        raise outcome
    if isinstance(outcome, BaseException):
        raise outcome.with_traceback(None)  # the same instance may be raised again: do not let its traceback grow
    return outcome


def _flakes(failures: int | None, error: Raisable | None, result: object) -> Iterator[object]:
    numbers = itertools.count(1) if failures is None else range(1, failures + 1)
    for number in numbers:
        yield Flake(f"flake {number}") if error is None else error
    yield result


async def _pass(seconds: float) -> None:
    """Let time pass without the clock counting it as a sleep, which would mix it with the waits of retries."""
    import asyncio

    with suppress(TimeoutError):
        async with clock.current.timeout(seconds):
            await asyncio.get_running_loop().create_future()
