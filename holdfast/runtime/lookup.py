"""Between a call and its cache: what is fresh, what is stored, and what the trace says about it. No waiting, both colours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from holdfast import clock, events
from holdfast._evidence import POLICIES_CHANGED
from holdfast.errors import KeyFuncError, NodeTimeoutError, NotSerializable
from holdfast.policies.duration import spoken
from holdfast.policies.freshness import Freshness, judge
from holdfast.policies.plan import BYPASS, REFRESH, USE
from holdfast.runtime import witness
from holdfast.runtime.attempts import is_given_up
from holdfast.runtime.flight import ALONE, Copies
from holdfast.runtime.foreign import described, shown
from holdfast.runtime.holdoff import hold_off, is_held_off, let_go
from holdfast.typing import NO_TERMS, Entry

if TYPE_CHECKING:
    from holdfast.events import CallFacts
    from holdfast.policies.plan import Plan
    from holdfast.runtime.flight import Landed
    from holdfast.runtime.future import TaskFuture
    from holdfast.runtime.state import Call
    from holdfast.typing import Cache, CacheKey


NOT_FOR_TWO = Entry(None, 0.0, None, 0, "")
"""Stands for a value that cannot be handed to several."""
_RESULTS: dict[Freshness | None, str] = {Freshness.STALE: "stale", Freshness.IN_NEED: "stale_if_error"}


def _nothing(call: Call, entry: Entry | None, *, is_asked_for: bool = False) -> TaskFuture[Landed] | None:
    del call, entry, is_asked_for
    return None


def _no_probe(call: Call, entry: Entry) -> None:
    del call, entry


start_behind, start_probe = _nothing, _no_probe
"""`holdfast.runtime.behind.start` and `holdfast.runtime.probing.start`, which stand on the driver that stands on this module. Set by ``holdfast``."""


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
    if plan.cache_mode == BYPASS:
        if facts is not None:
            facts.cache = "bypass"
        return
    call.key = make_key(plan, call.args, call.kwargs, facts=facts)
    if facts is not None and call.key is not None:
        facts.cache = "refresh" if plan.cache_mode == REFRESH else "miss"
        facts.cache_namespace, facts.cache_key = call.key
        facts.cache_ordinal = "" if call.is_behind else witness.ordinal(call.key.namespace)
        policy = None if plan.cache is None else witness.in_force(plan.cache, call.cache, call.key)
        facts.cache_ttl_s = None if policy is None else policy.ttl


def may_block(call: Call) -> bool:
    """True when the call's cache may do I/O."""
    return call.cache is not None and call.cache.is_blocking


def peek(call: Call) -> Entry | None:
    """An entry of the in-process tier that may be served."""
    codec = call.plan.codec
    return None if call.cache is None or call.key is None or codec is None else _servable(call, call.cache.peek(call.key, codec))


def read(call: Call) -> Entry | None:
    """An entry of any tier that may be served."""
    codec = call.plan.codec
    return None if call.cache is None or call.key is None or codec is None else _servable(call, call.cache.get(call.key, codec))


def read_again(call: Call) -> Entry | None:
    """A fresh entry from any tier, after other processes have had their turn."""
    entry = read(call)
    if entry is not None and call.facts is not None and call.turn is not None and call.turn.has_waited:
        call.facts.cache = "coalesced"
    return entry


def _fresh(plan: Plan, cache: Cache, key: CacheKey, entry: Entry | None) -> Entry | None:
    policy = plan.cache
    if entry is None or policy is None:
        return None
    if POLICIES_CHANGED:
        policy = witness.in_force(policy, cache, key)
    now = clock.current.time()
    if policy.is_simple:
        if not policy.is_fresh(entry.stored_at, entry.own_ttl, now, entry.negative):
            return None
    elif judge(policy, key.digest, entry.stored_at, now, negative=entry.negative, own_ttl=entry.own_ttl) is not Freshness.FRESH:
        return None
    tap = entry.tap
    if tap is not None and policy.is_recorded:  # written out: a function would take as long again
        if policy.probe is not None and not entry.negative and not tap.passes(policy.probe):
            return None  # to be found again by the whole call that this becomes, behind which the source is asked
        if now < tap.until:
            tap.tally.gets += 1
        else:
            tap.keep(now)
    return entry


def _servable(call: Call, entry: Entry | None) -> Entry | None:
    """The entry, if it may be served now. One that may be served if computing fails is kept at hand."""
    policy, key, cache = call.plan.cache, call.key, call.cache
    if entry is None or policy is None or key is None or cache is None:
        return None
    if not entry.negative:
        call.previous = entry
    if call.plan.cache_mode == REFRESH and not call.is_behind:
        call.spare = entry
        return None
    if policy.is_simple:
        return _fresh(call.plan, cache, key, entry)
    now = clock.current.time()
    freshness = judge(
        witness.in_force(policy, cache, key), key.digest, entry.stored_at, now, negative=entry.negative, own_ttl=entry.own_ttl
    )
    if freshness is Freshness.EXPIRED:
        return None
    call.spare = entry
    is_no_answer = freshness is Freshness.IN_NEED or (call.replaces is not None and call.replaces.stored_at == entry.stored_at)
    if is_no_answer and not is_held_off(cache, key):
        return None
    call.freshness = freshness
    if entry.tap is not None and policy.is_recorded:
        entry.tap.keep(now)
    return entry


