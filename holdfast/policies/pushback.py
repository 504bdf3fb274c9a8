"""What a server says about when to come back: ``Retry-After`` and its kin, read without importing any HTTP library.

Sources: RFC 9110 section 10.2.3 (``Retry-After`` in seconds or as a date), ``retry-after-ms`` (Azure, OpenAI, Anthropic),
gRPC proposal A6 (``grpc-retry-pushback-ms``).
"""

from __future__ import annotations

import re
from datetime import UTC, timedelta
from functools import lru_cache
from typing import Any, cast

from holdfast.policies.attributes import origin

_MILLISECONDS = ("retry-after-ms", "grpc-retry-pushback-ms")
_NAMES = {*_MILLISECONDS, "retry-after"}
_NUMBER = re.compile(r"\d{1,15}(\.\d*)?", re.ASCII)
_DEPTH = 4  # errors wrap errors; further down it is hardly this failure's answer any more
_PLACES = frozenset({"items", "headers", "response", "trailing_metadata", "retry_after", "__getattr__", "__getattribute__"})


def retry_after(source: Any, *, now: float) -> float | None:
    """Find the server's hint.

    Looked at, in this order: the source's own ``headers`` (or the source, when it is a mapping), its ``response``'s, botocore's
    ``ResponseMetadata``, gRPC's trailing metadata, its attribute ``retry_after``; then the same of the error it was raised from.

    Args:
        source: An error, a response, or headers.
        now: The present, seconds since the epoch; what a date is measured against.

    Returns:
        Seconds to wait, 0 for a date that has passed; None without a hint or for one that cannot be read.

    >>> retry_after({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, now=1445412470.0)
    10.0
    """
    kind: Any = type(source)  # pyright: ignore[reportUnknownVariableType]
    if _is_bare(kind) and not source.__dict__ and source.__context__ is None and source.__cause__ is None:
        return None  # so it is with most errors, and this runs after every failure: 1.6 us less
    for _ in range(_DEPTH):
        hint = _own_hint(source, now)
        source = origin(source) if isinstance(source, BaseException) else None
        if hint is not None or source is None:
            return hint
    return None


@lru_cache(maxsize=1024)
def _is_bare(cls: type) -> bool:
    """True for a class of errors that has nothing where a hint may be; its instances may have."""
    of_users = [base for base in cls.__mro__ if base.__module__ != "builtins"]
    return issubclass(cls, Exception) and all(_PLACES.isdisjoint(vars(base)) for base in of_users)


def _own_hint(source: Any, now: float) -> float | None:
    try:
        for headers in _headers_of(source):
            hint = _from_headers(_hints(headers), now)
            if hint is not None:
                return hint
        value = getattr(source, "retry_after", None)
        return max(0.0, value.total_seconds()) if isinstance(value, timedelta) else _from_text(value, now)
    except Exception:  # noqa: BLE001 - foreign properties and mappings may raise; looking at an error must never replace it
        return None


def _headers_of(source: Any) -> list[Any]:
    """Whatever may hold headers; mostly nothing does, and this runs after every failure, so the common case is short."""
    found: list[Any] = []
    if hasattr(source, "items"):
        found += [source, *_botocore(source)]
    headers = getattr(source, "headers", None)
    if headers is not None:
        found.append(headers)
    response = getattr(source, "response", None)
    if response is not None:
        found += [getattr(response, "headers", None), *_botocore(response)]
    trailing = getattr(source, "trailing_metadata", None)
    if callable(trailing):  # gRPC: pairs; as a mapping, the metadata of its aio channels has lists for values
        found.append([*(cast("Any", trailing()) or ())])
    return found


def _botocore(answer: Any) -> list[Any]:
    metadata: Any = cast("dict[str, Any]", answer).get("ResponseMetadata") if isinstance(answer, dict) else None
    return [cast("dict[str, Any]", metadata).get("HTTPHeaders")] if isinstance(metadata, dict) else []


def _hints(headers: Any) -> dict[str, str]:
    """The headers that matter, under lower-case names, from whatever mapping or sequence of pairs a library keeps them in."""
    items = getattr(headers, "items", None)
    pairs: Any = items() if callable(items) else headers or ()
    hints: dict[str, str] = {}
    for pair in pairs:
        name, value = pair
        if isinstance(name, str | bytes) and _text(name).lower() in _NAMES:
            hints[_text(name).lower()] = _text(value)
    return hints


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _from_headers(headers: dict[str, str], now: float) -> float | None:
    for name in _MILLISECONDS:
        text = headers.get(name, "").strip()
        if _NUMBER.fullmatch(text):
            return float(text) / 1000
    return _from_text(headers.get("retry-after"), now)


def _from_text(value: Any, now: float) -> float | None:
    if value is None or isinstance(value, bool) or not isinstance(value, str | bytes | int | float):
        return None
    text = _text(value).strip()
    return float(text) if _NUMBER.fullmatch(text) else _from_date(text, now)


def _from_date(text: str, now: float) -> float | None:
    from email.utils import parsedate_to_datetime  # costs 10 ms to import, and dates are rare

    try:
        moment = parsedate_to_datetime(text)
        moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        return max(0.0, moment.timestamp() - now)
    except (ValueError, TypeError, IndexError, OverflowError):  # not a date
        return None
