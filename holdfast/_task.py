"""``@task`` and ``@resilient``: freeze the policies into a Plan and hand calls to the runtime."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Protocol, Self, TypeVar, cast, overload

from holdfast._frames import trimmed, trims
from holdfast._keys import explanation_of, key_of, purge_all, why_missed
from holdfast._methods import MISSING, or_method
from holdfast._plans import AT_LEAST_ONCE, AT_MOST_ONCE, build_plan
from holdfast._references import ByReference
from holdfast.cache.default import default_cache
from holdfast.runtime import steps
from holdfast.runtime.context import scope_for

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from holdfast._entrypoint import Entrypoint
    from holdfast._plans import Retries, Seconds, Timeout
    from holdfast.cache.explanation import KeyExplanation
    from holdfast.cache.misses import MissExplanation
    from holdfast.policies import CachePolicy
    from holdfast.policies.plan import Plan
    from holdfast.runtime.future import TaskFuture
    from holdfast.typing import Cache, CacheKey

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
S = TypeVar("S")


class Task(ByReference, Generic[P, R_co]):
    """A function as a unit of work: calling it inside a run returns a `TaskFuture` at once.

    Attributes:
        plan: What a call does, in order.
        func: The user's function, as it was.
        step_key: What `options` gave to set this task's calls apart in the journal.
    """

    def __init__(self, plan: Plan, *, step_key: str = "", bound: tuple[Any, ...] = ()) -> None:
        """Wrap a plan; use ``@task``. ``bound`` are leading arguments: the instance, for a method."""
        self.plan = plan
        self.func = plan.fn
        self.step_key = step_key
        self._bound = bound
        functools.update_wrapper(self, plan.fn, updated=())  # not the function's attributes: one may be called "plan", as a resilient one's

    def __repr__(self) -> str:
        """The task's name and its pipeline."""
        return f"<Task {self.plan.name}: {self.plan!r}>"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> TaskFuture[R_co]:
        """Start a call in the current run.

        Args:
            *args: As for the function.
            **kwargs: As for the function.

        Returns:
            A future at once, finished where the result was in memory; ``.result()`` or ``await`` gives what the function returned.

        Raises:
            TaskContextError: No run is active here.
            TypeError: The arguments do not fit.
            NotKeyable: The task is cached and an argument cannot be part of a key.
        """
        try:
            return steps.submit(scope_for(self.plan.name), self.plan, self._bound + args, kwargs, self.step_key)
        except BaseException as error:
            trimmed(error)
            raise

    def __holdfast_key__(self) -> tuple[str, object]:
        """What a task given as an argument counts as in keys: its name and its function."""
        return self.plan.name, self.plan.fn

    @overload
    def __get__(self, instance: None, owner: type | None = None) -> Self: ...
    @overload
    def __get__(self: Task[Concatenate[S, Q], R_co], instance: S, owner: type | None = None) -> Task[Q, R_co]: ...
    @overload
    def __get__(self, instance: object, owner: type | None = None) -> Task[..., R_co]: ...  # a staticmethod
    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """On a method: the task bound to its instance."""
        if instance is None:
            return self
        bound: Task[Any, R_co] = Task(self.plan, step_key=self.step_key, bound=(instance,))
        return bound

    def __reduce__(self) -> Any:
        """By reference; bound to an object, by that and the method's name."""
        found = getattr(self._bound[0], self.func.__name__, None) if self._bound else None
        is_it = isinstance(found, Task) and (found.plan, found.step_key) == (self.plan, self.step_key)
        return (getattr, (self._bound[0], self.func.__name__)) if is_it else super().__reduce__()

    def invoke(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Make a run of this one call, anywhere, and wait for it.

        Args:
            *args: As for the function.
            **kwargs: As for the function.

        Returns:
            What the function returned.

        Raises:
            TypeError: The arguments do not fit.
            NotKeyable: The task is cached and an argument cannot be part of a key.
            NodeTimeoutError: The ``timeout`` of the last attempt, or the ``deadline``, has passed.
            RuntimeError: The task is ``async def`` and an event loop is running here: ``await`` `ainvoke`.
            Exception: Whatever the function raised in the end.
        """
        return cast("R_co", self._alone.invoke((self._bound + args, kwargs)))

    async def ainvoke(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """`invoke` for async code."""
        return cast("R_co", await self._alone.ainvoke((self._bound + args, kwargs)))

    @functools.cached_property
    def _alone(self) -> Entrypoint[Any]:
        from holdfast._entrypoint import single_call

        return single_call(self.plan)

    @trims
    def options(
        self,
        *,
        name: str | None = None,
        retry_policy: Retries = None,
        cache_policy: CachePolicy | None = None,
        timeout: Timeout = None,
        deadline: Seconds = None,
        capture: str = "",
        kind: str | None = None,
        delivery: str | None = None,
        cache: str | None = None,
        step_key: str = "",
    ) -> Task[P, R_co]:
        """Change some settings of the task; what is left out stays.

        Args:
            name: Another name in traces and journals.
            retry_policy: Replaces the retry policies.
            cache_policy: Replaces the cache policy.
            timeout: Seconds for each attempt.
            deadline: Seconds for all attempts and waits.
            capture: ``none``, ``shape`` or ``values``.
            kind: ``internal``, or ``client`` for calls to another service.
            delivery: ``at-least-once`` or ``at-most-once``.
            cache: ``use``; ``bypass`` neither looks into the cache nor stores; ``refresh`` computes whatever is there, and stores.
            step_key: Sets this call apart from equal calls of the same body in the journal.

        Returns:
            Another task of the same function; this one stays as it is.

        Raises:
            PolicyError: Something given cannot work.
        """
        plan = self.plan
        changed = build_plan(
            plan.fn,
            decorator="task",
            name=plan.name if name is None else name,
            retry_policy=plan.retry if retry_policy is None else retry_policy,
            cache_policy=plan.cache if cache_policy is None else cache_policy,
            timeout=plan.timeout if timeout is None else timeout,
            deadline=plan.deadline if deadline is None else deadline,
            capture=capture or plan.capture,
            kind=plan.kind if kind is None else kind,
            delivery=(AT_MOST_ONCE if plan.is_once else AT_LEAST_ONCE) if delivery is None else delivery,
            cache_mode=plan.cache_mode if cache is None else cache,
        )
        return Task(changed, step_key=step_key or self.step_key, bound=self._bound)

    @trims
    def key(self, *args: P.args, **kwargs: P.kwargs) -> CacheKey:
        """Make the cache key of a call, without making the call.

        Args:
            *args: As for the function.
            **kwargs: As for the function.

        Returns:
            The namespace, which says whose value it is, and 16 bytes that stand for the arguments.

        Raises:
            PolicyError: The task has no cache policy.
            TypeError: The arguments do not fit.
            NotKeyable: An argument cannot be part of a key.
            KeyFuncError: The policy's ``key_func`` raised, or its answer cannot be a key.
        """
        return key_of(self.plan, self._bound + args, kwargs)

    @trims
    def explain_key(self, *args: P.args, **kwargs: P.kwargs) -> KeyExplanation:
        """Take the cache key of a call apart: why do two calls share an entry, or not?

        Args:
            *args: As for the function.
            **kwargs: As for the function.

        Returns:
            The key's parts, to be printed, or compared with those of another call.

        Raises:
            PolicyError: The task has no cache policy.
            TypeError, NotKeyable, KeyFuncError: As for `key`.
        """
        return explanation_of(self.plan, self._bound + args, kwargs)

    @trims
    def why_miss(self, *args: P.args, **kwargs: P.kwargs) -> MissExplanation:
        """Explain why a call finds nothing in the default cache: never stored, expired, evicted, forgotten, or of another version.

        Args:
            *args: As for the function.
            **kwargs: As for the function.

        Returns:
            The cause, to be printed; the parameters in which the nearest keys differ, where it was never stored.

        Raises:
            PolicyError: The task has no cache policy, or the cache keeps no record of that.
            TypeError, NotKeyable, KeyFuncError: As for `key`.
            StoreError: The cache cannot be read.
        """
        return why_missed(self.plan, default_cache(), self._bound + args, kwargs)

    @trims
    def purge(self, *, cache: Cache | None = None) -> int:
        """Forget every cached result of this task, of any version.

        Args:
            cache: The cache to purge; None is the default one.

        Returns:
            How many there were.

        Raises:
            PolicyError: The task has no cache policy.
            StoreError: Not all of them could be forgotten.
        """
        return purge_all(self.plan, cache)

    @trims
    def forget(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Forget the cached result of one call in the default cache.

        Args:
            *args: As for the function.
            **kwargs: As for the function.

        Returns:
            True when there was one.

        Raises:
            PolicyError: The task has no cache policy.
            TypeError, NotKeyable, KeyFuncError: As for `key`.
            StoreError: It could not be forgotten, and may be served again: another process holds the cache's write lock, say.
        """
        return default_cache().delete(self.key(*args, **kwargs))

    def clear_cache(self, cache: Cache) -> None:
        """`purge` by LangGraph's name: ``purge(cache=cache)``."""
        self.purge(cache=cache)

    async def aclear_cache(self, cache: Cache) -> None:
        """`purge` by LangGraph's name, for async code."""
        from holdfast.runtime import _ports

        await _ports.store_call_async(cache.is_blocking, self.clear_cache, cache)


class TaskDecorator(Protocol):
    """What ``@task(...)`` with arguments returns."""

    @overload
    def __call__(self, fn: Callable[P, Coroutine[Any, Any, R]], /) -> Task[P, R]: ...
    @overload
    def __call__(self, fn: Callable[P, R], /) -> Task[P, R]: ...


@overload
def task(fn: Callable[P, Coroutine[Any, Any, R]], /) -> Task[P, R]: ...
@overload
def task(fn: Callable[P, R], /) -> Task[P, R]: ...
@overload
def task(
    *,
    name: str | None = None,
    retry_policy: Retries = None,
    cache_policy: CachePolicy | None = None,
    timeout: Timeout = None,
    deadline: Seconds = None,
    capture: str = "",
    kind: str = "internal",
    delivery: str = AT_LEAST_ONCE,
) -> TaskDecorator: ...
@trims
def task(
    fn: Any = MISSING,
    /,
    *,
    name: str | None = None,
    retry_policy: Retries = None,
    cache_policy: CachePolicy | None = None,
    timeout: Timeout = None,
    deadline: Seconds = None,
    capture: str = "",
    kind: str = "internal",
    delivery: str = AT_LEAST_ONCE,
) -> Any:
    """Turn a ``def`` or ``async def`` function into a unit of work.

    Inside an `entrypoint`, or another task, calling it returns a `TaskFuture` at once; tasks run in parallel.

    Args:
        fn: The function; left out when settings are given.
        name: Name in traces, journals and errors; None takes the function's.
        retry_policy: A `RetryPolicy`, or a sequence of which the first that applies to a failure decides; None: one attempt.
        cache_policy: A `CachePolicy`; None: not cached.
        timeout: Time for one attempt: seconds, a timedelta, text like ``"1.5s"``, or a `TimeoutPolicy`; None: no limit.
        deadline: Time for all attempts and waits together, as ``timeout``; None: that of a single retry policy, if it has one.
        capture: What traces may hold of arguments and results: ``"none"``, ``"shape"`` or ``"values"``; empty: what
            `holdfast.tracing.configure` says.
        kind: ``"internal"``, or ``"client"`` for calls to another service.
        delivery: What becomes of a call that was under way when its process died: ``"at-least-once"`` makes it again when the run is
            resumed, ``"at-most-once"`` never does. The run then stops with `InDoubt` until a person has said what became of the call, by
            `Entrypoint.resolve`; a failure of such a task is final, too. It needs a checkpointer, and takes neither a retry nor a cache policy.

    Returns:
        The `Task`; where settings are given, what makes one of the function it decorates.

    Raises:
        PolicyError: Something given cannot work.

    >>> @task
    ... def double(x: int) -> int:
    ...     return 2 * x
    >>> double.invoke(21)
    42
    """

    @trims
    @or_method
    def decorate(function: Any) -> Task[Any, Any]:
        return Task(
            build_plan(
                function,
                decorator="task",
                name=name,
                retry_policy=retry_policy,
                cache_policy=cache_policy,
                timeout=timeout,
                deadline=deadline,
                capture=capture,
                kind=kind,
                delivery=delivery,
            )
        )

    return decorate if fn is MISSING else decorate(fn)