def miss_cause(call: Call) -> str:
    """Why a call that is about to compute found nothing, where its cache knows; ``""`` where it does not, and where nothing was looked for."""
    ask = getattr(call.cache, "miss_cause", None)  # a cache of the user's own has none
    if ask is None or call.is_behind or call.plan.cache_mode != USE:
        return ""
    cause: str = ask(call.key)
    if call.facts is not None:
        call.facts.cache_cause = cause
    return cause


def serve(call: Call, entry: Entry) -> Any:
    """Make the entry the call's outcome."""
    if call.facts is not None:
        _record_hit(call, entry)
    if entry.negative:
        call.error = entry.value
        return None
    return entry.value


def renew(call: Call) -> None:
    """Have an old value, which the call was answered with, replaced behind its back; not if its source has failed a moment ago.

    Behind few others the source is asked all the same, for the record.
    """
    entry, cache, key, policy = call.spare, call.cache, call.key, call.plan.cache
    if entry is None or cache is None or key is None or policy is None or call.is_behind:
        return
    if call.freshness is Freshness.STALE or call.freshness is Freshness.AHEAD:
        if not is_held_off(cache, key):
            start_behind(call, entry)
    elif call.freshness is Freshness.FRESH and policy.probe is not None and not entry.negative:
        tap = entry.tap
        probe = witness.in_force(policy, cache, key).probe
        if tap is not None and not tap.passes(probe) and tap.take():
            start_probe(call, entry)


def _record_hit(call: Call, entry: Entry) -> None:
    facts = call.facts
    if facts is None:
        return
    if facts.cache != "coalesced":
        facts.cache = "negative" if entry.negative else _RESULTS.get(call.freshness, "hit")
    if facts.run is not None:
        facts.run.cache_hits += 1
    facts.cache_tier = entry.tier
    if entry.own_ttl is not None:
        facts.cache_ttl_s = entry.own_ttl
    facts.cache_age_s = max(0.0, clock.current.time() - entry.stored_at)
    facts.cache_size = entry.size
    facts.origin_trace_id = entry.origin_trace_id
    facts.origin_span_id = entry.origin_span_id


def landed(call: Call, leader: TaskFuture[Landed]) -> Entry | None:
    """What the computation we waited for produced, for this call alone; None when it was given up, `NOT_FOR_TWO` when it is its caller's alone."""
    if leader.cancelled():
        return None
    value, error, trace_id, span_id = leader.result()
    entry = peek(call)
    if entry is None and isinstance(value, Copies):
        value = value.read()
    if entry is None and value is ALONE:
        return NOT_FOR_TWO
    if call.facts is not None:
        call.facts.cache = "coalesced"
    if entry is not None:
        return entry
    now = clock.current.time()
    outcome = value if error is None else error
    return Entry(outcome, now, None, 0, "", negative=error is not None, origin_trace_id=trace_id, origin_span_id=span_id)


def fallback(call: Call) -> Entry | None:
    """After the attempts: the old value that takes the place of their failure; None where they succeeded, or there is none to serve."""
    policy, spare, error, key, cache = call.plan.cache, call.spare, call.error, call.key, call.cache
    if policy is None or cache is None or key is None:
        return None
    if error is None:
        let_go(cache, key)
        return None
    if spare is None or is_given_up(call) or not isinstance(error, Exception) or call.plan.cache_mode == REFRESH:
        return None
    policy = witness.in_force(policy, cache, key)
    freshness = judge(policy, key.digest, spare.stored_at, clock.current.time(), negative=spare.negative, own_ttl=spare.own_ttl)
    return spare if freshness is Freshness.IN_NEED else None  # it may have become too old during the attempts


def fall_back(call: Call, spare: Entry) -> Any:
    """Give an old value in the place of a failure, and leave its source alone for a while."""
    policy, error, key, cache = call.plan.cache, call.error, call.key, call.cache
    if policy is not None and cache is not None and key is not None and error is not None:
        hold_off(cache, key, policy.fail_safe_throttle)
        age = clock.current.time() - spare.stored_at
        text = (
            f"{call.plan.name} failed ({described(error)}): its value of {age:.6g} s ago is served instead, "
            f"and its source is asked again in {spoken(policy.fail_safe_throttle)}"
        )
        _warn("holdfast.cache.stale_if_error", call.plan, call.facts, text, age_s=age)
    call.error, call.freshness = None, Freshness.IN_NEED
    return serve(call, spare)


