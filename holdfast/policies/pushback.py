"""What a server says about when to come back: ``Retry-After`` and its kin, read without importing any HTTP library.

Sources: RFC 9110 section 10.2.3 (``Retry-After`` in seconds or as a date), ``retry-after-ms`` (Azure, OpenAI, Anthropic),
gRPC proposal A6 (``grpc-retry-pushback-ms``).
"""

from __future__ import annotations

import re
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Any, cast

from holdfast.policies.attributes import attribute, origin

if TYPE_CHECKING:
    from collections.abc import Iterator

_MILLISECONDS = ("retry-after-ms", "grpc-retry-pushback-ms")
_NAMES = {*_MILLISECONDS, "retry-after"}
_NUMBER = re.compile(r"\d{1,15}(\.\d*)?", re.ASCII)
_DEPTH = 4  # errors wrap errors; further down it is hardly this failure's answer any more


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
    for _ in range(_DEPTH):
        hint = _own_hint(source, now)
        if hint is not None or not isinstance(source, BaseException):
            return hint
        source = origin(source)
    return None


def _own_hint(source: Any, now: float) -> float | None:
    for headers in _headers_of(source):
        hint = _from_headers(headers, now)
        if hint is not None:
            return hint
    value = attribute(source, "retry_after")
    if isinstance(value, timedelta):
        return max(0.0, value.total_seconds())
    return _from_text(value, now)


def _headers_of(source: Any) -> Iterator[dict[str, str]]:
    response = attribute(source, "response")
    trailing = attribute(source, "trailing_metadata")
    metadata = [_item(mapping, "ResponseMetadata") for mapping in (source, response)]  # botocore
    found = [source, attribute(source, "headers"), attribute(response, "headers"), *[_item(part, "HTTPHeaders") for part in metadata]]
    if callable(trailing):  # gRPC
        found.append(_called(trailing))
    for headers in found:
        yield _hints(headers)


def _item(mapping: Any, name: str) -> Any:
    return cast("dict[str, Any]", mapping).get(name) if isinstance(mapping, dict) else None


def _called(method: Any) -> Any:
    try:
        return method()
    except Exception:  # noqa: BLE001 - looking at an error must never replace it
        return None


def _hints(headers: Any) -> dict[str, str]:
    """The headers that matter, under lower-case names, from whatever mapping or tuple of pairs a library keeps them in."""
    items = attribute(headers, "items")
    if not callable(items) and not isinstance(headers, tuple | list):
        return {}
    pairs = _called(items if callable(items) else headers.__iter__)
    hints: dict[str, str] = {}
    for pair in pairs or ():
        try:
            name, value = pair
        except (TypeError, ValueError):  # no pair: not headers
            continue
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
