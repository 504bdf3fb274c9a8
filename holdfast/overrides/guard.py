"""Guards: what must stay true of the keys that an override is tried on, or it is taken back."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, NamedTuple

from holdfast.errors import PolicyError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

NEEDED = 20
"""Answers of the source before anything is judged."""
SURE = 2.326
"""Standard deviations: 99 % on one side, since it is looked at over and over."""
_CLAUSE = re.compile(r"\s*(?P<what>[a-z]+)\s*<=\s*(?P<limit>[0-9.]+)\s*(?P<unit>%|x)\s*")
_UNITS = {"errors": "%", "changed": "%", "calls": "x"}
_EXAMPLE = "give for example 'errors<=5%', 'changed<=20%' or 'calls<=1.5x', several with commas between"


class Seen(NamedTuple):
    """One answer of the source, as far as guards look at it.

    Attributes:
        key: The key's hash.
        began: When the source was asked, seconds since the epoch.
        fingerprint: Tells values apart; 0 for none.
        ok: Whether it answered with a value.
    """

    key: int
    began: float
    fingerprint: int
    ok: bool


class Guard(NamedTuple):
    """Limits on what is seen of the keys under an override; None does not limit.

    Each is judged with 99 % certainty, and from `NEEDED` answers on: an override is not taken back for a run of bad luck.

    Attributes:
        errors: Share of the source's answers that may be failures.
        changed: Share of renewed entries that may have had another value: more of them means that the time to live is too long.
        calls: How many times as often as for the other keys the source may be asked for one under the override. Needs a canary share.
    """

    errors: float | None = None
    changed: float | None = None
    calls: float | None = None

    @classmethod
    def parse(cls, text: str) -> Guard:
        """Read ``errors<=5%, changed<=20%, calls<=1.5x``.

        Args:
            text: One or more limits, with commas between.

        Returns:
            The guard.

        Raises:
            PolicyError: It is something else.

        >>> Guard.parse("errors<=5%, calls<=1.5x")
        Guard(errors=0.05, changed=None, calls=1.5)
        """
        limits: dict[str, float] = {}
        for clause in text.split(","):
            match = _CLAUSE.fullmatch(clause)
            if match is None or _UNITS.get(match["what"]) != match["unit"] or match["what"] in limits:
                raise PolicyError(f"guard={text!r}: {clause.strip()!r} is no limit; {_EXAMPLE}")
            try:
                limits[match["what"]] = float(match["limit"]) / (100 if match["unit"] == "%" else 1)
            except ValueError:
                raise PolicyError(f"guard={text!r}: {match['limit']!r} is no number; {_EXAMPLE}") from None
        if any(limits.get(name, 0.0) > 1 for name in ("errors", "changed")):
            raise PolicyError(f"guard={text!r}: a share is at most 100%")
        return cls(**limits)

    def __str__(self) -> str:
        parts = [f"{name}<={100 * value:g}%" for name, value in (("errors", self.errors), ("changed", self.changed)) if value is not None]
        return ", ".join([*parts, *([] if self.calls is None else [f"calls<={self.calls:g}x"])])

    def breach(self, tried: Sequence[Seen], others: Sequence[Seen], share: float) -> str:
        """What is certainly over its limit.

        Args:
            tried: Answers for keys under the override, in the order of time.
            others: Answers for the other keys over the same time.
            share: Of the keys that are under it, 0 to 1.

        Returns:
            One sentence; empty while nothing is.
        """
        if len(tried) < NEEDED:
            return ""
        failed = sum(not each.ok for each in tried)
        if self.errors is not None and _at_least(failed, len(tried)) > self.errors:
            return f"{failed} of {len(tried)} answers were failures: over errors<={100 * self.errors:g}%"
        changed, renewed = changes(tried)
        if self.changed is not None and renewed >= NEEDED and _at_least(changed, renewed) > self.changed:
            return f"{changed} of {renewed} renewed entries had changed: over changed<={100 * self.changed:g}%"
        if self.calls is not None and others and 0 < share < 1:
            ratio = len(tried) / share / (len(others) / (1 - share))
            if math.log(ratio) - SURE * math.sqrt(1 / len(tried) + 1 / len(others)) > math.log(self.calls):
                return f"keys under it are asked of the source {ratio:.2f} times as often as others: over calls<={self.calls:g}x"
        return ""


def changes(answers: Iterable[Seen]) -> tuple[int, int]:
    """How many of the values that were asked for again were different, and how many there were."""
    last: dict[int, int] = {}
    changed = renewed = 0
    for each in answers:
        if each.ok and each.fingerprint:
            before = last.get(each.key)
            if before is not None:
                renewed += 1
                changed += before != each.fingerprint
            last[each.key] = each.fingerprint
    return changed, renewed


def _at_least(number: int, of: int) -> float:
    """The share that it is at least, with 99 % certainty (Wilson's interval, J. Am. Stat. Assoc. 22, 1927)."""
    share, square = number / of, SURE * SURE
    middle = share + square / (2 * of)
    return (middle - SURE * math.sqrt(share * (1 - share) / of + square / (4 * of * of))) / (1 + square / of)
