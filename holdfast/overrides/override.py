"""One override, as it stands in the history."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from holdfast.overrides.expected import Expected
    from holdfast.overrides.guard import Guard

AUTO, GUARD = "auto", "guard"
"""Authors that are no people: what `holdfast.Tune` has done by itself, and what a guard has taken back."""
_MASK = (1 << 64) - 1


class Override(NamedTuple):
    """What was done to a task's time to live, and what holds since.

    Attributes:
        id: Rises with every change of any task.
        task: Module and qualified name.
        action: ``set``, ``promote``, ``renew`` or ``rollback``.
        ttl: Seconds; None where the policy in the code holds again.
        share: Of the keys it applies to, above 0 to 1; chosen by hash, so that a larger share holds the smaller one.
        guard: What takes it back; None for nothing.
        author: Who did it.
        reason: Why.
        created: When, seconds since the epoch.
        expires: When the policy in the code holds again; None for never.
        previous: Id of what was in force before; 0 for nothing.
        base: Id of the ``set`` whose time to live this is; 0 where the policy in the code holds.
        expected: What whoever set it expects of it; None for nothing.
    """

    id: int
    task: str
    action: str
    ttl: float | None
    share: float
    guard: Guard | None
    author: str
    reason: str
    created: float
    expires: float | None
    previous: int
    base: int
    expected: Expected | None = None

    def is_in_force(self, now: float) -> bool:
        """Whether it changes anything at this time, seconds since the epoch, if nothing came after it."""
        return self.ttl is not None and (self.expires is None or now < self.expires)

    def is_automatic(self, history: Iterable[Override]) -> bool:
        """Whether no person has had a hand in it.

        Args:
            history: Of its task.
        """
        if self.author != GUARD:
            return self.author == AUTO
        return self.base == 0 or any(each.id == self.base and each.author == AUTO for each in history)

    def covers(self, key: int) -> bool:
        """Whether it applies to a key, given by its 64-bit hash."""
        if self.share >= 1:
            return True
        mixed = ((key ^ key >> 32) * (2 * self.base * 0x9E3779B97F4A7C15 + 0xBF58476D1CE4E5B9)) & _MASK  # odd, so nothing is lost
        return mixed ^ mixed >> 32 < self.share * (_MASK + 1)
