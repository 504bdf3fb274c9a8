"""Between a call and its cache: what is fresh, what is stored, and what the trace says about it. No waiting, both colours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from holdfast import clock, events
from holdfast._evidence import POLICIES_CHANGED
from holdfast.errors import KeyFuncError, NotSerializable
from holdfast.runtime import witness
from holdfast.runtime.attempts import is_given_up
from holdfast.runtime.foreign import shown
from holdfast.typing import Entry

if TYPE_CHECKING:
    from holdfast.events import CallFacts
    from holdfast.policies.plan import Plan
    from holdfast.runtime.flight import Landed
    from holdfast.runtime.future import TaskFuture
    from holdfast.runtime.state import Call
    from holdfast.typing import Cache, CacheKey


def make_key(plan: Plan, args: tuple[Any, ...], kwargs: dict[str, Any], *, facts: CallFacts | None = None) -> CacheKey | None:
    """The key of a call; None, and a note, when its key function fails: it is computed and not cached.

    Raises:
        NotKeyable: An argument cannot be keyed; the text names the parameter and the ways out.
        TypeError: The arguments do not fit the function.
    """
    if plan.keys is None:
        return None
    try:
        return plan.keys.make(args, kwargs)
    except KeyFuncError as error:
        _explain_failed_key(plan, facts, error)
        return None


def in_memory(plan: Plan, cache: Cache, key: CacheKey | None) -> Entry | None:
    """A fresh entry from the in-process tier."""
    codec = plan.codec
    return None if key is None or codec is None else _fresh(plan, cache, key, cache.peek(key, codec))


def anywhere(plan: Plan, cache: Cache, key: CacheKey | None) -> Entry | None:
    """A fresh entry from any tier."""
    codec = plan.codec
    return None if key is None or codec is None else _fresh(plan, cache, key, cache.get(key, codec))


def assign_key(call: Call) -> None:
    """Make the call's key; see `make_key`."""
    if call.cache is None:
        return
    plan, facts = call.plan, call.facts
    call.key = make_key(plan, call.args, call.kwargs, facts=facts)
    if facts is not None and call.key is not None:
        facts.cache = "miss"
        facts.cache_namespace, facts.cache_key = call.key
        policy = None if plan.cache is None else witness.in_force(plan.cache, call.cache, call.key)
        facts.cache_ttl_s = None if policy is None else policy.ttl


def may_block(call: Call) -> bool:
    """True when the call's cache may do I/O."""
    return call.cache is not None and call.cache.is_blocking


def peek(call: Call) -> Entry | None:
    """A fresh entry from the in-process tier."""
    return None if call.cache is None else in_memory(call.plan, call.cache, call.key)


def read(call: Call) -> Entry | None:
    """A fresh entry from any tier."""
    return None if call.cache is None else anywhere(call.plan, call.cache, call.key)


def _fresh(plan: Plan, cache: Cache, key: CacheKey, entry: Entry | None) -> Entry | None:
    policy = plan.cache
    if entry is None or policy is None:
        return None
    if POLICIES_CHANGED:
        policy = witness.in_force(policy, cache, key)
    now = clock.current.time()
    if not policy.is_fresh(entry.stored_at, entry.ttl, now, entry.negative):
        return None
    tap = entry.tap
    if tap is not None:  # written out: a function would take as long again
        if now < tap.until:
            tap.log.gets += 1
        else:
            tap.keep(now)
    return entry


def serve(call: Call, entry: Entry) -> Any:
    """Make the entry the call's outcome."""
    if call.facts is not None:
        _record_hit(call, entry)
    if entry.negative:
        call.error = entry.value
        return None
    return entry.value


def _record_hit(call: Call, entry: Entry) -> None:
    facts = call.facts
    if facts is None:
        return
    if facts.cache != "coalesced":
        facts.cache = "negative" if entry.negative else "hit"
    if facts.run is not None:
        facts.run.cache_hits += 1
    facts.cache_tier = entry.tier
    facts.cache_age_s = max(0.0, clock.current.time() - entry.stored_at)
    facts.cache_size = entry.size
    facts.origin_trace_id = entry.origin_trace_id
    facts.origin_span_id = entry.origin_span_id


def landed(call: Call, leader: TaskFuture[Landed]) -> Entry | None:
    """What the computation we waited for produced, decoded afresh where possible; None when it was given up."""
    if leader.cancelled():
        return None
    if call.facts is not None:
        call.facts.cache = "coalesced"
    entry = peek(call)
    if entry is not None:
        return entry
    value, error, trace_id, span_id = leader.result()
    now = clock.current.time()
    outcome = value if error is None else error
    return Entry(outcome, now, None, 0, "", negative=error is not None, origin_trace_id=trace_id, origin_span_id=span_id)


def is_worth_storing(call: Call) -> bool:
    """True for a success, and for a failure whose policy remembers failures; never for a cancellation."""
    if call.error is None:
        return True
    policy = call.plan.cache
    return policy is not None and policy.negative_ttl is not None and not is_given_up(call)


def write(call: Call, value: Any) -> None:
    """Store what the call produced, if its policy says so. Trouble is a note, never an error."""
    policy = call.plan.cache
    if policy is None or call.cache is None or call.key is None or call.plan.codec is None:
        return
    policy = witness.in_force(policy, call.cache, call.key)
    if call.error is None:
        ttl = policy.ttl
        if not _is_wanted(call, value):
            return
    else:
        ttl, value = policy.negative_ttl, call.error
    facts = call.facts
    origin = ("", "") if facts is None else (facts.trace_id, facts.span_id)
    try:
        size = call.cache.set(call.key, value, call.plan.codec, ttl=ttl, negative=call.error is not None, tags=policy.tags, origin=origin)
    except NotSerializable as error:
        events.note(
            "holdfast.cache.not_serializable",
            events.WARNING,
            f"the result of {call.plan.name} was returned but not cached: {error}",
            call=facts,
            task=call.plan.name,
        )
        return
    if facts is not None and size is not None:
        facts.cache_stored, facts.cache_size = True, size


def _is_wanted(call: Call, value: Any) -> bool:
    policy = call.plan.cache
    if policy is None or policy.cache_if is None:
        return True
    try:
        return bool(policy.cache_if(value))
    except Exception as error:  # noqa: BLE001 - the user's predicate; its failure must not fail the call
        events.note(
            "holdfast.cache.predicate_failed",
            events.WARNING,
            f"cache_if of {call.plan.name} raised {shown(error)}; its result was returned but not cached",
            call=call.facts,
            task=call.plan.name,
        )
        return False


def _explain_failed_key(plan: Plan, facts: CallFacts | None, error: Exception) -> None:
    if facts is not None:
        facts.cache = "error"
    events.note(
        "holdfast.cache.key_failed",
        events.WARNING,
        f"{plan.name} was computed and not cached: {error}",
        call=facts,
        task=plan.name,
    )
