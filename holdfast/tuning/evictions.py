"""How old entries were when they had to make room for others: a full cache ends their lives before their TTL does."""

from __future__ import annotations

from dataclasses import dataclass, field

from holdfast._evidence import OLDEST


@dataclass(frozen=True, slots=True)
class Evictions:
    """How many entries were evicted, by how old they were.

    Attributes:
        by_class: How many there were of each class of ages: 0 is below a second, ``n`` from ``2 ** (n - 1)`` to ``2 ** n`` seconds; the last, 30,
            has no end. Only classes that came up.
    """

    by_class: dict[int, int] = field(default_factory=dict[int, int])

    @property
    def entries(self) -> int:
        """All of them together."""
        return sum(self.by_class.values())

    def age(self, share: float = 0.5) -> float | None:
        """The age that this share of them had not reached when they went. A TTL beyond it is beyond what that share lives to see.

        It is read off between the bounds of a class, in proportion of their logarithms, and so is wrong by a factor of two at most.

        Args:
            share: From 0 to 1; half of them, if nothing else is given.

        Returns:
            Seconds; None when nothing was evicted.

        >>> Evictions({12: 90, 13: 10}).age()
        3010.0
        """
        left = share * self.entries
        for number, entries in sorted(self.by_class.items()):
            if left <= entries:
                return _within(number, left / entries)
            left -= entries
        return None


def _within(number: int, share: float) -> float:
    if number == 0:
        return share
    low = 2.0 ** (number - 1)
    return low if number == OLDEST else float(round(low * 2.0**share, 1 if number == 1 else 0))
