"""The overrides of one cache, as this process applies them: reread when their file changes, watched over by their guards."""

from __future__ import annotations

import time
import weakref
from typing import TYPE_CHECKING, NamedTuple

from holdfast import clock, events
from holdfast._evidence import POLICIES_CHANGED
from holdfast.errors import OverrideConflict, PolicyError
from holdfast.overrides import Overrides
from holdfast.overrides.override import GUARD
from holdfast.policies.duration import spoken
from holdfast.recording.store import FILE
from holdfast.recording.switches import is_tuning_off
from holdfast.recording.trial import Trial

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from holdfast.overrides.override import Override
    from holdfast.policies.cache import CachePolicy
    from holdfast.typing import CacheKey

GUARD_PERIOD = 10.0
"""Seconds between two looks of the guards."""
_RECENT_NS = 2_000_000_000
"""A file that was changed so lately may change again without another time or size."""
_Signature = tuple[tuple[int, int, int], ...]


class Rule(NamedTuple):
    """What is in force for one task.

    Attributes:
        override: The latest.
        beneath: What holds for the keys it does not cover; None for the policy in the code.
    """

    override: Override
    beneath: Override | None

    def for_key(self, key: int, now: float) -> Override | None:
        """What holds for a key, given by its hash."""
        for each in (self.override, self.beneath):
            if each is not None and each.is_in_force(now) and each.covers(key):
                return each
        return None

    def for_most(self, now: float) -> Override | None:
        """What holds for more than half of the keys, as far as one override does."""
        for each in (self.override, self.beneath):
            if each is not None and each.is_in_force(now) and each.share > 0.5:  # noqa: PLR2004 - half
                return each
        return None

    def without_automatic(self, history: Sequence[Override]) -> Rule:
        """The same, with nothing beneath that no person has done."""
        return self if self.beneath is None or not self.beneath.is_automatic(history) else self._replace(beneath=None)


class Rules:
    """The overrides of the cache in a folder, in this process.

    Args:
        folder: The cache's.
        hash_of: Hashes keys.
    """

    def __init__(self, folder: Path, hash_of: Callable[[CacheKey], int]) -> None:
        self._folder = folder
        self._hash_of = hash_of
        self._overrides = Overrides(folder)
        self._signature: _Signature = ()
        self._rules: dict[str, Rule] = {}
        self._made: dict[tuple[int, int], tuple[CachePolicy, CachePolicy]] = {}
        self._guards_due = 0.0
        self._told: set[str] = set()
        weakref.finalize(self, POLICIES_CHANGED.discard, folder)

    def in_force(self, policy: CachePolicy, key: CacheKey) -> CachePolicy:
        """See `holdfast._evidence.Witness.in_force`."""
        rule = self._rules.get(key.namespace.rpartition("@")[0])
        if rule is None:
            return policy
        override = rule.for_key(0 if rule.override.share >= 1 else self._hash_of(key), clock.current.time())
        return policy if override is None else self._changed(policy, override)

    def in_force_for_most(self, policy: CachePolicy, task: str) -> CachePolicy:
        """See `holdfast._evidence.Witness.in_force_for_most`."""
        rule = self._rules.get(task)
        override = None if rule is None else rule.for_most(clock.current.time())
        return policy if override is None else self._changed(policy, override)

    def _changed(self, policy: CachePolicy, override: Override) -> CachePolicy:
        made = self._made.get((id(policy), override.id))
        if made is None or made[0] is not policy:
            try:
                # Of a canary there are few hits, and its guard asks how stale they are.
                probe = policy.probe.doubled() if policy.probe is not None and override.share < 1 else policy.probe
                made = policy, policy.replace(ttl=override.ttl, probe=probe)
            except PolicyError as error:
                text = f"override {override.id} of {override.task} is not applied: {error}"
                events.note("holdfast.override.refused", events.WARNING, text, task=override.task, override=override.id)
                made = policy, policy
            self._made[id(policy), override.id] = made
        return made[1]

    def look(self) -> None:
        """Reread the file, if it has changed, and now and then let the guards look."""
        try:
            signature = self._looked_at()
            if signature != self._signature:
                self._load()
                self._signature = signature
            if any(rule.override.guard for rule in self._rules.values()) and time.monotonic() >= self._guards_due:
                self._guards_due = time.monotonic() + GUARD_PERIOD
                for rule in list(self._rules.values()):
                    self.guard(rule.override)
        except Exception as error:  # noqa: BLE001 - a damaged file, a row that somebody wrote by hand: nothing may end the thread that looks
            if "unreadable" not in self._told:
                events.note(
                    "holdfast.override.unreadable", events.WARNING, f"overrides stay as they are: {error}", path=str(self._overrides.path)
                )
            self._told.add("unreadable")

    def _looked_at(self) -> _Signature:
        """Tells states of the file apart; a state from which a further change might not be told apart is never equal to itself."""
        found: list[tuple[int, int, int]] = []
        for suffix in ("", "-wal"):
            try:
                info = self._overrides.path.with_name(self._overrides.path.name + suffix).stat()
            except OSError:
                continue
            age = time.time_ns() - info.st_mtime_ns  # the file system's clock
            found.append((info.st_ino, info.st_size, info.st_mtime_ns if age > _RECENT_NS else -time.monotonic_ns()))
        return tuple(found)

    def _load(self) -> None:
        before = self._rules
        self._rules = {each.override.task: each for each in self._allowed()}
        self._overrides.close()
        self._made.clear()
        if self._rules:
            POLICIES_CHANGED.add(self._folder)
        else:
            POLICIES_CHANGED.discard(self._folder)
        for task in before.keys() | self._rules.keys():
            old, new = before.get(task), self._rules.get(task)
            if (old and old.override.id) != (new and new.override.id):
                events.note(
                    "holdfast.override.changed", events.INFO, _said(task, new), task=task, override=0 if new is None else new.override.id
                )

    def _allowed(self) -> list[Rule]:
        """What is in force, but for what no person has done where ``HOLDFAST_TUNE`` forbids it: there the policy in the code holds."""
        rules = [Rule(each, self._overrides.beneath(each) if each.share < 1 else None) for each in self._overrides.current()]
        if not (rules and is_tuning_off()):
            return rules
        history = self._overrides.history()
        return [each.without_automatic(history) for each in rules if not each.override.is_automatic(history)]

    def guard(self, override: Override) -> None:
        """Take an override back, if its guard says so."""
        file = self._folder / FILE
        if override.guard is None or not override.is_in_force(clock.current.time()) or not file.exists():
            return
        trial = Trial.of(file, override)
        why = override.guard.breach(trial.tried, trial.others, override.share, trial.probes)
        if not why:
            return
        try:
            self._overrides.rollback(override.task, author=GUARD, reason=why, after=override.id)
        except (OverrideConflict, PolicyError):  # another process's guard was faster, or an operator
            return
        text = f"override {override.id} of {override.task} was taken back: {why}"
        events.note("holdfast.override.rolled_back", events.WARNING, text, task=override.task, override=override.id)


def _said(task: str, rule: Rule | None) -> str:
    override = None if rule is None else rule.override
    if override is None or override.ttl is None:
        return f"the ttl of {task} is again that of its policy"
    share = "" if override.share >= 1 else f" for {override.share:.0%} of its keys"
    return f"the ttl of {task} is {spoken(override.ttl)}{share}, says {override.author}"
