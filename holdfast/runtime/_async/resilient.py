"""The wrapper behind ``@resilient``: the pipeline of a call on a plain function, callable anywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from holdfast import clock, events
from holdfast._frames import bared, trimmed
from holdfast.policies.plan import USE
from holdfast.runtime import _ports, attempts, lookup
from holdfast.runtime._async.call import perform, run_attempts
from holdfast.runtime.state import Call
from holdfast.runtime.unawaited import COROUTINE

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast.policies.plan import Plan
    from holdfast.typing import Cache


def make_wrapper(plan: Plan, cache: Callable[[], Cache] | None) -> Callable[..., Any]:
    """The function the user gets: the quick wrapper where a call that succeeds at once needs nothing, else one with what the plan asks for."""
    if cache is not None:
        return _cached(plan, cache)
    return _quick(plan) if plan.is_plain else _full(plan)


def _quick(plan: Plan) -> Callable[..., Any]:
    fn = plan.fn

    async def resilient(*args: Any, **kwargs: Any) -> Any:
        observer: Any = None  # told of the call in brief, where there is a memo
        began_ns, memo = 0, None
        try:
            started = clock.current.monotonic()
            if events.observer is not None or events.detect() is not None:
                observer, began_ns = events.observer, clock.current.time_ns()
                memo = observer.brief_started(plan, began_ns) if hasattr(observer.__class__, "brief_started") else None
                if memo is None:
                    return await _with_records(plan, args, kwargs)
            try:
                value = await fn(*args, **kwargs)
            except BaseException as error:
                if memo is None and not isinstance(error, Exception):  # nothing to decide, and nobody to tell
                    raise
                call = attempts.begun(Call(plan, args, kwargs), started, observer, memo, began_ns)
                value, delay = None, attempts.judge(call, None, error)
            else:
                if type(value) is not COROUTINE and (memo is None or observer.brief_passed(memo, plan, clock.current.time_ns())):
                    return value
                call = attempts.begun(Call(plan, args, kwargs), started, observer, memo, began_ns)
                delay = attempts.judge(call, value, None)
            value = await _after_first(call, value, delay)
            if call.error is not None:
                raise call.pop_error()  # noqa: TRY301 - its frame here is taken off below
        except BaseException as error:
            bared(error)
            raise
        return value

    return resilient


async def _with_records(plan: Plan, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The same where somebody observes who cannot do without: see `events.BriefTracer`."""
    call = Call(plan, args, kwargs)
    call.observe()
    value = await perform(call)
    if call.error is not None:
        raise call.pop_error()
    return value


async def _after_first(call: Call, value: Any, delay: float | None) -> Any:
    """The first attempt was made and judged outside the driver: go on as the driver would."""
    if delay is not None:
        try:
            await _ports.pause_async(call, delay)
            value = await run_attempts(call)
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is this call's outcome
            attempts.broke(call, error)
    if call.observer is not None:
        attempts.close_call(call, None if call.error is not None else value)
    return value


def _full(plan: Plan) -> Callable[..., Any]:
    async def resilient(*args: Any, **kwargs: Any) -> Any:
        call = Call(plan, args, kwargs)
        call.observe()
        try:
            value = await perform(call)
        except BaseException as error:
            trimmed(error)
            raise
        if call.error is not None:
            raise trimmed(call.pop_error())
        return value

    return resilient


def _cached(plan: Plan, cache: Callable[[], Cache]) -> Callable[..., Any]:
    is_quick = plan.cache_mode == USE and not plan.secrets
    is_whole = _ports.looks_anywhere_async and plan.cache is not None and plan.cache.is_simple

    async def resilient(*args: Any, **kwargs: Any) -> Any:
        try:
            store = cache()
            if events.observer is None and is_quick and events.detect() is None:
                key = lookup.make_key(plan, args, kwargs)
                entry = _ports.look_async(plan, store, key)
                if entry is not None:  # with nobody to tell, a hit needs no Call: 0.5 us less in memory, 3 on disk
                    return entry.value if not entry.negative else _hit(Call(plan, args, kwargs), entry)
                call = Call(plan, args, kwargs)
                call.cache, call.key = store, key
                call.is_missing = is_whole
            else:
                call = Call(plan, args, kwargs)
                call.observe()
                call.cache = store
                lookup.assign_key(call)
                entry = lookup.peek(call)
                if entry is not None:
                    return _hit(call, entry)
            value = await perform(call)
        except BaseException as error:
            trimmed(error)
            raise
        if call.error is not None:
            raise trimmed(call.pop_error())
        return value

    return resilient


def _hit(call: Call, entry: Any) -> Any:
    value = lookup.serve(call, entry)
    if call.observer is not None:
        attempts.open_call(call)
        attempts.close_call(call, value)
    if call.freshness is not None:
        lookup.renew(call)
    if call.error is not None:
        raise call.pop_error()
    return value
