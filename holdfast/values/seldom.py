"""Seldom: what a busy program would say again at each call is said once a minute."""

from __future__ import annotations

from holdfast import clock

INTERVAL = 60.0
"""Seconds until the same is said again."""


class Seldom:
    """Decides what is said again, and counts what is not."""

    def __init__(self) -> None:
        self._said: dict[str, tuple[float, int]] = {}

    def held_back(self, what: str) -> int | None:
        """How often the same was held back since it was last said, which is to be said now; None holds it back, too.

        Args:
            what: A word for it.
        """
        now = clock.current.monotonic()
        said = self._said.get(what)
        if said is not None and 0 <= now - said[0] < INTERVAL:  # below 0: somebody installed another clock
            self._said[what] = (said[0], said[1] + 1)
            return None
        self._said[what] = (now, 0)
        return 0 if said is None else said[1]
