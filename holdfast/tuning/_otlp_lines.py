"""Spans of ours as a trace: OTLP in JSON, one request on each line, as collectors and ``holdfast export`` write it.

Every cached call must have its span. What is sampled by trace keeps some accesses of a key and drops others, and the gaps between those that are left
say nothing about a TTL; so each span carries its number among the calls of its process, and where one is missing, the file is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from holdfast.tuning._choice import chosen
from holdfast.tuning._columns import Columns, hashed
from holdfast.tuning._files import reading, refusal

if TYPE_CHECKING:
    from os import PathLike

_TYPE, _NAMESPACE, _KEY, _ORDINAL = "holdfast.span.type", "holdfast.cache.namespace", "holdfast.cache.key_hash", "holdfast.cache.ordinal"
_RESULT, _SIZE, _OMITTED = "holdfast.cache.result", "holdfast.cache.size_bytes", "holdfast.run.spans_omitted"
_COMPUTED = frozenset({"miss", "stale_if_error"})
_NO_ACCESS = frozenset({"refresh", "probe"})
_SHOWN = 3


class _Attribute(msgspec.Struct):
    key: str
    value: dict[str, Any]


class _Span(msgspec.Struct):
    startTimeUnixNano: str | int  # noqa: N815 - OTLP's names, here and below
    endTimeUnixNano: str | int  # noqa: N815
    traceId: str = ""  # noqa: N815
    attributes: list[_Attribute] = []


class _Scope(msgspec.Struct):
    spans: list[_Span] = []


class _Resource(msgspec.Struct):
    scopeSpans: list[_Scope] = []  # noqa: N815


class _Request(msgspec.Struct):
    resourceSpans: list[_Resource]  # noqa: N815


class _Call(NamedTuple):
    """A cached call: when, in microseconds, its key, what it took, and its number."""

    time: int
    key: str
    took: int | None
    size: int | None
    ordinal: str
    result: str
    trace: str


def read(path: str | PathLike[str], task: str | None) -> Columns:
    """Read a file; see `Trace.from_otlp`."""
    calls: dict[str, list[_Call]] = {}
    omitted: dict[str, int] = {}
    number, decode = 1, msgspec.json.Decoder(_Request).decode
    with reading(path, lambda: f"line {number}") as file:
        for number, line in enumerate(file, 1):  # noqa: B007 - told above, when something is wrong
            if line.isspace():
                continue
            try:
                request = decode(line)
            except msgspec.DecodeError as error:
                raise ValueError(f"it is no request of OTLP in JSON: {error}") from None
            _take(request, calls, omitted)
    found = calls[chosen(task, sorted(calls), str(path))]
    _refuse_gaps(found, sum(omitted.get(trace, 0) for trace in {each.trace for each in found}), path)
    return _columns(found)


def _take(request: _Request, calls: dict[str, list[_Call]], omitted: dict[str, int]) -> None:
    """Add the calls of each task, and how many spans were left out of each trace."""
    for resource in request.resourceSpans:
        for scope in resource.scopeSpans:
            for span in scope.spans:
                known = {each.key: _value(each.value) for each in span.attributes}
                if _OMITTED in known:
                    omitted[span.traceId] = int(known[_OMITTED])
                if known.get(_TYPE) == "task" and _KEY in known:
                    start, end = int(span.startTimeUnixNano) // 1000, int(span.endTimeUnixNano) // 1000
                    result, size = str(known.get(_RESULT, "")), known.get(_SIZE)
                    took = end - start if result in _COMPUTED else None
                    namespace = str(known.get(_NAMESPACE, ""))
                    call = _Call(start, f"{namespace} {known[_KEY]}", took, size, str(known.get(_ORDINAL, "")), result, span.traceId)
                    calls.setdefault(namespace.rpartition("@")[0], []).append(call)


def _value(value: dict[str, Any]) -> Any:
    return int(value["intValue"]) if "intValue" in value else next(iter(value.values()), None)


def _refuse_gaps(calls: list[_Call], omitted: int, path: str | PathLike[str]) -> None:
    """Refuse spans between which there are others that the file does not have."""
    numbers: dict[tuple[str, str], list[int]] = {}
    for call in calls:
        if call.result in _NO_ACCESS and not call.ordinal:  # behind a caller's back
            continue
        token, _, number = call.ordinal.rpartition("-")
        if not number.isdecimal():
            raise refusal(
                path,
                "its spans",
                f"{_ORDINAL} is missing: they are of an older holdfast, or were cut, and it cannot be told whether all are there",
            )
        numbers.setdefault((call.key.rpartition(" ")[0], token), []).append(int(number))
    missing = max(omitted, sum(max(each) - min(each) + 1 - len(set(each)) for each in numbers.values()))
    if missing:
        raise refusal(
            path,
            "its spans",
            f"{missing} of {len(calls) + missing} calls have no span: spans were sampled, or hits beyond max_hit_spans left out, and hit "
            "ratios of the rest mislead; use the cache's own recording (Recording.load), or trace everything for a while",
        )


def _columns(calls: list[_Call]) -> Columns:
    columns = Columns()
    for call in sorted(dict.fromkeys(calls), key=lambda each: each.time):
        if call.result not in _NO_ACCESS:
            columns.add(hashed(call.key, "key"), call.time, call.size, call.took)
    return columns
