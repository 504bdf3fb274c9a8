"""The failures of one run, and which of them a body has survived.

A failure that the body caught and went on from is an outcome like any other: it is replayed. One that nobody has got over is done again when
the next attempt, or a resumed run, asks for it. When an attempt of a body ends in an error, these are not survived:

1. the failures in the chain of that error (itself, causes, contexts, group members);
2. those that nobody has looked at: of ``[future.result() for future in futures]`` only the first is raised;
3. when one of them is what the body died of, those that were looked at elsewhere than in the body itself (by another thread or asyncio
   task, or by `asyncio.gather`), and after which no further step was made there.

Without 2 and 3, a run in which a hundred calls failed together would have to be resumed a hundred times.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from holdfast.runtime.sight import ticks

if TYPE_CHECKING:
    from holdfast.runtime.context import Scope
    from holdfast.runtime.future import TaskFuture
    from holdfast.runtime.sight import Place
    from holdfast.typing import StepId


class Failures:
    """The failures of one run."""

    def __init__(self) -> None:
        """Nothing has failed yet."""
        self._errors: dict[StepId, Exception] = {}
        self._futures: dict[StepId, TaskFuture[Any]] = {}
        self._latest: dict[Place, int] = {}
        self._last = 0

    def __bool__(self) -> bool:
        """Whether there are any: before the first one, nobody can have gone on after it."""
        return bool(self._errors)

    def went_on(self, here: Place) -> None:
        """The code at ``here`` has made a step."""
        self._latest[here] = self._last = next(ticks)

    def get(self, step: StepId) -> Exception | None:
        """What a step failed with; None when it has not."""
        return self._errors.get(step)

    def add(self, step: StepId, error: Exception, future: TaskFuture[Any] | None = None) -> Exception:
        """Remember a failure, with the future that shows it when it has just come about; return it."""
        self._errors[step] = error
        if future is not None:
            self._futures[step] = future
        return error

    def drop(self, step: StepId) -> None:
        """Forget a failure."""
        self._errors.pop(step, None)
        self._futures.pop(step, None)

    def fatal(self, error: BaseException, scope: Scope | None) -> list[StepId]:
        """The steps whose failures were not survived, now that the attempt of ``scope`` has ended in ``error``."""
        if not self._errors:
            return []
        chain = _chain(error)
        # A copy is made at once, while other calls fail: a list of its items is made in steps, and the collector may run between.
        errors = self._errors.copy()
        fatal = [step for step, failure in errors.items() if id(failure) in chain]
        if scope is None:
            return fatal
        own = scope.step
        has_died_of_one = any(step.scope == own for step in fatal)
        others = [step for step, failure in errors.items() if step.scope == own and id(failure) not in chain]
        return fatal + [step for step in others if not self._is_survived(step, scope, has_died_of_one=has_died_of_one)]

    def _is_survived(self, step: StepId, scope: Scope, *, has_died_of_one: bool) -> bool:
        future = self._futures.get(step)
        if future is None:
            return True  # an earlier execution has recorded it, and so got over it
        seen = future.seen
        if seen is None or seen.place == scope.place or not has_died_of_one:
            return seen is not None
        is_callback = seen.place[1] == 0 and scope.place is not None and scope.place[1] != 0
        return (self._last if is_callback else self._latest.get(seen.place, 0)) > seen.tick


def _chain(error: BaseException) -> set[int]:
    """The identities of an error, its causes and contexts, and the members of groups among them; a chain may be longer than the stack."""
    seen: set[int] = set()
    left: list[BaseException | None] = [error]
    while left:
        each = left.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        left += (each.__cause__, each.__context__)
        if isinstance(each, BaseExceptionGroup):
            left += each.exceptions  # pyright: ignore[reportUnknownMemberType]
    return seen
