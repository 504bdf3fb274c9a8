"""Names of steps: the enclosing step, the task's name, a fingerprint of the arguments, and which of several equal calls it is."""

from __future__ import annotations

from functools import lru_cache
from itertools import count
from typing import TYPE_CHECKING, Any

from holdfast import events
from holdfast.errors import NotKeyable, PolicyError, RunInterrupted
from holdfast.typing import StepId
from holdfast.values.canonical import digest, encode, encode_together
from holdfast.values.identity import token
from holdfast.values.names import place

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from holdfast.policies.plan import Plan
    from holdfast.runtime.context import Scope

_MOST_LOOKED_AT = 10_000


class Names:
    """Names the steps of one run."""

    def __init__(self) -> None:
        """Nothing is named yet."""
        self._owners: dict[str, Any] = {}
        self._opaque_told: set[str] = set()
        self._mixed_told: set[str] = set()
        self._opaque_first: dict[tuple[str, bytes], list[bytes]] = {}

    def step(self, plan: Plan, scope: Scope, values: tuple[Any, ...], step_key: str, lock: AbstractContextManager[object]) -> StepId:
        """Name a call made in ``scope`` with the bound ``values``; a ``step_key`` sets it apart from equal calls.

        Raises:
            PolicyError: Another function of the same task name was called in this run.
        """
        if self._owners.get(plan.name) is not plan.fn:
            self._check_owner(plan)
        opaque: list[tuple[str, Any]] = []
        fingerprint = self._fingerprint(plan, values, step_key, opaque)
        occurrences = scope.occurrences
        if occurrences is None:
            with lock:
                occurrences = scope.occurrences = scope.occurrences or {}
        occurrence = next(occurrences.setdefault((plan.name, fingerprint), count()))  # both are atomic
        if opaque:
            self._tell_mixed(plan, fingerprint, occurrence, opaque)
        return StepId(scope.step, plan.name, fingerprint, occurrence)

    def _check_owner(self, plan: Plan) -> None:
        owner = self._owners.setdefault(plan.name, plan.fn)
        if getattr(owner, "__code__", owner) is not getattr(plan.fn, "__code__", plan.fn):
            both = f"{place(owner)} and {place(plan.fn)}"
            msg = f"{both} are both tasks named {plan.name!r} in one run, so their steps cannot be told apart: give one of them task(name=...)"
            raise PolicyError(msg)

    def _fingerprint(self, plan: Plan, values: tuple[Any, ...], step_key: str, opaque: list[tuple[str, Any]]) -> bytes:
        counted = values
        if plan.injected:
            counted = tuple([value for name, value in zip(plan.names, values, strict=True) if name not in plan.injected])
        key = step_key.encode("utf-8", "surrogatepass")
        together = encode_together(counted)
        if together is None:
            return self._fingerprint_of_parts(plan, values, key, opaque)
        return digest(b"%d:%b%b" % (len(key), key, together) if key else b"0:" + together)

    def _fingerprint_of_parts(self, plan: Plan, values: tuple[Any, ...], key: bytes, opaque: list[tuple[str, Any]]) -> bytes:
        parts = [key]
        for name, value in zip(plan.names, values, strict=True):
            if name in plan.injected:
                continue
            try:
                parts.append(encode(value, where=name))
            except NotKeyable as error:
                refuse_parked(value)
                kind = f"{type(value).__module__}.{type(value).__qualname__}"
                parts.append(b"opaque:" + kind.encode())
                opaque.append((name, value))
                self._tell_opaque(plan.name, name, kind, error)
        return digest(b"".join(len(part).to_bytes(8, "big") + part for part in parts))

    def _tell_mixed(self, plan: Plan, fingerprint: bytes, occurrence: int, opaque: list[tuple[str, Any]]) -> None:
        """Warn of calls that the journal cannot tell apart, though they are about different objects."""
        tokens = [token(value) for _, value in opaque]
        first = self._opaque_first.get((plan.name, fingerprint))
        if occurrence == 0 or first is None:
            self._opaque_first[plan.name, fingerprint] = tokens
        elif first != tokens and plan.name not in self._mixed_told:
            self._mixed_told.add(plan.name)
            names = ", ".join(name for name, _ in opaque)
            events.note(
                "holdfast.journal.mixed_steps",
                events.WARNING,
                f"calls of {plan.name} differ in {names} only, which the journal cannot read: replayed, they get their results in the order of the calls. "
                f"If that order may change, set them apart: {plan.name}.options(step_key=...)(...)",
                task=plan.name,
            )

    def _tell_opaque(self, task: str, parameter: str, kind: str, error: NotKeyable) -> None:
        if task in self._opaque_told:
            return
        self._opaque_told.add(task)
        events.note(
            "holdfast.journal.opaque_argument",
            events.INFO,
            f"argument {parameter!r} of {task} counts in the journal only by its type {kind}: {error}",
            task=task,
            parameter=parameter,
        )


def node_step(scope: bytes, node: str, place: str) -> StepId:
    """Names what a node of a state graph does at one place of the graph's run: which superstep, and which of several calls.

    The state it works on follows from the steps before. To look at it, too, would make a loop whose state grows cost the square of its length.
    """
    return StepId(scope, node, _place_digest(place), 0)


@lru_cache(maxsize=4096)
def _place_digest(place: str) -> bytes:
    return digest(b"node:" + place.encode())  # the same few numbers come in every run, and several times in each superstep


def refuse_parked(value: Any) -> None:
    """Raise what stands for an unanswered question, when it is about to become an argument (``gather(..., return_exceptions=True)``)."""
    left, looked_at = [value], 0
    while left and looked_at < _MOST_LOOKED_AT:
        each = left.pop()
        looked_at += 1
        if isinstance(each, RunInterrupted):
            raise each
        if isinstance(each, dict):
            left += each.values()
        elif isinstance(each, (list, tuple, set, frozenset)):
            left += each
