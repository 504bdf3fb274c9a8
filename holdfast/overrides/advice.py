"""What was found the last time that a task's time to live was looked after (`holdfast.Tune`)."""

from __future__ import annotations

from typing import NamedTuple


class Advice(NamedTuple):
    """A recommendation, as it is kept beside the overrides until there is a newer one.

    Attributes:
        task: Module and qualified name.
        made: When, seconds since the epoch.
        live: The ttl that was in force, seconds.
        ttl: The ttl to take, seconds; None where there is none.
        grade: How good the evidence is, from A to D.
        budget: The share of stale answers that it keeps to, from 0 to 1.
        said: It and why, in a sentence or two.
    """

    task: str
    made: float
    live: float
    ttl: float | None
    grade: str
    budget: float
    said: str

    @property
    def is_move(self) -> bool:
        """Whether it says to change something."""
        return self.ttl not in {None, self.live}
