"""Builds the Plan of a function from what the decorators were given, refusing at once what could not work."""

from __future__ import annotations

import functools
import inspect
import typing
from typing import TYPE_CHECKING, Any

from holdfast import events
from holdfast._lookalikes import langgraphs
from holdfast._references import module_of
from holdfast.errors import PolicyError
from holdfast.policies import CachePolicy, RetryPolicy, TimeoutPolicy
from holdfast.policies.duration import positive_seconds
from holdfast.policies.plan import CACHE_MODES, USE, Plan
from holdfast.policies.timeout import as_timeout
from holdfast.runtime.inject import injected_parameters
from holdfast.values.annotations import unwrapped_partial
from holdfast.values.binding import Binder, compile_binder
from holdfast.values.late import LateCodec
from holdfast.values.marks import secrets_of
from holdfast.values.names import is_utf8, place

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import timedelta

    from holdfast.cache.keys import KeyMaker
    from holdfast.typing import Codec

    Retries = RetryPolicy | Sequence[RetryPolicy] | None
    Seconds = float | str | timedelta | None
    Timeout = TimeoutPolicy | Seconds

CAPTURES = ("none", "shape", "values")
AT_LEAST_ONCE, AT_MOST_ONCE = DELIVERIES = ("at-least-once", "at-most-once")


def build_plan(
    fn: Callable[..., Any],
    *,
    decorator: str,
    name: str | None = None,
    retry_policy: Retries = None,
    cache_policy: CachePolicy | None = None,
    timeout: Timeout = None,
    deadline: Seconds = None,
    capture: str = "",
    kind: str = "internal",
    delivery: str = AT_LEAST_ONCE,
    cache_mode: str = USE,
    inject: bool = True,
) -> Plan:
    """Freeze everything the decorator knows.

    Raises:
        PolicyError: Something given cannot work; the text names it and the fix.
        TypeError: What is decorated is no function.
    """
    check_function(fn, decorator)
    retries = as_policies(retry_policy)
    _check_retried_once(fn, retries, decorator)
    cache = _as_cache_policy(cache_policy)
    binder = compile_binder(fn)
    injected = injected_parameters(fn, is_entrypoint=decorator == "entrypoint") if inject else ()
    plan = Plan(
        fn=fn,
        name=check_name(name, fn),
        function=function_name(fn),
        is_async=is_async_callable(fn),
        names=binder.names,
        bind=binder.bind,
        injected=injected,
        required=_required(fn),
        positional=_positional(fn),
        retry=retries,
        cache=cache,
        cache_mode=check_cache_mode(cache_mode, cache, fn),
        keys=None if cache is None else _keys(fn, binder, cache, injected),
        codec=_codec(fn, cache),
        timeout=_timeout(timeout),
        deadline=_deadline(deadline, retries),
        capture=_check_capture(capture),
        kind=_check_kind(kind),
        is_once=check_choice("delivery", delivery, DELIVERIES) == AT_MOST_ONCE,
        secrets=secrets_of(fn),
    )
    _check_once(plan)
    if decorator == "entrypoint" and cache is not None:
        _check_foreground(cache, plan.name)
    return plan


def check_choice(what: str, given: Any, choices: tuple[str, ...]) -> str:
    """One of a few words."""
    if given in choices and isinstance(given, str):
        return given
    msg = f"{what}={given!r}: choose one of {', '.join(map(repr, choices))}"
    raise PolicyError(msg)


def check_cache_mode(mode: str, cache: CachePolicy | None, fn: Any) -> str:
    """What calls do with their cache; anything but `USE` needs one."""
    if check_choice("cache", mode, CACHE_MODES) != USE and cache is None:
        msg = f"cache={mode!r}: {place(fn)} has no cache policy, so there is nothing to {mode}: leave it out, or add cache_policy=CachePolicy(ttl='1h')"
        raise PolicyError(msg)
    return mode


