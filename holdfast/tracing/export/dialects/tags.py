"""Tags, for backends that filter by them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from holdfast.tracing import convention as names

if TYPE_CHECKING:
    from collections.abc import Mapping

_ANSWERED = frozenset({"hit", "negative", "coalesced", "stale", "stale_if_error"})


def tags(known: Mapping[str, Any]) -> list[str]:
    """``retry:attempt:2`` on a second attempt, ``cache:hit`` on a call that the cache answered.

    The first is LangChain's own for retries (langchain_core/runnables/retry.py), which people filter by: none on first attempts.

    >>> tags({"holdfast.attempt.number": 2}), tags({"holdfast.attempt.number": 1, "holdfast.cache.result": "hit"})
    (['retry:attempt:2'], ['cache:hit'])
    """
    found: list[str] = []
    if known.get(names.ATTEMPT_NUMBER, 1) > 1:
        found.append(f"retry:attempt:{known[names.ATTEMPT_NUMBER]}")
    if known.get(names.CACHE_RESULT) in _ANSWERED:
        found.append(f"cache:{known[names.CACHE_RESULT]}")
    return found
