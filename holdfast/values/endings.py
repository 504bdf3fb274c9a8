"""What is done when a process ends, after all else of ours has been done.

Python calls what is registered with `atexit` last things first. So whoever has something to write at the end says so here: this module's own
turn was registered before.
"""

from __future__ import annotations

import atexit
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_jobs: list[Callable[[], object]] = []


def at_end(job: Callable[[], object]) -> None:
    """Have ``job`` called when the process ends, before what is done at last."""
    atexit.register(job)


def at_last(job: Callable[[], object]) -> None:
    """Have ``job`` called when the process ends, after what was registered with `atexit` since this module was loaded."""
    _jobs.append(job)


def _at_exit() -> None:
    for job in _jobs:
        job()


atexit.register(_at_exit)
