"""Looks after times to live while programs run, for tasks whose policy says so (`holdfast.Tune`).

Theory of operation. The recorder's thread hands in the tasks that are to be looked after, each second; nothing more is done than to compare a time. Once
an hour one of all processes gets the turn (a row in ``overrides.db``), and looks on a thread of its own, that no caller waits for:

- at a step up of less than two days ago: does what was recorded since say that more answers are stale than the budget allows? Then it is taken back.
- once a day, at what was recorded in the last day, or in the last week where that says too little: `holdfast.tune` says what to do. That is kept as advice
  and told; in the mode ``auto`` it is done, as an override by "auto" with reason, guard, expectation and end, if `_steps` allows it.

Whatever goes wrong is a line. Of two that were to move at once, one finds that the other was quicker: an override names what it replaces.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

from holdfast import clock, events
from holdfast.errors import OverrideConflict, PolicyError
from holdfast.overrides import Overrides
from holdfast.overrides.advice import Advice
from holdfast.overrides.override import AUTO
from holdfast.recording.store import FILE, Reader
from holdfast.tuning import _steps
from holdfast.values import forks

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from holdfast.overrides import Override
    from holdfast.policies.cache import CachePolicy
    from holdfast.tuning.report import Report

HOUR = 3600.0
"""Seconds between two looks at a task, of all processes."""
MOST = 500_000
"""Accesses that are looked at: two seconds' work, once a day."""
_PATIENCE = 5.0
"""Seconds that a fork waits for a look to end."""


