"""Notes about a store in trouble: the first at once, the same again at most once a minute."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from holdfast import clock, events
from holdfast.values.seldom import Seldom

if TYPE_CHECKING:
    from pathlib import Path

    from holdfast.cache._sweep import Swept
    from holdfast.cache._trouble import Trouble
    from holdfast.typing import CacheKey

EVENT = "holdfast.cache.error"


class Notes:
    """Emits `EVENT`, one reason at most once a minute; the next one tells how many were held back."""

    def __init__(self) -> None:
        self._seldom = Seldom()

    def warn(self, reason: str, text: str, **fields: Any) -> None:
        """Tell that something went wrong, unless the same reason was told less than a minute ago.

        Args:
            reason: One word for machines, for example ``locked``; also what is counted.
            text: One sentence for a person.
            fields: Plain values that go with it.
        """
        held_back = self._seldom.held_back(reason)
        if held_back is None:
            return
        if held_back:
            fields["held_back"] = held_back
        events.note(EVENT, events.WARNING, text, reason=reason, **fields)


class StoreNotes(Notes):
    """What a disk cache tells.

    Args:
        path: Its folder.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = str(path)

    def passed_by(self, trouble: Trouble, **fields: str) -> None:
        """The store could not do something, and the call goes on without."""
        self.warn(trouble.reason, f"the cache is passed by: {trouble.text}", path=self._path, **fields)

    def set_aside(self, trouble: Trouble, moved_to: Path, **fields: str) -> None:
        """The database was broken, and is elsewhere now."""
        text = (
            f"{trouble.text}: the broken database was set aside as {moved_to}, and an empty one takes its place. Nothing needs to be done: "
            "results are computed and stored again. Delete the old file when nobody wants to look into it"
        )
        self.warn(trouble.reason, text, path=self._path, set_aside=str(moved_to), **fields)

    def swept(self, what: Swept | Trouble) -> None:
        """What was removed behind the callers' backs, or why it could not be; nobody minds a lock, which the next sweep may find free."""
        if not isinstance(what, tuple):
            if what.reason != "locked":
                self.passed_by(what)
        elif what.cause == "evicted":
            age = clock.current.time() - what.oldest
            text = (
                f"{what.entries} entries of {what.bytes} bytes were evicted, to stay below the limit; the oldest was stored {age:.0f} s ago"
            )
            events.note("holdfast.cache.evicted", events.INFO, text, entries=what.entries, bytes=what.bytes, oldest_s=age, path=self._path)

    def corrupt(self, key: CacheKey, error: Exception) -> None:
        """An entry cannot be used."""
        text = f"an entry of {key.namespace} cannot be used and counts as missing: {error}"
        self.warn("corrupt", text, path=self._path, namespace=key.namespace)
