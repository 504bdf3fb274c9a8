"""The locks of the futures, each shared by many.

One lock for all would make the threads of a large fan-out wait for one another; one of its own for each, held by another thread when a process
forks, would stay locked for ever in the child.

They are reentrant. While one is held, the garbage collector may run, and with it the ``finally`` of an abandoned generator such as
`concurrent.futures.as_completed`, which asks other futures for their conditions on this very thread: with plain locks that was seen to hang.
"""

from __future__ import annotations

import os
import threading
from itertools import cycle

_COUNT = 64
locks = [threading.RLock() for _ in range(_COUNT)]
stripes = cycle(range(_COUNT))


def _renew_in_child() -> None:
    locks[:] = [threading.RLock() for _ in range(_COUNT)]  # one that another thread held at the fork stays locked for ever


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_renew_in_child)
