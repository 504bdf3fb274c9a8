"""``@resilient``: the pipeline of a call on a plain function, callable anywhere."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, Self, TypeVar, overload

from holdfast._frames import trims
from holdfast._keys import explanation_of, given_or_default, key_of, purge_all, why_missed
from holdfast._methods import MISSING, check_owner, or_method
from holdfast._plans import build_plan, check_cache_mode
from holdfast.cache.default import check_cache
from holdfast.policies import RetryPolicy
from holdfast.runtime._async.resilient import make_wrapper as make_async_wrapper
from holdfast.runtime._sync.resilient import make_wrapper as make_sync_wrapper

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast._plans import Retries, Seconds, Timeout
    from holdfast.cache.explanation import KeyExplanation
    from holdfast.cache.misses import MissExplanation
    from holdfast.policies import CachePolicy
    from holdfast.policies.plan import Plan
    from holdfast.typing import Cache, CacheKey

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
S = TypeVar("S")


class Resilient(Protocol[P, R_co]):
    """What ``@resilient`` makes of a function: the function, called as before, and what it offers besides.

    Of a method, ask its class and give the object first: ``Api.get.key(api, 1)``. A method is a plain method, too, and what is looked up on
    one (``api.get.key``) cannot know the object.

    Attributes:
        plan: What a call does, in order.
    """

    plan: Plan

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Call the function, through its policies.

        Args:
            *args: As for the function.
            **kwargs: As for the function.

        Returns:
            What the function returns; from an ``async def``, something to ``await``.

        Raises:
            TypeError: The arguments do not fit.
            NotKeyable: It is cached and an argument cannot be part of a key.
            NodeTimeoutError: The ``timeout`` of the last attempt, or the ``deadline``, has passed.
            Exception: Whatever the function raised in the end.
        """
        ...

    @overload
    def __get__(self, instance: None, owner: type, /) -> Self: ...
    @overload
    def __get__(self: Resilient[Concatenate[S, Q], R_co], instance: S, owner: type, /) -> Callable[Q, R_co]: ...
    @overload
    def __get__(self, instance: object, owner: type, /) -> Callable[..., R_co]: ...  # a staticmethod, or a classmethod

    def key(self, *args: P.args, **kwargs: P.kwargs) -> CacheKey:
        """Make the cache key of a call, without making the call.

        Args:
            *args: As for the function.
            **kwargs: As for the function.

        Returns:
            The namespace, which says whose value it is, and 16 bytes that stand for the arguments.

        Raises:
            PolicyError: The function has no cache policy.
            TypeError: The arguments do not fit.
            NotKeyable: An argument cannot be part of a key.
            KeyFuncError: The policy's ``key_func`` raised, or its answer cannot be a key.
        """
        ...

    def explain_key(self, *args: P.args, **kwargs: P.kwargs) -> KeyExplanation:
        """Take the cache key of a call apart: why do two calls share an entry, or not?

        Args:
            *args: As for the function.
            **kwargs: As for the function.

        Returns:
            The key's parts, to be printed, or compared with those of another call.

        Raises:
            PolicyError: The function has no cache policy.
            TypeError, NotKeyable, KeyFuncError: As for `key`.
        """
        ...

    def why_miss(self, *args: P.args, **kwargs: P.kwargs) -> MissExplanation:
        """Explain why a call finds nothing in the cache: never stored, expired, evicted, forgotten, or of another version.

        Args:
            *args: As for the function.
            **kwargs: As for the function.

        Returns:
            The cause, to be printed; the parameters in which the nearest keys differ, where it was never stored.

        Raises:
            PolicyError: The function has no cache policy, or the cache keeps no record of that.
            TypeError, NotKeyable, KeyFuncError: As for `key`.
            StoreError: The cache cannot be read.
        """
        ...

    def options(self, *, cache: str) -> Resilient[P, R_co]:
        """Change what calls do with the cache.

        Args:
            cache: ``use``; ``bypass`` neither looks into the cache nor stores; ``refresh`` computes whatever is there, and stores.

        Returns:
            The function with that, to be called in its place; this one stays as it is.

        Raises:
            PolicyError: The function has no cache policy, or it is none of these.

        >>> fetch.options(cache="refresh")("Oslo")  # doctest: +SKIP
        """
        ...

    def forget(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Forget the cached result of one call.

        Args:
            *args: As for the function.
            **kwargs: As for the function.

        Returns:
            True when there was one.

        Raises:
            PolicyError: The function has no cache policy.
            TypeError, NotKeyable, KeyFuncError: As for `key`.
            StoreError: It could not be forgotten, and may be served again: another process holds the cache's write lock, say.
        """
        ...

    def purge(self) -> int:
        """Forget every cached result of the function, of any version.

        Returns:
            How many there were.

        Raises:
            PolicyError: The function has no cache policy.
            StoreError: Not all of them could be forgotten.
        """
        ...


class ResilientDecorator(Protocol):
    """What ``@resilient(...)`` with arguments returns."""

    def __call__(self, fn: Callable[P, R], /) -> Resilient[P, R]: ...


@overload
def resilient(fn: Callable[P, R], /) -> Resilient[P, R]: ...
@overload
def resilient(
    *,
    name: str | None = None,
    retry_policy: Retries = None,
    cache_policy: CachePolicy | None = None,
    timeout: Timeout = None,
    deadline: Seconds = None,
    capture: str = "",
    kind: str = "internal",
    cache: Cache | None = None,
) -> ResilientDecorator: ...
@trims
def resilient(
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
    cache: Cache | None = None,
) -> Any:
    """Make a plain function hold fast: retried, cached, timed out and traced, and otherwise what it was.

    ``def`` stays ``def``, ``async def`` stays ``async def``; the call returns the value itself and works anywhere. Bare ``@resilient``
    retries with the defaults of `RetryPolicy`.

    Args:
        fn: The function; left out when settings are given.
        name: Name in traces and errors; None takes the function's.
        retry_policy: As for `task`; None is ``RetryPolicy()``, and an empty sequence means a single attempt.
        cache_policy: As for `task`.
        timeout: As for `task`.
        deadline: As for `task`.
        capture: As for `task`.
        kind: As for `task`.
        cache: Where results are kept; None is the default disk cache.

    Returns:
        The function, as `Resilient`; where settings are given, what makes that of the function it decorates.

    Raises:
        PolicyError: Something given cannot work.

    >>> @resilient
    ... def answer() -> int:
    ...     return 42
    >>> answer()
    42
    """
    check_cache(cache)
    if cache is not None and cache_policy is None:
        from holdfast.errors import PolicyError

        msg = f"cache={cache!r} does nothing without a cache_policy: add cache_policy=CachePolicy(ttl='1h'), or leave cache out"
        raise PolicyError(msg)

    @trims
    @or_method
    def decorate(function: Any) -> Any:
        plan = build_plan(
            function,
            decorator="resilient",
            name=name,
            retry_policy=RetryPolicy() if retry_policy is None else retry_policy,
            cache_policy=cache_policy,
            timeout=timeout,
            deadline=deadline,
            capture=capture,
            kind=kind,
            inject=False,
        )
        return _wrap(plan, cache)

    return decorate if fn is MISSING else decorate(fn)


def _wrap(plan: Plan, cache: Cache | None) -> Any:
    opened = None if plan.cache is None else functools.partial(given_or_default, cache)
    make = make_async_wrapper if plan.is_async else make_sync_wrapper
    wrapper = functools.update_wrapper(make(plan, opened), plan.fn)
    if not hasattr(plan.fn, "__qualname__"):  # a partial, or an object that is called
        wrapper.__name__ = wrapper.__qualname__ = plan.name
    return _equip(wrapper, plan, cache)


def _equip(wrapper: Any, plan: Plan, kept: Cache | None) -> Any:
    """Give the wrapper what `Resilient` promises."""

    @trims
    def key(*args: Any, **kwargs: Any) -> CacheKey:
        check_owner(wrapper, plan, args, kwargs)
        return key_of(plan, args, kwargs)

    @trims
    def explain_key(*args: Any, **kwargs: Any) -> KeyExplanation:
        check_owner(wrapper, plan, args, kwargs)
        return explanation_of(plan, args, kwargs)

    @trims
    def why_miss(*args: Any, **kwargs: Any) -> MissExplanation:
        check_owner(wrapper, plan, args, kwargs)
        return why_missed(plan, given_or_default(kept), args, kwargs)

    @trims
    def forget(*args: Any, **kwargs: Any) -> bool:
        return given_or_default(kept).delete(key(*args, **kwargs))

    @trims
    def purge() -> int:
        return purge_all(plan, kept)

    @trims
    def options(*, cache: str) -> Any:
        return _wrap(plan.replace(cache_mode=check_cache_mode(cache, plan.cache, plan.fn)), kept)

    wrapper.plan = plan
    for extra in (key, explain_key, why_miss, options, forget, purge):
        extra.__doc__ = getattr(Resilient, extra.__name__).__doc__  # what help(fetch.key) shows
        inspect.unwrap(extra).__qualname__ = extra.__qualname__ = f"{plan.name}.{extra.__name__}"  # what a wrong option is refused by
        setattr(wrapper, extra.__name__, extra)
    return wrapper
