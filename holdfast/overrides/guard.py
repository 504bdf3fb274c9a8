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
_UNITS = {"errors": "%", "changed": "%", "calls": "x", "stale": "%"}
_SHARES = tuple(name for name, unit in _UNITS.items() if unit == "%")
_EXAMPLE = "give for example 'errors<=5%', 'changed<=20%', 'calls<=1.5x' or 'stale<=2%', several with commas between"


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


class Probes(NamedTuple):
    """Hits whose source was asked, of keys under an override.

    Attributes:
        asked: How many.
        stale: How many of those had another value at the source.
        hits: The share of all gets that hit, from 0 to 1.
    """

    asked: int = 0
    stale: int = 0
    hits: float = 1.0


NO_PROBES = Probes()


class Guard(NamedTuple):
    """Limits on what is seen of the keys under an override; None does not limit.

    Each is judged with 99 % certainty, and from `NEEDED` answers on: an override is not taken back for a run of bad luck.

    Attributes:
        errors: Share of the source's answers that may be failures.
        changed: Share of renewed entries that may have had another value: more of them means that the time to live is too long.
        calls: How many times as often as for the other keys the source may be asked for one under the override. Needs a canary share.
        stale: Share of all gets that may be answered by a value that the source has changed since. Only probes tell (`holdfast.Probe`).
    """

    errors: float | None = None
    changed: float | None = None
    calls: float | None = None
    stale: float | None = None

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
        Guard(errors=0.05, changed=None, calls=1.5, stale=None)
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
        if any(limits.get(name, 0.0) > 1 for name in _SHARES):
            raise PolicyError(f"guard={text!r}: a share is at most 100%")
        return cls(**limits)

    def __str__(self) -> str:
        limits = {name: limit for name, limit in self._asdict().items() if limit is not None}
        return ", ".join(f"{name}<={100 * limit:g}%" if name in _SHARES else f"{name}<={limit:g}x" for name, limit in limits.items())

    def breach(self, tried: Sequence[Seen], others: Sequence[Seen], share: float, probes: Probes = NO_PROBES) -> str:
        """What is certainly over its limit.

        Args:
            tried: Answers for keys under the override, in the order of time; those of probes left out.
            others: Answers for the other keys over the same time.
            share: Of the keys that are under it, 0 to 1.
            probes: Of keys under it.

        Returns:
            One sentence; empty while nothing is.
        """
        return self._too_stale(probes) or (self._too_many(tried) if len(tried) >= NEEDED else "") or self._too_often(tried, others, share)

    def _too_stale(self, probes: Probes) -> str:
        if self.stale is None or probes.asked < NEEDED or _at_least(probes.stale, probes.asked) * probes.hits <= self.stale:
            return ""
        return (
            f"{probes.stale} of {probes.asked} probed hits were stale, at {100 * probes.hits:.0f}% hits: over stale<={100 * self.stale:g}%"
        )

    def _too_many(self, tried: Sequence[Seen]) -> str:
        failed = sum(not each.ok for each in tried)
        if self.errors is not None and _at_least(failed, len(tried)) > self.errors:
            return f"{failed} of {len(tried)} answers were failures: over errors<={100 * self.errors:g}%"
        changed, renewed = changes(tried)
        if self.changed is not None and renewed >= NEEDED and _at_least(changed, renewed) > self.changed:
            return f"{changed} of {renewed} renewed entries had changed: over changed<={100 * self.changed:g}%"
        return ""

    def _too_often(self, tried: Sequence[Seen], others: Sequence[Seen], share: float) -> str:
        if self.calls is None or len(tried) < NEEDED or not others or not 0 < share < 1:
            return ""
        ratio = len(tried) / share / (len(others) / (1 - share))
        if ratio / math.exp(SURE * math.sqrt(1 / len(tried) + 1 / len(others))) <= self.calls:
            return ""
        return f"keys under it are asked of the source {ratio:.2f} times as often as others: over calls<={self.calls:g}x"


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
    if not number:
        return 0.0  # as it is below but for rounding, by which none would be more than a limit of none
    share, square = number / of, SURE * SURE
    middle = share + square / (2 * of)
    return (middle - SURE * math.sqrt(share * (1 - share) / of + square / (4 * of * of))) / (1 + square / of)
