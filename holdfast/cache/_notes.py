"""Notes about a store in trouble: the first at once, the same again at most once a minute."""

from __future__ import annotations

from typing import Any

from holdfast import clock, events

EVENT = "holdfast.cache.error"
INTERVAL = 60.0
"""Seconds between two notes of the same reason."""


class Notes:
    """Emits `EVENT`, one reason at most once per `INTERVAL`; the next one tells how many were held back."""

    def __init__(self) -> None:
        self._told: dict[str, tuple[float, int]] = {}

    def warn(self, reason: str, text: str, **fields: Any) -> None:
        """Tell that something went wrong, unless the same reason was told less than a minute ago.

        Args:
            reason: One word for machines, for example ``locked``; also what is counted.
            text: One sentence for a person.
            fields: Plain values that go with it.
        """
        now = clock.current.monotonic()
        told = self._told.get(reason)
        if told is not None and 0 <= now - told[0] < INTERVAL:  # below 0: somebody installed another clock
            self._told[reason] = (told[0], told[1] + 1)
            return
        self._told[reason] = (now, 0)
        if told is not None and told[1]:
            fields["held_back"] = told[1]
        events.note(EVENT, events.WARNING, text, reason=reason, **fields)
