"""What was recorded before this execution of a run began, and whether the code still asks for the same. See `holdfast.runtime.trail`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from holdfast import events
from holdfast.errors import Divergence
from holdfast.runtime.trail import Trail
from holdfast.values.fingerprint import code_fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from holdfast.policies.plan import Plan
    from holdfast.runtime.context import Scope
    from holdfast.runtime.sight import Place
    from holdfast.typing import StepId, StepRecord

_MOST_SHOWN = 8


class Replay:
    """The recorded steps that are yet to be asked for."""

    def __init__(self, steps: Sequence[StepRecord], on_divergence: str, forget: Callable[[Sequence[StepId]], None]) -> None:
        """Expect ``steps``; ``forget`` drops some of them for good."""
        self._on_divergence = on_divergence
        self._forget = forget
        self._unclaimed = {record.step: record for record in steps if record.kind in {"ok", "error"}}
        self._expected = {(record.step.scope, record.history): record.step for record in steps if record.history}
        self._codes: dict[int, tuple[Callable[..., Any], str]] = {}
        self._told: set[str] = set()
        self._entered: set[bytes] = set()

    @property
    def has_trails(self) -> bool:
        """Whether it was recorded of any step where it stood on a trail: else nothing can diverge."""
        return bool(self._expected)

    def code(self, plan: Plan) -> str:
        """Fingerprint of a task's code."""
        found = self._codes.get(id(plan.fn))
        if found is None:
            found = self._codes[id(plan.fn)] = plan.fn, code_fingerprint(plan.fn)  # the function too, or another one might get its id
        return found[1]

    def follow(self, scope: Scope, step: StepId, here: Place, outcome: Callable[[StepId], StepRecord | None]) -> bytes:
        """The point of the scope's trail where ``step`` is made, by code at ``here``; empty when there is none.

        Raises:
            Divergence: At this place the record has another step.
        """
        trail = self._trail(scope)
        point = trail.here(here, outcome)
        record = self._unclaimed.get(step)
        if record is not None and not record.history:
            trail.lose()
        if not point or not self._expected:
            return point
        recorded = self._expected.get((scope.step, point))
        if recorded is not None and recorded != step:
            self._judge(scope, recorded, _shown(step))
        return point

    def _left(self) -> list[StepId]:
        """The recorded steps that nobody has asked for yet, at one instant: other threads go on claiming theirs."""
        return list(self._unclaimed)

    def unclaimed(self, scope: bytes) -> list[StepId]:
        """Those of one scope."""
        return [step for step in self._left() if step.scope == scope]

    def _trail(self, scope: Scope) -> Trail:
        if scope.trail is None:
            scope.trail = Trail(scope.call.number, scope.place)
            self._entered.add(scope.step)
        return scope.trail

    def claimed(self, record: StepRecord, plan: Plan) -> None:
        """A recorded step has been asked for."""
        self._unclaimed.pop(record.step, None)
        if record.code and plan.name not in self._told and record.code != self.code(plan):
            self._told.add(plan.name)
            events.note(
                "holdfast.journal.code_changed",
                events.WARNING,
                f"the code of task {plan.name} has changed since this run recorded its result, which is used as it is",
                task=plan.name,
            )

    def left(self, scope: Scope, here: Place, outcome: Callable[[StepId], StepRecord | None]) -> None:
        """The body of a scope, which runs at ``here``, has returned.

        Raises:
            Divergence: The record has one more step.
        """
        if not self._expected:
            return
        point = self._trail(scope).here(here, outcome)
        recorded = self._expected.get((scope.step, point)) if point else None
        if recorded is not None and recorded in self._unclaimed:
            self._judge(scope, recorded, "the body returned")

    def _judge(self, scope: Scope, recorded: StepId, actual: str) -> None:
        text = self._compared(scope, recorded, actual)
        if self._on_divergence == "raise":
            raise Divergence(text, recorded=_shown(recorded), actual=actual)
        if self._on_divergence == "rerun":
            superseded = [step for step in self._left() if step.scope == scope.step]
            self._forget(superseded)
            for step in superseded:
                self._unclaimed.pop(step, None)
        if scope.trail is not None:
            scope.trail.lose()  # said once
        events.note("holdfast.journal.divergence", events.WARNING, text, recorded=_shown(recorded), actual=actual)

    def _compared(self, scope: Scope, recorded: StepId, actual: str) -> str:
        name = scope.call.plan.name
        lines = [f"{name} asks for something else than it did when this run was recorded, after the same history:"]
        lines.append(f"    recorded: {_shown(recorded)}")
        lines.append(f"    now:      {actual}")
        later = [_shown(step) for step in self._left() if step.scope == scope.step and step != recorded]
        if later:
            more = f" and {len(later) - _MOST_SHOWN} more" if len(later) > _MOST_SHOWN else ""
            lines.append(f"    also recorded and not asked for yet: {', '.join(later[:_MOST_SHOWN])}{more}")
        lines.append(
            "Either the code has changed, or it depends on something that is not recorded (the time, chance, a file): make that a task. "
            "To go on anyway: @entrypoint(on_divergence='rerun') runs what comes from here again, 'warn' takes what still fits."
        )
        return "\n".join(lines)

    def tell_unclaimed(self, name: str) -> None:
        """Say which recorded steps nobody asked for, where timing had a say and so nothing is certain."""
        left = [_shown(step) for step in self._left() if step.scope in self._entered]
        if left:
            more = f" and {len(left) - _MOST_SHOWN} more" if len(left) > _MOST_SHOWN else ""
            events.note(
                "holdfast.journal.unclaimed",
                events.WARNING,
                f"{name} has ended without asking for steps that were recorded: {', '.join(left[:_MOST_SHOWN])}{more}",
                steps=len(left),
            )


def _shown(step: StepId) -> str:
    """A step for a person: arguments are not kept, so a part of their fingerprint stands for them."""
    again = f", call {step.occurrence + 1}" if step.occurrence else ""
    return f"{step.name}(arguments {step.fingerprint.hex()[:8]}{again})"
