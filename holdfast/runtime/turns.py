"""Single-flight among processes: the call that computes a key for its own process waits for its turn among those of others.

Here is for how long, and who asks at all; the lock behind it is the cache's (`KeyLease`).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Protocol

from holdfast.runtime import flight

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast.runtime.state import Call
    from holdfast.typing import CacheKey

PATIENCE = 300.0
"""Seconds that a call waits for computations of other processes."""
PATIENCE_INSIDE = 10.0
"""The same inside another computation, for which others may wait: processes that wait for one another in a ring must not do so for ever."""
_SHORTEST, _LONGEST = 0.0005, 0.05
"""Seconds from try to try: a tenth of what was waited so far, within these limits."""


class KeyLease(Protocol):
    """One caller's turn at computing a missing value, among all processes that share a cache.

    A cache that is shared may have a method ``lease(key, /) -> KeyLease | None``. Calls that found nothing ask it before they compute; None
    lets them compute at once. A lease that is held is freed when its process dies.
    """

    def take(self) -> bool:
        """Try to get the turn, without waiting.

        Returns:
            True when the caller is to compute, after another look if there `has_news`; False when it is to try again in a while.
        """
        ...

    def has_news(self) -> bool:
        """Say whether a value may have been stored since the caller looked.

        Returns:
            False when another look would find nothing.
        """
        ...

    def release(self) -> None:
        """Give the turn back, after the value was stored; nothing happens where it is not held."""
        ...


class Turn:
    """A call's wait for its turn.

    Args:
        lease: What it waits for.
        patience: Seconds after which it computes without.
    """

    __slots__ = ("_lease", "_patience", "_since", "has_waited")

    def __init__(self, lease: KeyLease, patience: float) -> None:
        self._lease = lease
        self._patience = patience
        self._since = 0.0
        self.has_waited = False

    def pause(self) -> float | None:
        """Try to get the turn: None when the wait is over, else the seconds until the next try."""
        if self._lease.take():
            return None
        now = time.monotonic()  # real time on purpose: another process is waited for
        if not self.has_waited:
            self.has_waited, self._since = True, now
        waited = now - self._since
        return None if waited > self._patience else min(max(waited / 10, _SHORTEST), _LONGEST)

    def has_news(self) -> bool:
        """Whether the value may be there by now."""
        return self.has_waited or self._lease.has_news()

    def end(self) -> None:
        """Let another process have its turn."""
        self._lease.release()


def turn_of(call: Call) -> Turn | None:
    """The turn that a call has to wait for; None where no other process can be computing, or it does not compute for its process."""
    lease: Callable[[CacheKey], KeyLease | None] | None = getattr(call.cache, "lease", None)
    if lease is None or call.key is None or not flight.leads(call):
        return None
    found: Any = lease(call.key)
    if found is None:
        return None
    call.turn = Turn(found, PATIENCE_INSIDE if flight.is_inside(call) else PATIENCE)
    return call.turn
