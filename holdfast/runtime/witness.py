"""What the runtime tells whoever attends a cache: see `holdfast._evidence`. A cache that nobody attends has no ``witness``, or None."""

from __future__ import annotations

import contextlib
import os
from collections import defaultdict
from itertools import count
from typing import TYPE_CHECKING, Any

from holdfast import clock
from holdfast._evidence import POLICIES_CHANGED
from holdfast.errors import NotSerializable
from holdfast.runtime.attempts import is_given_up

if TYPE_CHECKING:
    from holdfast._evidence import Witness
    from holdfast.policies.cache import CachePolicy
    from holdfast.runtime.state import Call
    from holdfast.typing import Cache, CacheKey

Asked = tuple[float, float]
"""When the source was asked: seconds since the epoch, and on the clock that never goes back."""


MOST_NAMES = 10_000
"""Tasks whose calls are numbered. A function that is defined anew for each request, around another value, is another one each time."""


def _new_numbers() -> tuple[str, defaultdict[str, count[int]]]:
    return os.urandom(4).hex(), defaultdict(lambda: count(1))


_numbers = _new_numbers()
"""What tells this process from others, and the next number of each task."""


def ordinal(namespace: str) -> str:
    """The next number of a task whose calls are observed, with what tells the process, which counts as another one after `MOST_NAMES`."""
    token, numbers = _numbers
    if len(numbers) >= MOST_NAMES and namespace not in numbers:
        _begin_anew()
        token, numbers = _numbers
    return f"{token}-{next(numbers[namespace])}"


def _begin_anew() -> None:
    global _numbers  # noqa: PLW0603 - a forked child is another process
    _numbers = _new_numbers()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)


def of(cache: Cache | None) -> Witness | None:
    """Who attends a cache."""
    return getattr(cache, "witness", None)


def in_force(policy: CachePolicy, cache: Cache, key: CacheKey) -> CachePolicy:
    """The policy that holds for a key now: the task's own, or what an operator's override makes of it."""
    attending = of(cache) if POLICIES_CHANGED else None
    return policy if attending is None else attending.in_force(policy, key)


def begin() -> Asked:
    """The source is about to be asked."""
    return clock.current.time(), clock.current.monotonic()


def computed(call: Call, asked: Asked, *, kind: str = "fill", cause: str = "") -> None:
    """The source was asked, and the call has its outcome; one that was given up says nothing about the source."""
    attending = of(call.cache)
    policy = call.plan.cache
    if attending is None or call.key is None or policy is None or not policy.is_recorded or is_given_up(call):
        return
    began, started = asked
    attending.computed(
        call.key,
        began,
        clock.current.monotonic() - started,
        ok=call.error is None,
        kind=kind,
        cause=cause,
        modified=None if call.said is None or call.error is not None else call.said.terms().modified,
        policy=attending.in_force_for_most(policy, call.key.namespace.rpartition("@")[0]),
    )


def found(call: Call, value: Any) -> None:
    """A probe has its answer: note what tells it from others. A value that the codec refuses could not have been stored either."""
    attending = of(call.cache)
    if attending is not None and call.key is not None and call.plan.codec is not None and call.error is None:
        with contextlib.suppress(NotSerializable):
            attending.tap(call.key, call.plan.codec.encode(value))
