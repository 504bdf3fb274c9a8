"""Errors that misbehave: they come out as themselves, and harm nothing on the way."""

from __future__ import annotations

import asyncio
import concurrent.futures as cf
import dataclasses
from typing import Any

import pytest

from holdfast import InMemorySaver, RetryPolicy, entrypoint, resilient, task
from holdfast.testing import recorded

AT_ONCE = RetryPolicy(retry_on=Exception, max_attempts=2, initial_interval=0.0001, max_interval=0.0001)


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    """Refuses every assignment, also to ``__traceback__`` and ``__notes__``."""

    code: int


class Slotted(Exception):
    """Has no room for attributes of its own."""

    __slots__ = ("code",)


class Mute(Exception):
    """Cannot be turned into text."""

    def __str__(self) -> str:
        raise ValueError("no text")

    __repr__ = __str__


class Uncomparable(Exception):
    """Neither equal nor true nor hashable."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        raise ValueError("no comparison")

    def __bool__(self) -> bool:
        raise ValueError("no truth")


class CancelledError(Exception):
    """The user's own class of this name is no cancellation."""


def chain() -> Exception:
    """An error raised from an error, ten thousand times."""
    error = Exception("first")
    for n in range(10_000):
        following = Exception(n)
        following.__cause__ = following.__context__ = error
        error = following
    return error


ERRORS = [
    Frozen(1),
    Slotted(),
    Mute(),
    Uncomparable(),
    CancelledError("mine"),
    ExceptionGroup("many", [ValueError(1), ExceptionGroup("inner", [KeyError(2)])]),
    BaseExceptionGroup("interrupted", [KeyboardInterrupt()]),
    chain(),
    KeyboardInterrupt("k"),
    SystemExit(3),
    GeneratorExit("g"),
]


@pytest.mark.parametrize("is_streamed", [False, True])
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_any_error_comes_out_as_itself(colour: Any, error: BaseException, is_streamed: bool, rules: Any) -> None:
    """Through attempts, retries, journal, stream, future and run, in both colours."""

    @task(retry_policy=AT_ONCE)
    @colour.define
    def fail() -> None:
        raise error

    @entrypoint(InMemorySaver())
    @colour.define
    def main() -> Any:
        return fail()

    async def astream() -> list[Any]:
        return [chunk async for chunk in main.astream(stream_mode=["tasks", "updates"])]

    with pytest.raises(BaseException) as caught:  # noqa: PT011 - compared below
        if is_streamed:
            asyncio.run(astream()) if colour.is_async else list(main.stream(stream_mode=["tasks", "updates"]))
        else:
            colour.invoke(main)
    assert error is caught.value


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_any_error_comes_out_of_a_resilient_function(colour: Any, error: BaseException) -> None:
    """With and without an observer."""

    @resilient(retry_policy=AT_ONCE)
    @colour.define
    def fail() -> None:
        raise error

    def outcome() -> BaseException:
        with pytest.raises(BaseException) as caught:  # noqa: PT011 - compared below
            colour.run(fail)
        return caught.value

    assert error is outcome()
    if not isinstance(error, Mute):
        with recorded():
            assert error is outcome()


@pytest.mark.parametrize("error", [Mute(), Frozen(1), Uncomparable()], ids=lambda error: type(error).__name__)
def test_any_error_may_be_lost(error: Exception) -> None:
    """Reporting a failure that nobody looked at never fails the run."""

    @task
    def fail() -> None:
        raise error

    @entrypoint
    def main() -> str:
        cf.wait([fail()])
        return "ok"

    assert "ok" == main.invoke()


def test_an_error_that_cannot_be_judged_is_not_retried() -> None:
    """A rule that looks at its text fails; the caller gets the error, with a note."""

    class ServerError(OSError):
        @property
        def errno(self) -> int:  # type: ignore[override]
            raise ValueError("no errno")

        @property
        def status_code(self) -> int:
            raise ValueError("no status")

    @resilient
    def fail() -> None:
        raise ServerError("odd")

    with pytest.raises(ServerError, match="odd"):
        fail()


@pytest.mark.parametrize("cancellation", [asyncio.CancelledError, cf.CancelledError])
def test_a_body_that_raises_a_cancellation_is_cancelled(colour: Any, cancellation: type[BaseException], rules: Any) -> None:
    """Of either kind, in either colour; the future says so."""
    states: list[bool] = []

    @task
    @colour.define
    def cancelled() -> None:
        raise cancellation

    @entrypoint
    def main() -> None:
        future = cancelled()
        cf.wait([future])
        states.append(future.cancelled())

    main.invoke()
    assert [True] == states


def test_stopiteration_of_a_task_does_not_stop_a_gather() -> None:
    """It arrives as the RuntimeError that Python makes of it in coroutines."""

    @task
    def stop() -> None:
        raise StopIteration(1)

    @entrypoint
    async def main() -> None:
        await asyncio.gather(stop())

    with pytest.raises(RuntimeError, match="StopIteration"):
        main.invoke()