def _check_once(plan: Plan) -> None:
    """Refuse what would run the body of an at-most-once task again, or answer for it."""
    if not plan.is_once:
        return
    if plan.max_attempts != 1:
        msg = (
            f"task {plan.name} has delivery='at-most-once' and a retry policy, which would run it again after a failure that may have come "
            f"when the work was done: leave out one of them. What surely had no effect can be tried again inside, by a @resilient function"
        )
        raise PolicyError(msg)
    if plan.cache is not None:
        msg = (
            f"task {plan.name} has delivery='at-most-once' and a cache policy: a call that the cache answers has no effect, and one whose "
            f"entry has expired has it again. Leave out one of them; the checkpointer keeps its result for the run"
        )
        raise PolicyError(msg)


def _check_foreground(cache: CachePolicy, name: str) -> None:
    """Refuse what would begin runs that nobody asked for: of which thread, and with whose answers to its questions?"""
    for field in ("stale_while_revalidate", "refresh_ahead", "soft_timeout", "hard_timeout", "probe"):
        if getattr(cache, field) is not None:
            msg = f"entrypoint {name} has {field}, which computes behind the caller's back, and a run is nothing to begin there: give it to the tasks"
            raise PolicyError(msg)


def _keys(fn: Any, binder: Binder, cache: CachePolicy, injected: tuple[str, ...]) -> KeyMaker:
    from holdfast.cache.keys import KeyMaker  # what makes keys costs as much to load as all else that a function needs that is only retried

    keys = KeyMaker(fn, binder, cache, skip=frozenset(injected))
    if keys.private and cache.key_func is None:
        events.note(
            "holdfast.cache.private_key",
            events.WARNING,
            f"only this process finds what is cached for {place(fn)}: it captures {', '.join(keys.private)}, which has no content to tell it by; "
            f"make it a parameter and name that in CachePolicy(ignore=...), or give CachePolicy(version=...)",
            task=keys.task,
        )
    return keys


def check_function(fn: Any, decorator: str) -> None:
    """Refuse what cannot be a unit of work: classes, generators, and things that are not callable."""
    if isinstance(fn, type):
        msg = f"@{decorator} decorates functions, not the class {fn.__name__}: decorate the methods that make the calls"
        raise PolicyError(msg)
    if hasattr(fn, "__get__") and not callable(fn):
        kind = type(fn).__name__
        msg = f"@{decorator} decorates a function, not a {kind}: write @{kind} above @{decorator}"
        raise PolicyError(msg)
    if not callable(fn):
        msg = f"@{decorator} decorates a function, not {fn!r}: write @{decorator} without arguments, or name them, e.g. @{decorator}(name='x')"
        raise PolicyError(msg)
    if hasattr(type(fn), "abatch" if decorator == "entrypoint" else "ainvoke"):  # of the class: a Mock itself has whatever it is asked for
        first = type(fn).__name__.lower()
        msg = f"@{decorator} decorates a function, and {place(fn)} has its @{first} already: give all settings to one decorator"
        raise PolicyError(msg)
    inner = _unwrapped(fn)
    if inspect.isgeneratorfunction(inner) or inspect.isasyncgenfunction(inner):
        msg = (
            f"{place(fn)} is a generator: its items cannot be retried, cached or checkpointed as one result. "
            f"Return a list, or send items with get_stream_writer()"
        )
        raise PolicyError(msg)


def _check_retried_once(fn: Any, retries: tuple[RetryPolicy, ...], decorator: str) -> None:
    """Refuse retries around retries: three attempts of three attempts each are nine calls of a service that is down."""
    inner: Any = getattr(fn, "plan", None)
    if isinstance(inner, Plan) and inner.fn is getattr(fn, "__wrapped__", None) and _may_retry(inner.retry) and _may_retry(retries):
        msg = (
            f"{place(fn)} is retried by its @resilient already, and the attempts would multiply: give all settings to one decorator, "
            f"or retry_policy=[] to this @{decorator}"
        )
        raise PolicyError(msg)


def _may_retry(retries: tuple[RetryPolicy, ...]) -> bool:
    return any(policy.max_attempts != 1 for policy in retries)


def _unwrapped(fn: Any) -> Any:
    while isinstance(fn, functools.partial):
        fn = fn.func
    if not inspect.isroutine(fn) and callable(fn):
        return type(fn).__call__
    return fn


