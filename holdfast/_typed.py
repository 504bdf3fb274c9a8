"""What type checkers see of ``@entrypoint``: a class, because only of a class can ``entrypoint.final[int, str]`` be a type.

At run time it is the function in `holdfast._entrypoint`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar, overload

from holdfast import _entrypoint

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from holdfast._entrypoint import Entrypoint
    from holdfast._plans import Retries, Timeout
    from holdfast.policies import CachePolicy
    from holdfast.runtime import ending
    from holdfast.typing import Cache, Checkpointer

    R = TypeVar("R")
    V = TypeVar("V")
    V_co = TypeVar("V_co", covariant=True)
    S_co = TypeVar("S_co", covariant=True)

    class EntrypointDecorator(Protocol):
        """What ``@entrypoint(...)`` with settings returns. The result of a body that returns a ``final`` is its ``value``."""

        @overload
        def __call__(self, fn: Callable[..., Coroutine[Any, Any, ending.final[V, Any]]], /) -> Entrypoint[V]: ...
        @overload
        def __call__(self, fn: Callable[..., ending.final[V, Any]], /) -> Entrypoint[V]: ...
        @overload
        def __call__(self, fn: Callable[..., Coroutine[Any, Any, R]], /) -> Entrypoint[R]: ...
        @overload
        def __call__(self, fn: Callable[..., R], /) -> Entrypoint[R]: ...

    class entrypoint:  # noqa: N801 - a decorator
        """Turn a function into an entrypoint: the task calls made in it form one run. For its settings: ``help(holdfast.entrypoint)``."""

        class final(ending.final[V_co, S_co]):  # noqa: N801 - LangGraph's name
            """What an entrypoint returns when its result and what the thread's next run sees as ``previous`` are two things."""

        # mypy wants __new__ to return an object of its class, and takes what is said all the same.
        @overload
        def __new__(cls, fn: Callable[..., Coroutine[Any, Any, ending.final[V, Any]]], /) -> Entrypoint[V]: ...  # type: ignore[misc]
        @overload
        def __new__(cls, fn: Callable[..., ending.final[V, Any]], /) -> Entrypoint[V]: ...  # type: ignore[misc]
        @overload
        def __new__(cls, fn: Callable[..., Coroutine[Any, Any, R]], /) -> Entrypoint[R]: ...  # type: ignore[misc]
        @overload
        def __new__(cls, fn: Callable[..., R], /) -> Entrypoint[R]: ...  # type: ignore[misc]
        @overload
        def __new__(  # type: ignore[misc]
            cls,
            checkpointer: Checkpointer | None = None,
            store: Any = None,
            cache: Cache | None = None,
            context_schema: type | None = None,
            cache_policy: CachePolicy | None = None,
            retry_policy: Retries = None,
            timeout: Timeout = None,
            *,
            name: str | None = None,
            durability: str = "sync",
            on_divergence: str = "raise",
            max_concurrency: int | None = None,
            capture: str = "",
        ) -> EntrypointDecorator: ...
        def __new__(cls, *args: Any, **kwargs: Any) -> Any: ...

else:
    entrypoint = _entrypoint.entrypoint