def refresh_failed(call: Call, error: Exception) -> None:
    """A computation behind the callers' backs has failed."""
    policy, key, cache = call.plan.cache, call.key, call.cache
    if policy is None or key is None or cache is None:
        return
    hold_off(cache, key, policy.fail_safe_throttle)
    text = (
        f"the refresh of {call.plan.name} behind its callers failed ({described(error)}): the old value is served on until its window ends, "
        f"and the source is asked again in {spoken(policy.fail_safe_throttle)}"
    )
    _warn("holdfast.cache.refresh_failed", call.plan, call.facts, text)


def patience(call: Call) -> float | None:
    """Seconds that a call which found nothing to serve waits for a computation behind it; None where it computes, and waits, by itself."""
    policy = call.plan.cache
    if policy is None or call.is_behind or call.plan.cache_mode != USE:
        return None
    return policy.hard_timeout if call.spare is None or policy.soft_timeout is None else policy.soft_timeout


def overdue(call: Call, limit: float) -> Any:
    """The wait for a computation is over and it is not: the old value is the call's outcome, or else the failure to be in time."""
    spare, name = call.spare, call.plan.name
    if spare is None:
        call.error = NodeTimeoutError(name, limit, cause="hard_timeout")
        return None
    age = clock.current.time() - spare.stored_at
    text = f"{name} was not computed within {spoken(limit)}: its value of {age:.6g} s ago is served, and the computation goes on behind"
    events.note("holdfast.cache.soft_timeout", events.INFO, text, call=call.facts, task=name, limit_s=limit, age_s=age)
    call.freshness = Freshness.STALE
    return serve(call, spare)


def is_worth_storing(call: Call) -> bool:
    """True for a success, and for a failure whose policy remembers failures; never for a cancellation, nor in the place of a value that can be served."""
    if call.error is None:
        return True
    policy, spare = call.plan.cache, call.spare
    if policy is None or policy.negative_ttl is None or is_given_up(call) or call.key is None or call.cache is None:
        return False
    if spare is None or spare.negative:
        return True
    policy = witness.in_force(policy, call.cache, call.key)
    return judge(policy, call.key.digest, spare.stored_at, clock.current.time(), own_ttl=spare.own_ttl) is Freshness.EXPIRED


def write(call: Call, value: Any) -> None:
    """Store what the call produced, if its policy says so. Trouble is a note, never an error."""
    policy = call.plan.cache
    if policy is None or call.cache is None or call.key is None or call.plan.codec is None:
        return
    policy = witness.in_force(policy, call.cache, call.key)
    if call.error is None:
        terms = NO_TERMS if call.said is None else call.said.terms()
        ttl = policy.longest(terms.ttl)
        if terms.ttl == 0 or not _is_wanted(call, value):
            return
    else:
        ttl, value, terms = policy.negative_ttl, call.error, NO_TERMS
    facts = call.facts
    origin = ("", "") if facts is None else (facts.trace_id, facts.span_id)
    more: dict[str, Any] = _parts(call) if getattr(call.cache, "keeps_parts", False) else {}
    try:
        if terms != NO_TERMS:  # a cache of the user's own may not know of it
            more["terms"] = terms
        tags = policy.tags if call.said is None else tuple(dict.fromkeys((*policy.tags, *call.said.every_tag())))
        size = call.cache.set(call.key, value, call.plan.codec, ttl=ttl, negative=call.error is not None, tags=tags, origin=origin, **more)
    except NotSerializable as error:
        _warn("holdfast.cache.not_serializable", call.plan, facts, f"the result of {call.plan.name} was returned but not cached: {error}")
        return
    if facts is not None and size is not None:
        facts.cache_stored, facts.cache_size = True, size


def _parts(call: Call) -> dict[str, Any]:
    """What the call's key is made of, for a cache that can explain misses."""
    digests = getattr(call.plan.keys, "digests", None)  # the keys of a graph's nodes are made of other things
    try:
        return {} if digests is None else {"parts": digests(call.args, call.kwargs)}
    except Exception:  # noqa: BLE001 - the body has changed its arguments: nothing to compare with later, and no reason to fail
        return {}


def _is_wanted(call: Call, value: Any) -> bool:
    policy = call.plan.cache
    if policy is None or policy.cache_if is None:
        return True
    try:
        return bool(policy.cache_if(value))
    except Exception as error:  # noqa: BLE001 - the user's predicate; its failure must not fail the call
        text = f"cache_if of {call.plan.name} raised {shown(error)}; its result was returned but not cached"
        _warn("holdfast.cache.predicate_failed", call.plan, call.facts, text)
        return False


def _explain_failed_key(plan: Plan, facts: CallFacts | None, error: Exception) -> None:
    if facts is not None:
        facts.cache = "error"
    _warn("holdfast.cache.key_failed", plan, facts, f"{plan.name} was computed and not cached: {error}")


def _warn(event: str, plan: Plan, facts: CallFacts | None, text: str, **fields: Any) -> None:
    """Tell of trouble that a task may have with every call, or every key: the same again within a minute at DEBUG."""
    held_back = plan.seldom.held_back(event)
    if held_back:
        fields["held_back"] = held_back
    events.note(event, events.DEBUG if held_back is None else events.WARNING, text, call=facts, task=plan.name, **fields)
