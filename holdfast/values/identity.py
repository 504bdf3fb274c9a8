"""What tells an object without content from every other one: a token of its own, for as long as it lives."""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from typing import Any

_tokens: dict[int, tuple[weakref.ref[Any], bytes]] = {}
_lock = threading.RLock()  # the collector may run, and drop a token, while it is held


def token(value: Any) -> bytes:
    """16 bytes: the same for the same object, others for any other object in any process, also one that later gets the same ``id``.

    An object that takes no weak references gets new ones each time.
    """
    with _lock:
        known = _tokens.get(id(value))
        if known is not None and known[0]() is value:
            return known[1]
        fresh = os.urandom(16)
        with contextlib.suppress(TypeError):
            _tokens[id(value)] = weakref.ref(value, _forget(id(value))), fresh
        return fresh


def _forget(ident: int) -> Any:
    def forget(gone: weakref.ref[Any]) -> None:
        with _lock:
            known = _tokens.get(ident)
            if known is not None and known[0] is gone:
                del _tokens[ident]

    return forget