def is_async_callable(fn: Callable[..., Any]) -> bool:
    """True for ``async def``, also behind a partial or as ``__call__``, and for what says so itself, as an `AsyncMock` does."""
    return inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(_unwrapped(fn))


def function_name(fn: Any) -> str:
    """Module and qualified name."""
    named = _named(fn)
    return f"{module_of(named)}.{named.__qualname__}"


def _named(fn: Any) -> Any:
    """What a function is called after: of a partial the function in it, of an object that is called its class."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    return fn if hasattr(fn, "__qualname__") else fn.__class__


def check_name(name: str | None, fn: Any) -> str:
    """The task's name: as given, else the function's qualified name without the places it is nested in."""
    if name is None:
        return function_name(fn).rsplit("<locals>.", 1)[-1].removeprefix(f"{module_of(_named(fn))}.") or "task"
    if not isinstance(name, str) or not name.strip() or "\n" in name or not is_utf8(name):
        msg = f"name={name!r}: give a non-empty text on one line, without lone surrogates"
        raise PolicyError(msg)
    return name


def as_policies(given: Any) -> tuple[RetryPolicy, ...]:
    """One policy, a sequence of them, or None, as a tuple."""
    if given is None:
        return ()
    policies = _as_tuple(given)
    for policy in policies:
        if not isinstance(policy, RetryPolicy):
            how = langgraphs(given) or langgraphs(policy) or "give a RetryPolicy or a sequence of them, e.g. RetryPolicy(max_attempts=5)"
            msg = f"retry_policy={_shown(given)}: {how}"
            raise PolicyError(msg)
    return policies


def _as_tuple(given: Any) -> tuple[Any, ...]:
    return tuple(given) if isinstance(given, (list, tuple)) else (given,)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


def _as_cache_policy(given: Any) -> CachePolicy | None:
    if given is None or isinstance(given, CachePolicy):
        return given
    how = langgraphs(given) or "give a CachePolicy, e.g. CachePolicy(ttl='1h')"
    msg = f"cache_policy={_shown(given)}: {how}"
    raise PolicyError(msg)


def _shown(given: Any) -> str:
    return f"{given.__name__} is the class" if isinstance(given, type) else repr(given)


def _required(fn: Callable[..., Any]) -> frozenset[str]:
    try:
        parameters = inspect.signature(fn).parameters.values()
    except (TypeError, ValueError):
        return frozenset()
    return frozenset(p.name for p in parameters if p.default is p.empty)


def _positional(fn: Callable[..., Any]) -> int | None:
    try:
        parameters = inspect.signature(fn).parameters.values()
    except (TypeError, ValueError):
        return None
    return sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)


def _codec(fn: Callable[..., Any], cache: CachePolicy | None) -> Codec:
    return LateCodec(fn) if cache is None or cache.codec is None else cache.codec


def input_annotation(fn: Callable[..., Any]) -> Any:
    """The resolved annotation of the first parameter, in a list, as a run's input is kept; Any when it cannot be resolved here."""
    inner: Any = unwrapped_partial(fn)
    if not inspect.isroutine(inner):
        inner = type(inner).__call__
    try:
        hints = [hint for name, hint in typing.get_type_hints(inner).items() if name != "return"]
    except (NameError, TypeError, AttributeError):  # a name that exists only for type checkers
        return Any
    return list[hints[0]] if hints else Any  # type: ignore[valid-type]


def _timeout(given: Timeout) -> float | None:
    policy = as_timeout(given)
    return None if policy is None else policy.run_timeout


def _deadline(given: Seconds, retries: tuple[RetryPolicy, ...]) -> float | None:
    if given is not None:
        return positive_seconds(given, what="deadline", instead="leave it out, or give None, for no limit")
    return retries[0].deadline if len(retries) == 1 else None


def _check_kind(kind: str) -> str:
    if not isinstance(kind, str) or not kind:
        msg = f"kind={kind!r}: give 'internal', 'client' for calls to another service, or a word of your own"
        raise PolicyError(msg)
    return kind


def _check_capture(capture: str) -> str:
    if capture and capture not in CAPTURES:
        msg = f"capture={capture!r}: choose one of {', '.join(map(repr, CAPTURES))}"
        raise PolicyError(msg)
    return capture
