"""Ids of traces and spans: a run's own id for its trace, chance for the rest. Free of any tracing library."""

from __future__ import annotations

import os
import random
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from holdfast.events import RunFacts

_random = random.Random()  # noqa: S311 - no secrets; one of our own, because programs seed the global one, and would repeat ids
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_random.seed)  # from the operating system: a child must not repeat its parent's ids

_DIGITS, _VERSION = 32, 12

draw = _random.getrandbits
"""Random bits for ids, so many of them."""


class _Wanted(threading.local):
    trace_id = 0


wanted = _Wanted()
"""The trace id that the run being opened on this thread asks for; 0 when none is."""


def new_trace_id() -> int:
    """The one that the run being opened on this thread asks for, else a random one."""
    return wanted.trace_id or draw(128) or 1


def new_span_id() -> int:
    """A random one; never 0, which is no id."""
    return draw(64) or 1


def of_execution(run: RunFacts) -> int:
    """The trace id that an execution of a run asks for: the run's own for the first that is traced, 0 (leave it to chance) for later ones."""
    is_later = run.origin is not None and run.origin.run_id == run.run_id and run.origin.trace
    return 0 if is_later else of_run(run.run_id)


def of_run(run_id: str) -> int:
    """The run id as a trace id, so that one id names the run everywhere; 0 when it is no UUID of a kind that is drawn by chance.

    Trace ids have to be: consistent samplers look at their last 56 bits. A run's own id is a UUID of version 7.

    >>> f"{of_run('01980d2c-6d5e-7c1b-9a4e-0c8f3c3f7a10'):x}", of_run("order-42"), of_run("6ba7b810-9dad-11d1-80b4-00c04fd430c8")
    ('1980d2c6d5e7c1b9a4e0c8f3c3f7a10', 0, 0)
    """
    digits = run_id.replace("-", "")
    try:
        return int(digits, 16) if len(digits) == _DIGITS and digits[_VERSION] in "47" else 0
    except ValueError:
        return 0