class Autopilot:
    """The looks of this process: one at a time, for whichever cache."""

    def __init__(self) -> None:
        self._rest_until: dict[tuple[Path, str], float] = {}
        self._thread: threading.Thread | None = None
        forks.protect(self)

    def look_after(self, folder: Path, tasks: Sequence[tuple[str, CachePolicy]]) -> None:
        """Look at those whose turn may have come, behind the caller.

        Args:
            folder: Of their cache.
            tasks: Modules and qualified names, with the policies in force.
        """
        now = clock.current.time()
        due = [(task, policy) for task, policy in tasks if self._is_due(folder, task, now)]
        if due and (self._thread is None or not self._thread.is_alive()):
            thread = threading.Thread(target=self._look_at, args=(folder, due), name="holdfast-tuning", daemon=True)
            with contextlib.suppress(RuntimeError):  # the system allows no more threads: another time
                thread.start()
                self._thread = thread

    def _is_due(self, folder: Path, task: str, now: float) -> bool:
        rest = self._rest_until.get((folder, task), 0.0)
        return now >= rest or now < rest - HOUR  # the clock was set back

    def _look_at(self, folder: Path, tasks: Sequence[tuple[str, CachePolicy]]) -> None:
        for task, policy in tasks:
            self._rest_until[folder, task] = clock.current.time() + HOUR
            try:
                self._rest_until[folder, task] = look(folder, task, policy)
            except Exception as error:  # noqa: BLE001 - a broken file, no NumPy: nothing may end the thread but a line about it
                text = f"the ttl of {task} is not looked after for now: {error}"
                events.note("holdfast.tuning.failed", events.WARNING, text, task=task)

    def before_fork(self) -> None:
        """Let the look under way end."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(_PATIENCE)

    def after_fork_in_parent(self) -> None:
        """Go on."""

    def after_fork_in_child(self) -> None:
        """No thread came along."""
        self._thread = None


def look(folder: Path, task: str, policy: CachePolicy) -> float:
    """Look at one task, if it is anybody's turn; what it takes is read and written here, and nothing is waited for but the files.

    Args:
        folder: Of its cache.
        task: Module and qualified name.
        policy: In force.

    Returns:
        When the next turn is, seconds since the epoch.

    Raises:
        HoldfastError: A file cannot be read or written, or NumPy is not there.
    """
    overrides = Overrides(folder)
    try:
        is_mine, due = overrides.take_turn(task, HOUR)
        if is_mine and policy.tune is not None and (folder / FILE).exists():
            _Look(folder, overrides, task, policy.tune.stale_budget or 0.0, is_auto=policy.tune.mode == "auto").go()
        return due
    finally:
        overrides.close()


class _Look:
    """One look at one task."""

    def __init__(self, folder: Path, overrides: Overrides, task: str, budget: float, *, is_auto: bool) -> None:
        self._folder, self._overrides, self._task, self._budget, self._is_auto = folder, overrides, task, budget, is_auto
        self._now = clock.current.time()
        self._errors = 0.0

    def go(self) -> None:
        history = self._overrides.history(self._task)
        current = history[-1] if history and history[-1].is_in_force(self._now) else None
        if self._is_auto and current is not None and _steps.is_on_trial(current, history, self._now) and self._is_taken_back(current):
            return
        made = next((each.made for each in self._overrides.advice() if each.task == self._task), -_steps.DAY)
        if 0 <= self._now - made < _steps.DAY:
            return
        report = self._lately()
        if report is None or (current is not None and report.live_ttl != current.ttl):  # not everybody follows it yet
            return
        self._advise(report)
        if self._is_auto and not _steps.is_left_alone(history, self._now):
            self._move(report, current, history)

    def _is_taken_back(self, current: Override) -> bool:
        report = self._report(current.created)
        why = "" if report is None or report.live_ttl != current.ttl else _steps.spoiled(report)
        if why:
            self._overrides.rollback(self._task, author=AUTO, reason=why, after=current.id)
            text = f"override {current.id} of {self._task} was taken back: {why}"
            events.note("holdfast.override.rolled_back", events.WARNING, text, task=self._task, override=current.id)
        return bool(why)

    def _lately(self) -> Report | None:
        """On the last day, or the last week where that says more; None where there is too little for anything."""
        report = None
        for span in (_steps.DAY, _steps.WEEK):
            report = self._report(self._now - span) or report
            if report is not None and report.recommendation.grade in {"A", "B"}:
                break
        return report

    def _report(self, since: float) -> Report | None:
        """On what was recorded since then; None where that is too little for anything."""
        from holdfast.tuning._rule import missing_evidence
        from holdfast.tuning.recording import Recording
        from holdfast.tuning.tuner import tune

        reader = Reader(self._folder / FILE)
        try:
            since = max(since, reader.since_last(self._task, MOST))
            is_known = self._task in reader.tasks()
        finally:
            reader.close()
        if not is_known:
            return None
        recording = Recording.load(self._folder, task=self._task, since=max(1.0, self._now - since))
        counted, live = recording.counters, recording.live_ttl
        if live is None or missing_evidence(counted.gets, recording.trace.span, live):
            return None
        self._errors = counted.errors / max(1, counted.fills + counted.refreshes + counted.probes)
        return tune(recording, stale_budget=self._budget)

    def _advise(self, report: Report) -> None:
        advice = report.recommendation
        ttl = advice.step if advice.ttl is None else advice.ttl
        said = f"{report.headline}: {advice.why[0]}"
        kept = Advice(self._task, self._now, report.live_ttl or 0.0, ttl, advice.grade, self._budget, said)
        self._overrides.advise(kept)
        if kept.is_move and not self._is_auto:
            events.note("holdfast.ttl.suggested", events.INFO, said, task=self._task)

    def _move(self, report: Report, current: Override | None, history: Sequence[Override]) -> None:
        after = 0 if current is None else current.id
        may_move, may_go_up = _steps.may_move(history, self._now), _steps.may_raise(history, self._now)
        step = _steps.next_step(report, errors=self._errors, may_go_up=may_go_up) if may_move else None
        try:
            if step is not None:
                self._overrides.set(
                    self._task,
                    step.ttl,
                    guard=step.guard,
                    author=AUTO,
                    reason=step.reason,
                    expires_in=_steps.LASTS,
                    expected=step.expected,
                    after=after,
                )
            elif current is not None and self._now - current.created >= _steps.TRIAL:
                reason = f"nothing speaks against it: {report.recommendation.why[0]}"
                self._overrides.renew(self._task, expires_in=_steps.LASTS, author=AUTO, reason=reason, after=after)
        except (OverrideConflict, PolicyError):  # an operator, or a guard, was quicker
            return


look_after = Autopilot().look_after
