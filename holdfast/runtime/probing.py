"""Probes: the source is asked behind a hit, only to see what it would answer now. What it answers goes to whoever attends the cache, and nowhere else.

- Which hits, and how many, is decided by the witness (`holdfast._evidence.Tap`); at most one probe of a task is under way in this process.
- It is made as a refresh is (`holdfast.runtime.behind`), with a span of its own that is linked to that of the hit, but it is one attempt: it is not retried,
  stores nothing, nobody waits for it, and a failure is counted and changes nothing.
- It ends with its loop: where that stops first, nothing was seen.
"""

from __future__ import annotations

import os
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any

from holdfast.runtime.behind import Behind, tell_followed

if TYPE_CHECKING:
    from holdfast.runtime.state import Call
    from holdfast.typing import Entry

_under_way: dict[str, Probing] = {}
"""By namespace."""


class Probing(Behind):
    """One probe."""

    def __init__(self, call: Call, entry: Entry) -> None:
        """Take over from ``call``, which was answered with ``entry``, what it takes to make it again."""
        super().__init__(call, entry, is_asked_for=False)
        self._plan = self._plan.replace(retry=())
        self._is_home = True  # it goes nowhere else when its loop ends

    @property
    def is_stranded(self) -> bool:
        """Whether its loop has stopped with it."""
        return self._loop is not None and not (self._is_over or self._loop.is_running())

    def _call(self) -> Call:
        call = super()._call()
        call.is_probe, call.previous = True, self._entry
        if call.facts is not None:
            call.facts.cache = "probe"
        return call

    def _end(self, value: Any, error: BaseException | None, call: Call | None) -> None:
        del value, error, call  # they have been told to the witness
        if not self._is_over:
            self._is_over = True
            if _under_way.get(self._name[1].namespace) is self:
                del _under_way[self._name[1].namespace]


def start(call: Call, entry: Entry) -> None:
    """Ask the source of a call behind it, unless a probe of the task is under way.

    Args:
        call: The call that was answered with ``entry``.
        entry: Whose source is asked.
    """
    if call.key is None:
        return
    found = _under_way.get(call.key.namespace)
    if found is not None and not found.is_stranded:
        return
    probing = _under_way[call.key.namespace] = Probing(call, entry)
    tell_followed(call)
    try:
        probing.start()
    except RuntimeError:  # the system allows no more threads
        probing._end(None, CancelledError(), None)  # noqa: SLF001 - of this module


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_under_way.clear)
