# Generated from holdfast/runtime/_async/call.py by scripts/unasync.py. Do not edit:
# change that file and run `make sync`.

"""THE FILE TO READ: one call, top to bottom.

    perform   lookup -> attempts -> store    (before: the replay from the journal, `runtime/steps.py`; after: into it, `runtime/outcomes.py`)
    attempts  run the body; only a failure asks the policy; wait; again

Written async. ``_sync/call.py`` is generated from it (``make sync``); what differs between the colours is in ``_ports.py``.
The outcome is left in ``call.error`` and the return value, and raised once, by the future or the wrapper that the user holds.
"""

from __future__ import annotations

from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any

from holdfast.policies.plan import REFRESH
from holdfast.runtime import _ports, attempts, cache_entry, flight, lookup, witness
from holdfast.runtime.context import Scope, current

if TYPE_CHECKING:
    from holdfast.runtime.state import Call


def perform(call: Call) -> Any:
    """Make the call: answer it from the cache, or run the body as often as its policies allow and store the result."""
    if call.facts is not None:
        attempts.open_call(call)
    try:
        if call.plan.is_once and call.step is not None:
            announce(call)
        value = run_attempts(call) if call.key is None else answer(call)
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is this call's outcome
        attempts.broke(call, error)
        value = None
        if call.key is not None:
            flight.leave(call)
    if call.said is not None:
        cache_entry.end(call.said)
    if call.step is None and call.facts is not None:  # a step is over when it is journaled
        attempts.close_call(call, value)
    if call.freshness is not None:
        lookup.renew(call)
    return value


def answer(call: Call) -> Any:
    """Take the result from the cache, or from whoever is computing it, or compute it."""
    if call.is_probe:
        return probe(call)
    entry = None if call.is_missing else _ports.store_call_sync(lookup.may_block(call), lookup.read, call)
    while entry is None:
        limit = lookup.patience(call)
        leader = flight.board(call) if limit is None else lookup.start_behind(call, call.spare, is_asked_for=True)
        if leader is None:
            return compute(call)
        has_landed = _ports.join_sync(call, leader, limit)
        flight.alight(call)
        if not has_landed:
            return compute(call) if limit is None else lookup.overdue(call, limit)
        if call.plan.cache_mode != REFRESH:  # else that one may have begun before this call was made
            entry = lookup.landed(call, leader)
            if entry is lookup.NOT_FOR_TWO:
                return compute(call)
    return lookup.serve(call, entry)


def compute(call: Call) -> Any:
    """Run the body for everybody who waits for this key, and store what it returned."""
    entry = lookup.peek(call)  # again: it may have landed since the first look
    if entry is None and _ports.take_turn_sync(call):
        entry = _ports.store_call_sync(lookup.may_block(call), lookup.read_again, call)
    if entry is not None:
        flight.leave(call)
        return lookup.serve(call, entry)
    cause, asked = lookup.miss_cause(call), witness.begin()
    value = run_attempts(call)
    spare = lookup.fallback(call)
    if spare is None and lookup.is_worth_storing(call):
        _ports.store_call_sync(lookup.may_block(call), lookup.write, call, value)
    witness.computed(call, asked, kind="refresh" if call.is_behind else "fill", cause=cause)
    if spare is not None:
        value = lookup.fall_back(call, spare)
    flight.land(call, value)
    return value


def probe(call: Call) -> Any:
    """Run the body only to see what it returns now, and store nothing."""
    asked = witness.begin()
    value = run_attempts(call)
    _ports.store_call_sync(lookup.may_block(call), witness.found, call, value)
    witness.computed(call, asked, kind="probe")
    return value


def run_attempts(call: Call) -> Any:
    """Run the body until it succeeds or a policy says stop."""
    while True:
        if call.run is not None:
            current.set(Scope(call.run, call))
        attempts.begin(call)
        try:
            value = _ports.execute_sync(call)
        except BaseException as error:  # noqa: BLE001 - the policy, or the caller, gets it
            value, delay = None, attempts.failed(call, error)
        else:
            delay = attempts.passed(call, value)
        if delay is None:
            return value
        _ports.pause_sync(call, delay)


def announce(call: Call) -> None:
    """Journal that an at-most-once step is about to run: should the process die meanwhile, it is in doubt.

    A store that fails halts the run, for the failure is not the step's: its body has not begun. Nor has that of one cancelled meanwhile.
    """
    journal = None if call.run is None else call.run.journal
    if journal is not None and call.run is not None and call.step is not None:
        try:
            _ports.commit_sync(journal, journal.announce(call.step, call.history))
        except Exception as error:
            call.run.halt(error)
            raise
        if not _ports.is_wanted_sync(call):
            journal.withdraw(call.step)
            raise CancelledError
